#include "protocol/scram_text.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

/* ---- reading ---- */

bool scram_open(struct pg_reader *reader, const uint8_t *data, size_t bytes)
{
	if (bytes == 0 || bytes > PG_SCRAM_MESSAGE_BYTES_MAX || memchr(data, '\0', bytes))
		return false;
	pg_reader_init(reader, data, bytes);
	return true;
}

struct scram_span scram_take(struct pg_reader *reader, uint8_t delimiter)
{
	struct scram_span span = { reader->at, 0 };
	const uint8_t *found = memchr(reader->at, delimiter, pg_reader_left(reader));
	if (!found) {
		reader->failed = true;
		return span;
	}
	span.bytes = (size_t)(found - reader->at);
	pg_reader_bytes(reader, span.bytes + 1);
	return span;
}

/* The value of the attribute whose name was just read. */
static struct scram_span attribute_value(struct pg_reader *reader)
{
	if (pg_reader_u8(reader) != '=')
		reader->failed = true;
	if (!memchr(reader->at, ',', pg_reader_left(reader))) {
		struct scram_span rest = { reader->at, pg_reader_left(reader) };
		pg_reader_bytes(reader, rest.bytes);
		return rest;
	}
	struct scram_span value = scram_take(reader, ',');
	if (pg_reader_left(reader) == 0) /* a comma promises another attribute */
		reader->failed = true;
	return value;
}

struct scram_span scram_attribute(struct pg_reader *reader, char name)
{
	if (pg_reader_u8(reader) != name)
		reader->failed = true;
	return attribute_value(reader);
}

static bool is_alpha(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

void scram_skip_extensions(struct pg_reader *reader, char stop)
{
	while (pg_reader_left(reader) > 0 && *reader->at != stop) {
		if (!is_alpha(pg_reader_u8(reader)))
			reader->failed = true;
		attribute_value(reader);
	}
}

bool scram_span_is(struct scram_span span, const char *text)
{
	return span.bytes == strlen(text) && memcmp(span.data, text, span.bytes) == 0;
}

bool scram_span_is_nonce(struct scram_span span)
{
	for (size_t i = 0; i < span.bytes; i++)
		if (span.data[i] < 0x21 || span.data[i] > 0x7e)
			return false;
	return span.bytes > 0;
}

bool scram_span_iterations(struct scram_span span, uint32_t *iterations)
{
	uint32_t number = 0;
	for (size_t i = 0; i < span.bytes; i++) {
		if (span.data[i] < '0' || span.data[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(span.data[i] - '0');
		if (number > PG_SCRAM_ITERATIONS_MAX)
			return false;
	}
	*iterations = number;
	return number > 0;
}

static bool is_base64(uint8_t c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* How many '=' close it: 0 to 2; or -1 when it is not base64. OpenSSL's decoder forgives too much to be asked alone. */
static int base64_padding(struct scram_span span)
{
	if (span.bytes == 0 || span.bytes % 4 != 0)
		return -1;
	int padding = 0;
	while (padding < 2 && span.data[span.bytes - 1 - (size_t)padding] == '=')
		padding++;
	for (size_t i = 0; i < span.bytes - (size_t)padding; i++)
		if (!is_base64(span.data[i]))
			return -1;
	return padding;
}

bool scram_span_decode(struct scram_span span, uint8_t *out, size_t capacity, size_t *bytes)
{
	/* The decoder writes whole triples: one cut by padding may not fit `out`, so go through room of our own. */
	uint8_t decoded[PG_SCRAM_SALT_BYTES_MAX + 2];
	int padding = base64_padding(span);
	if (padding < 0)
		return false;
	size_t count = span.bytes / 4 * 3 - (size_t)padding;
	if (count > capacity || count + (size_t)padding > sizeof(decoded))
		return false;
	if (EVP_DecodeBlock(decoded, span.data, (int)span.bytes) < 0)
		return false;
	memcpy(out, decoded, count);
	OPENSSL_cleanse(decoded, sizeof(decoded));
	*bytes = count;
	return true;
}

/* ---- writing ---- */

void scram_put_text(struct pg_buffer *out, const char *text)
{
	pg_buffer_put_bytes(out, text, strlen(text));
}

void scram_put_base64(struct pg_buffer *out, const uint8_t *data, size_t bytes)
{
	size_t count = (bytes + 2) / 3 * 4;
	if (!pg_buffer_reserve(out, count + 1)) /* the encoder adds a NUL */
		return;
	EVP_EncodeBlock(out->data + out->length, data, (int)bytes);
	out->length += count;
}

void scram_put_number(struct pg_buffer *out, uint32_t number)
{
	char text[sizeof("4294967295")];
	snprintf(text, sizeof(text), "%u", number);
	scram_put_text(out, text);
}

char *scram_to_string(struct pg_buffer *buffer)
{
	pg_buffer_put_u8(buffer, 0);
	if (buffer->failed)
		pg_buffer_clear(buffer);
	char *string = (char *)buffer->data;
	pg_buffer_init(buffer);
	return string;
}
