/*
 * A snapshot's clients and servers, counted for each pool.
 *
 * Belongs to one thread.
 */
#ifndef POOLER_CONSOLE_POOL_SUMS_H
#define POOLER_CONSOLE_POOL_SUMS_H

#include <stdint.h>

#include "pooler/snapshot.h"

struct pool_sum {
	uint64_t clients;   /* all of this pool */
	uint64_t cl_active; /* has a server, or nothing to do */
	uint64_t cl_waiting;
	uint64_t sv_tested;         /* being cleaned up */
	uint64_t sv_being_canceled; /* could be idle, but a cancel request is on its way to it */
	uint64_t cancels;           /* requests on their way to its servers */
};

struct pool_sums; /* opaque */

/* NULL: no memory. */
struct pool_sums *pool_sums_create(const struct snapshot *snapshot);
void pool_sums_free(struct pool_sums *sums);
/* All zero when the pool has neither clients nor servers. */
const struct pool_sum *pool_sums_find(const struct pool_sums *sums, uint64_t pool_id);

#endif
