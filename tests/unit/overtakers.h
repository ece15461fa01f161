/*
 * First come, first served, judged from outside.
 *
 * Nobody can look into a lock to see who came first. So each call is taken as the interval between two ticks of a
 * common clock, and only what is certain counts: who had asked before another began to ask must not be served after the
 * other had been.
 */
#ifndef TESTS_UNIT_OVERTAKERS_H
#define TESTS_UNIT_OVERTAKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct interval {
	uint64_t before, after;
};

struct service {
	struct interval asked, served;
	bool requeued; /* served later than its turn, and rightly so */
};

/* How many were served before somebody who had surely asked earlier. Sorts the services. */
size_t overtakers_count(struct service *services, size_t count);

#endif
