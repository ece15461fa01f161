/*
 * Bytes being read.
 *
 * Reads from borrowed bytes with a sticky `failed`: after reading past the end every further read answers 0, NULL or an
 * empty string, so a message's code reads like its definition and looks at `failed` once, at the end.
 *
 * Pure: no allocation, any thread.
 */
#ifndef PROTOCOL_READER_H
#define PROTOCOL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_reader {
	const uint8_t *at; /* borrowed: until the caller's bytes go */
	const uint8_t *end;
	bool failed;
};

void pg_reader_init(struct pg_reader *reader, const void *data, size_t size);
size_t pg_reader_left(const struct pg_reader *reader);
uint8_t pg_reader_u8(struct pg_reader *reader);
uint16_t pg_reader_u16(struct pg_reader *reader);
uint32_t pg_reader_u32(struct pg_reader *reader);
/* A NUL-terminated string, borrowed. Without a NUL before the end: failed, and "" is returned (never NULL). */
const char *pg_reader_string(struct pg_reader *reader);
/* `count` bytes, borrowed; NULL and failed when there are fewer. */
const uint8_t *pg_reader_bytes(struct pg_reader *reader, size_t count);
/* True when nothing failed and every byte was read. */
bool pg_reader_done(const struct pg_reader *reader);

#endif
