/*
 * Bytes being written.
 *
 * A growing array with a sticky `failed`: after an allocation failed, or a message grew beyond PostgreSQL's bound,
 * every further put does nothing, so a message's code reads like its definition and looks at `failed` once, at the end.
 * Integers are written big endian, strings with their NUL.
 *
 * Not shared between threads.
 */
#ifndef PROTOCOL_BUFFER_H
#define PROTOCOL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_buffer {
	uint8_t *data; /* owned; NULL while nothing was written */
	size_t length;
	size_t capacity;
	bool failed; /* sticky: memory ran out, or a length does not fit its field */
};

#define PG_BUFFER_EMPTY ((struct pg_buffer){ NULL, 0, 0, false })

void pg_buffer_init(struct pg_buffer *buffer);
/* Frees the bytes; the buffer is empty and usable again. */
void pg_buffer_clear(struct pg_buffer *buffer);
/* As pg_buffer_clear, after overwriting the bytes: for passwords and keys. */
void pg_buffer_wipe(struct pg_buffer *buffer);
/* Makes room for `bytes` more; false (and failed) when there is no memory. Bytes that move leave a copy in freed
 * memory: reserve before a password is put. */
bool pg_buffer_reserve(struct pg_buffer *buffer, size_t bytes);
/* Drops the first `bytes` (at most length) and moves the rest to the front. */
void pg_buffer_consume(struct pg_buffer *buffer, size_t bytes);

void pg_buffer_put_u8(struct pg_buffer *buffer, uint8_t value);
void pg_buffer_put_u16(struct pg_buffer *buffer, uint16_t value);
void pg_buffer_put_u32(struct pg_buffer *buffer, uint32_t value);
void pg_buffer_put_bytes(struct pg_buffer *buffer, const void *bytes, size_t count);
/* The string and its NUL. */
void pg_buffer_put_string(struct pg_buffer *buffer, const char *string);

/* Opens a message: type byte and room for the length. Returns where it began, for pg_buffer_end, which fills in the
 * length. Messages do not nest. */
size_t pg_buffer_begin(struct pg_buffer *buffer, uint8_t type);
void pg_buffer_end(struct pg_buffer *buffer, size_t begin);
/* Writes over four bytes that were put before, at offset `at`: for lengths that are known only at the end. */
void pg_buffer_set_u32(struct pg_buffer *buffer, size_t at, uint32_t value);

#endif
