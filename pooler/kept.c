#include "pooler/kept.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_STEP_BYTES 128u

bool kept_set(struct kept *kept, const uint8_t *data, size_t size)
{
	if (size == 0) {
		free(kept->data);
		*kept = (struct kept){ 0 };
		return true;
	}
	if (size > kept->capacity) {
		size_t capacity = (size + KEPT_STEP_BYTES - 1) & ~(size_t)(KEPT_STEP_BYTES - 1);
		uint8_t *grown = malloc(capacity);
		if (!grown)
			return false;
		memcpy(grown, data, size);
		free(kept->data);
		*kept = (struct kept){ grown, (uint32_t)size, (uint32_t)capacity };
		return true;
	}
	memmove(kept->data, data, size);
	kept->length = (uint32_t)size;
	return true;
}
