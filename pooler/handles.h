/*
 * Names for objects that other threads may speak of but not touch.
 *
 * A handle is a slot in the owner's table and the generation in which it was given out. When the object is gone, its slot
 * is used again with the next generation, so a letter that comes late finds nobody instead of a stranger.
 *
 * Belongs to one thread.
 */
#ifndef POOLER_HANDLES_H
#define POOLER_HANDLES_H

#include <stdbool.h>
#include <stdint.h>

#define HANDLES_NONE UINT32_MAX

struct handle_slot {
	void *object;        /* borrowed: until handles_give_back; NULL: free */
	uint32_t generation; /* of the object, or of the next one */
	uint32_t next_free;
};

struct handles {
	struct handle_slot *slots; /* owned */
	uint32_t capacity;
	uint32_t used;
	uint32_t first_free;
};

void handles_init(struct handles *handles);
void handles_clear(struct handles *handles);
/* A slot for the object; false: no memory. */
bool handles_take(struct handles *handles, void *object, uint32_t *slot, uint32_t *generation);
void handles_give_back(struct handles *handles, uint32_t slot);

static inline void *handles_find(const struct handles *handles, uint32_t slot, uint32_t generation)
{
	if (slot >= handles->capacity || handles->slots[slot].generation != generation)
		return (void *)0;
	return handles->slots[slot].object;
}

#endif
