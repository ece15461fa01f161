/*
 * Bytes that were read and could not be passed on yet: the beginning of a message, or a request that waits for a server.
 */
#ifndef POOLER_KEPT_H
#define POOLER_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kept {
	uint8_t *data; /* owned; NULL while there are none */
	uint32_t length;
	uint32_t capacity;
};

/* Keeps these bytes instead of what was kept; they may lie in the kept bytes themselves. None: the memory is given back.
 * False: no memory, and nothing has changed. */
bool kept_set(struct kept *kept, const uint8_t *data, size_t size);

#endif
