#include "protocol/startup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "protocol/reader.h"

#define STARTUP_HEAD_BYTES 8u /* length and code */

/* Codes that stand where a version would: major 1234 is nobody's protocol. */
#define CODE_CANCEL_REQUEST (1234u << 16 | 5678u)
#define CODE_SSL_REQUEST (1234u << 16 | 5679u)
#define CODE_GSSENC_REQUEST (1234u << 16 | 5680u)

/* ---- the packet ---- */

static enum pg_startup_kind kind_of_code(uint32_t code)
{
	switch (code) {
	case CODE_CANCEL_REQUEST:
		return PG_STARTUP_CANCEL_REQUEST;
	case CODE_SSL_REQUEST:
		return PG_STARTUP_SSL_REQUEST;
	case CODE_GSSENC_REQUEST:
		return PG_STARTUP_GSSENC_REQUEST;
	default:
		return PG_STARTUP_SESSION;
	}
}

static bool length_fits_kind(enum pg_startup_kind kind, uint32_t length)
{
	if (kind == PG_STARTUP_SSL_REQUEST || kind == PG_STARTUP_GSSENC_REQUEST)
		return length == STARTUP_HEAD_BYTES;
	if (kind == PG_STARTUP_CANCEL_REQUEST)
		return length > STARTUP_HEAD_BYTES + 4 && length <= STARTUP_HEAD_BYTES + 4 + PG_CANCEL_KEY_BYTES_MAX;
	return true;
}

static enum pg_result parse_cancel(struct pg_reader *reader, struct pg_startup *startup)
{
	startup->process_id = pg_reader_u32(reader);
	startup->key_bytes = pg_reader_left(reader);
	startup->key = pg_reader_bytes(reader, startup->key_bytes);
	return pg_reader_done(reader) ? PG_OK : PG_BAD;
}

static enum pg_result parse_parameters(struct pg_reader *reader, struct pg_startup *startup)
{
	const uint8_t *begin = reader->at;
	for (;;) {
		const uint8_t *pair = reader->at;
		const char *name = pg_reader_string(reader);
		if (*name == '\0') {
			startup->parameters = begin;
			startup->parameters_bytes = (size_t)(pair - begin);
			return pg_reader_done(reader) ? PG_OK : PG_BAD;
		}
		pg_reader_string(reader);
	}
}

enum pg_result pg_startup_parse(const uint8_t *data, size_t size, struct pg_startup *startup)
{
	if (size < 4)
		return PG_MORE;
	uint32_t length = pg_load_u32(data);
	if (length < STARTUP_HEAD_BYTES || length > PG_STARTUP_BYTES_MAX)
		return PG_BAD;
	if (size < STARTUP_HEAD_BYTES)
		return PG_MORE;
	uint32_t code = pg_load_u32(data + 4);
	enum pg_startup_kind kind = kind_of_code(code);
	if (!length_fits_kind(kind, length))
		return PG_BAD;
	if (size < length)
		return PG_MORE;

	*startup = (struct pg_startup){ .kind = kind, .total_bytes = length };
	struct pg_reader reader;
	pg_reader_init(&reader, data + STARTUP_HEAD_BYTES, length - STARTUP_HEAD_BYTES);
	if (kind == PG_STARTUP_CANCEL_REQUEST)
		return parse_cancel(&reader, startup);
	if (kind != PG_STARTUP_SESSION)
		return PG_OK;
	startup->major = (uint16_t)(code >> 16);
	startup->minor = (uint16_t)code;
	/* Who knows what another version's packet holds. */
	return startup->major == PG_PROTOCOL_MAJOR ? parse_parameters(&reader, startup) : PG_OK;
}

enum pg_result pg_startup_next(const struct pg_startup *startup, size_t *at, const char **name, const char **value)
{
	if (*at >= startup->parameters_bytes)
		return PG_MORE;
	struct pg_reader reader;
	pg_reader_init(&reader, startup->parameters + *at, startup->parameters_bytes - *at);
	*name = pg_reader_string(&reader);
	*value = pg_reader_string(&reader);
	*at = startup->parameters_bytes - pg_reader_left(&reader);
	return PG_OK;
}

/* ---- the options parameter ---- */

