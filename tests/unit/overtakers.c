#include "tests/unit/overtakers.h"

#include <stdlib.h>
#include <string.h>

static int by_asked_before(const void *left, const void *right)
{
	const struct service *a = left, *b = right;

	return a->asked.before < b->asked.before ? -1 : 1;
}

static int by_asked_after(const void *left, const void *right)
{
	const struct service *a = left, *b = right;

	return a->asked.after < b->asked.after ? -1 : 1;
}

size_t overtakers_count(struct service *services, size_t count)
{
	struct service *earlier = malloc(count * sizeof(*earlier));
	size_t passed = 0, overtakers = 0;
	uint64_t latest = 0; /* service of those who had asked before this one began to */

	memcpy(earlier, services, count * sizeof(*earlier));
	qsort(services, count, sizeof(*services), by_asked_before);
	qsort(earlier, count, sizeof(*earlier), by_asked_after);
	for (size_t i = 0; i < count; i++) {
		for (; passed < count && earlier[passed].asked.after < services[i].asked.before; passed++)
			if (!earlier[passed].requeued && earlier[passed].served.before > latest)
				latest = earlier[passed].served.before;
		overtakers += services[i].served.after < latest;
	}
	free(earlier);
	return overtakers;
}
