/*
 * What a pool is told about itself: its bounds and times, as configured.
 */
#ifndef POOLER_POOL_POLICY_H
#define POOLER_POOL_POLICY_H

#include <stdint.h>

/* Workers that a pool knows of, and so the most there can be. */
#define POOL_WORKERS_MAX 16

struct pool_policy {
	uint32_t size;            /* most members at any moment, at least 1 */
	uint32_t min_size;        /* kept open, at most size */
	uint64_t lifetime_us;     /* a member older than this is retired when it is free; 0: never */
	uint64_t idle_timeout_us; /* a member idle for longer is retired, down to min_size; 0: never */
	uint64_t retry_us; /* longest pause between attempts to open while they fail: 100 ms at first, then doubled */
};

#endif
