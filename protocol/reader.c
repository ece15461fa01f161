#include "protocol/reader.h"

#include <string.h>

#include "protocol/frame.h"

void pg_reader_init(struct pg_reader *reader, const void *data, size_t size)
{
	/* An empty string's address stands for NULL, so that no pointer arithmetic is done on NULL. */
	reader->at = data ? data : (const uint8_t *)"";
	reader->end = reader->at + (data ? size : 0);
	reader->failed = false;
}

size_t pg_reader_left(const struct pg_reader *reader)
{
	return reader->failed ? 0 : (size_t)(reader->end - reader->at);
}

const uint8_t *pg_reader_bytes(struct pg_reader *reader, size_t count)
{
	if (reader->failed || count > pg_reader_left(reader)) {
		reader->failed = true;
		return NULL;
	}
	const uint8_t *bytes = reader->at;
	reader->at += count;
	return bytes;
}

uint8_t pg_reader_u8(struct pg_reader *reader)
{
	const uint8_t *bytes = pg_reader_bytes(reader, 1);
	return bytes ? bytes[0] : 0;
}

uint16_t pg_reader_u16(struct pg_reader *reader)
{
	const uint8_t *bytes = pg_reader_bytes(reader, 2);
	return bytes ? pg_load_u16(bytes) : 0;
}

uint32_t pg_reader_u32(struct pg_reader *reader)
{
	const uint8_t *bytes = pg_reader_bytes(reader, 4);
	return bytes ? pg_load_u32(bytes) : 0;
}

const char *pg_reader_string(struct pg_reader *reader)
{
	const uint8_t *nul = memchr(reader->at, '\0', pg_reader_left(reader));
	if (!nul) {
		reader->failed = true;
		return "";
	}
	const char *string = (const char *)reader->at;
	reader->at = nul + 1;
	return string;
}

bool pg_reader_done(const struct pg_reader *reader)
{
	return !reader->failed && reader->at == reader->end;
}
