#include "protocol/buffer.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "protocol/message.h"

#define BUFFER_BYTES_MIN 64u

void pg_buffer_init(struct pg_buffer *buffer)
{
	*buffer = PG_BUFFER_EMPTY;
}

void pg_buffer_clear(struct pg_buffer *buffer)
{
	free(buffer->data);
	pg_buffer_init(buffer);
}

void pg_buffer_wipe(struct pg_buffer *buffer)
{
	/* All of the capacity: bytes that were consumed still lie behind the length. */
	if (buffer->data)
		OPENSSL_cleanse(buffer->data, buffer->capacity);
	pg_buffer_clear(buffer);
}

bool pg_buffer_reserve(struct pg_buffer *buffer, size_t bytes)
{
	if (buffer->failed)
		return false;
	if (bytes <= buffer->capacity - buffer->length)
		return true;
	if (bytes > SIZE_MAX / 2 - buffer->length) {
		buffer->failed = true;
		return false;
	}

	size_t capacity = buffer->length + bytes;
	if (capacity < buffer->capacity * 2)
		capacity = buffer->capacity * 2;
	if (capacity < BUFFER_BYTES_MIN)
		capacity = BUFFER_BYTES_MIN;
	uint8_t *data = realloc(buffer->data, capacity);
	if (!data) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void pg_buffer_consume(struct pg_buffer *buffer, size_t bytes)
{
	if (bytes >= buffer->length) {
		buffer->length = 0;
		return;
	}
	if (bytes == 0)
		return;
	memmove(buffer->data, buffer->data + bytes, buffer->length - bytes);
	buffer->length -= bytes;
}

void pg_buffer_put_u8(struct pg_buffer *buffer, uint8_t value)
{
	if (!pg_buffer_reserve(buffer, 1))
		return;
	buffer->data[buffer->length++] = value;
}

void pg_buffer_put_u16(struct pg_buffer *buffer, uint16_t value)
{
	const uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };
	pg_buffer_put_bytes(buffer, bytes, sizeof(bytes));
}

void pg_buffer_put_u32(struct pg_buffer *buffer, uint32_t value)
{
	if (!pg_buffer_reserve(buffer, 4))
		return;
	buffer->length += 4;
	pg_buffer_set_u32(buffer, buffer->length - 4, value);
}

void pg_buffer_put_bytes(struct pg_buffer *buffer, const void *bytes, size_t count)
{
	if (count == 0 || !pg_buffer_reserve(buffer, count))
		return;
	memcpy(buffer->data + buffer->length, bytes, count);
	buffer->length += count;
}

void pg_buffer_put_string(struct pg_buffer *buffer, const char *string)
{
	pg_buffer_put_bytes(buffer, string, strlen(string) + 1);
}

size_t pg_buffer_begin(struct pg_buffer *buffer, uint8_t type)
{
	size_t begin = buffer->length;
	pg_buffer_put_u8(buffer, type);
	pg_buffer_put_u32(buffer, 0);
	return begin;
}

void pg_buffer_end(struct pg_buffer *buffer, size_t begin)
{
	if (buffer->failed)
		return;
	size_t length = buffer->length - begin - 1;
	if (length > PG_MESSAGE_LENGTH_MAX) {
		buffer->failed = true;
		return;
	}
	pg_buffer_set_u32(buffer, begin + 1, (uint32_t)length);
}

void pg_buffer_set_u32(struct pg_buffer *buffer, size_t at, uint32_t value)
{
	if (buffer->failed)
		return;
	uint8_t *bytes = buffer->data + at;
	bytes[0] = (uint8_t)(value >> 24);
	bytes[1] = (uint8_t)(value >> 16);
	bytes[2] = (uint8_t)(value >> 8);
	bytes[3] = (uint8_t)value;
}
