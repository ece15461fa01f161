/*
 * One message's frame: a type byte and a length.
 *
 *      +------+-------------------+----------------- - -
 *      | type | length, 4 bytes   | body
 *      +------+-------------------+----------------- - -
 *      1 byte   big endian, counts itself and the body, not the type
 *
 * Pure: no state, any thread. Source: PostgreSQL manual, "Message Formats"; PQ_LARGE_MESSAGE_LIMIT of its source.
 */
#ifndef PROTOCOL_FRAME_H
#define PROTOCOL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/message.h"

/* What every parser of this library answers. */
enum pg_result {
	PG_OK,   /* parsed; the output is filled */
	PG_MORE, /* the bytes so far are a correct beginning; call again with more */
	PG_BAD,  /* these bytes can never become a correct message */
};

#define PG_FRAME_HEADER_BYTES 5u

struct pg_frame {
	uint8_t type;
	uint32_t body_bytes;  /* without type and length */
	uint32_t total_bytes; /* with them */
};

static inline uint32_t pg_load_u32(const uint8_t *at)
{
	return ((uint32_t)at[0] << 24) | ((uint32_t)at[1] << 16) | ((uint32_t)at[2] << 8) | (uint32_t)at[3];
}

static inline uint16_t pg_load_u16(const uint8_t *at)
{
	return (uint16_t)(((unsigned)at[0] << 8) | at[1]);
}

/* Reads a header from `size` bytes at `data`. Looks at no byte of the body. BAD: a length below 4 or above PostgreSQL's
 * bound. `frame` is written only on PG_OK. Inline: it runs once a message. */
static inline enum pg_result pg_frame_parse(const uint8_t *data, size_t size, struct pg_frame *frame)
{
	if (size < PG_FRAME_HEADER_BYTES)
		return PG_MORE;
	uint32_t length = pg_load_u32(data + 1);
	if (length < 4 || length > PG_MESSAGE_LENGTH_MAX)
		return PG_BAD;
	frame->type = data[0];
	frame->body_bytes = length - 4;
	frame->total_bytes = length + 1;
	return PG_OK;
}

#endif