static bool is_space(char c)
{
	/* As isspace() in the C locale: what the process was set to must not change how a packet reads. */
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Appends the words of `options` to `words`, each with its NUL and without its backslashes. */
static void split_words(const char *options, struct pg_buffer *words)
{
	const char *at = options;
	for (;;) {
		while (is_space(*at))
			at++;
		if (*at == '\0')
			return;
		while (*at != '\0' && !is_space(*at)) {
			if (*at == '\\' && *++at == '\0')
				break; /* a backslash at the very end keeps nothing */
			pg_buffer_put_u8(words, (uint8_t)*at++);
		}
		pg_buffer_put_u8(words, 0);
	}
}

/* Appends "name=value" as a pair; false when there is no name or no '='. */
static bool put_assignment(const char *assignment, struct pg_buffer *pairs)
{
	const char *equals = strchr(assignment, '=');
	if (!equals || equals == assignment)
		return false;
	for (const char *at = assignment; at < equals; at++)
		pg_buffer_put_u8(pairs, *at == '-' ? '_' : (uint8_t)*at);
	pg_buffer_put_u8(pairs, 0);
	pg_buffer_put_string(pairs, equals + 1);
	return true;
}

/* Reads one option from the words; false when it is none that we know, *word then names it. */
static bool read_option(struct pg_reader *words, struct pg_buffer *pairs, const char **word)
{
	*word = pg_reader_string(words);
	const char *option = *word;
	if (strncmp(option, "--", 2) == 0)
		return put_assignment(option + 2, pairs);
	if (strncmp(option, "-c", 2) != 0)
		return false;
	if (option[2] != '\0')
		return put_assignment(option + 2, pairs);
	if (pg_reader_left(words) == 0)
		return false;
	*word = pg_reader_string(words);
	return put_assignment(*word, pairs);
}

enum pg_result pg_startup_parse_options(const char *options, struct pg_buffer *pairs, char *error, size_t error_bytes)
{
	struct pg_buffer words = PG_BUFFER_EMPTY;
	split_words(options, &words);
	struct pg_reader reader;
	pg_reader_init(&reader, words.data, words.length);

	size_t begin = pairs->length;
	const char *word = "";
	bool good = true;
	while (good && pg_reader_left(&reader) > 0)
		good = read_option(&reader, pairs, &word);
	bool memory = !words.failed && !pairs->failed;
	if (!memory)
		snprintf(error, error_bytes, "out of memory");
	else if (!good)
		snprintf(error, error_bytes,
			 "unsupported startup option \"%s\": only -c name=value and --name=value are", word);
	pg_buffer_clear(&words);
	if (memory && good)
		return PG_OK;
	pairs->length = begin;
	return PG_BAD;
}

/* ---- builders ---- */

/* Opens a packet; the length is filled in by end_packet. */
static size_t begin_packet(struct pg_buffer *out, uint32_t code)
{
	size_t begin = out->length;
	pg_buffer_put_u32(out, 0);
	pg_buffer_put_u32(out, code);
	return begin;
}

static void end_packet(struct pg_buffer *out, size_t begin)
{
	size_t length = out->length - begin;
	if (length > PG_STARTUP_BYTES_MAX)
		out->failed = true;
	pg_buffer_set_u32(out, begin, (uint32_t)length);
}

void pg_startup_put_session(struct pg_buffer *out, const char *user, const char *database, const uint8_t *pairs,
			    size_t pairs_bytes)
{
	size_t begin = begin_packet(out, PG_PROTOCOL_MAJOR << 16);
	pg_buffer_put_string(out, "user");
	pg_buffer_put_string(out, user);
	if (database) {
		pg_buffer_put_string(out, "database");
		pg_buffer_put_string(out, database);
	}
	pg_buffer_put_bytes(out, pairs, pairs_bytes);
	pg_buffer_put_u8(out, 0);
	end_packet(out, begin);
}

void pg_startup_put_cancel(struct pg_buffer *out, uint32_t process_id, const uint8_t *key, size_t key_bytes)
{
	if (key_bytes < 1 || key_bytes > PG_CANCEL_KEY_BYTES_MAX) {
		out->failed = true;
		return;
	}
	size_t begin = begin_packet(out, CODE_CANCEL_REQUEST);
	pg_buffer_put_u32(out, process_id);
	pg_buffer_put_bytes(out, key, key_bytes);
	end_packet(out, begin);
}

void pg_startup_put_ssl_request(struct pg_buffer *out)
{
	end_packet(out, begin_packet(out, CODE_SSL_REQUEST));
}
