#include "pooler/handles.h"

#include <stdlib.h>

#define HANDLES_FIRST_CAPACITY 64u

void handles_init(struct handles *handles)
{
	*handles = (struct handles){ .first_free = HANDLES_NONE };
}

void handles_clear(struct handles *handles)
{
	free(handles->slots);
	handles_init(handles);
}

/* New slots go to the free list, the lowest first. */
static bool handles_grow(struct handles *handles)
{
	uint32_t capacity = handles->capacity ? handles->capacity * 2 : HANDLES_FIRST_CAPACITY;
	struct handle_slot *slots = realloc(handles->slots, capacity * sizeof(*slots));

	if (!slots)
		return false;
	for (uint32_t i = capacity; i-- > handles->capacity;) {
		slots[i] = (struct handle_slot){ .next_free = handles->first_free };
		handles->first_free = i;
	}
	handles->slots = slots;
	handles->capacity = capacity;
	return true;
}

bool handles_take(struct handles *handles, void *object, uint32_t *slot, uint32_t *generation)
{
	if (handles->first_free == HANDLES_NONE && !handles_grow(handles))
		return false;
	*slot = handles->first_free;
	struct handle_slot *taken = &handles->slots[*slot];
	handles->first_free = taken->next_free;
	taken->object = object;
	*generation = taken->generation;
	handles->used++;
	return true;
}

void handles_give_back(struct handles *handles, uint32_t slot)
{
	struct handle_slot *freed = &handles->slots[slot];

	freed->object = NULL;
	freed->generation++;
	freed->next_free = handles->first_free;
	handles->first_free = slot;
	handles->used--;
}
