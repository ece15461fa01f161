/*
 * Time in microseconds. Any thread.
 */
#ifndef POOLER_CLOCK_H
#define POOLER_CLOCK_H

#include <stdint.h>
#include <time.h>

#define USEC_PER_MS 1000ull
#define USEC_PER_SEC 1000000ull

/* Never goes back; has no relation to the calendar. For all time-outs and durations. */
static inline uint64_t clock_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* Since 1970, for people. */
static inline uint64_t clock_wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

#endif
