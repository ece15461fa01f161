/*
 * The text that SCRAM messages are made of: `a=value` attributes with commas between them, and base64.
 *
 * Inside protocol/scram*.c only. Pure, any thread. Source: RFC 5802 section 7, RFC 4648 section 4.
 */
#ifndef PROTOCOL_SCRAM_TEXT_H
#define PROTOCOL_SCRAM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/reader.h"
#include "protocol/scram.h"

struct scram_span {
	const uint8_t *data; /* borrowed: from the message */
	size_t bytes;
};

/* Opens a message for reading. False when it is empty, longer than PG_SCRAM_MESSAGE_BYTES_MAX or holds a NUL. */
bool scram_open(struct pg_reader *reader, const uint8_t *data, size_t bytes);
/* Bytes up to the delimiter, which is taken too. Failed when there is none. */
struct scram_span scram_take(struct pg_reader *reader, uint8_t delimiter);
/* The value of attribute `name`, which must come next; it ends at a comma, which is taken too, or at the end of the
 * message. Failed when it is another attribute, or the comma is the last byte. */
struct scram_span scram_attribute(struct pg_reader *reader, char name);
/* Reads over attributes that nobody asked for, to the end or to the first named `stop`. */
void scram_skip_extensions(struct pg_reader *reader, char stop);

bool scram_span_is(struct scram_span span, const char *text);
/* Not empty, printable ASCII. (An attribute's value has no comma.) */
bool scram_span_is_nonce(struct scram_span span);
/* A decimal number 1 .. PG_SCRAM_ITERATIONS_MAX. */
bool scram_span_iterations(struct scram_span span, uint32_t *iterations);
/* Strict: no white space, padded. False too when it is empty or decodes to more than `capacity`. */
bool scram_span_decode(struct scram_span span, uint8_t *out, size_t capacity, size_t *bytes);

/* Without a NUL. */
void scram_put_text(struct pg_buffer *out, const char *text);
void scram_put_base64(struct pg_buffer *out, const uint8_t *data, size_t bytes);
void scram_put_number(struct pg_buffer *out, uint32_t number);
/* Turns the buffer into a string, which the caller frees; NULL when the buffer failed. The buffer is empty then. */
char *scram_to_string(struct pg_buffer *buffer);

/* Says why, and PG_BAD. */
static inline enum pg_result scram_bad(const char **error, const char *why)
{
	*error = why;
	return PG_BAD;
}

#endif
