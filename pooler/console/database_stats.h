/*
 * The counters of all pools brought together: by database, and in all.
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_DATABASE_STATS_H
#define POOLER_CONSOLE_DATABASE_STATS_H

#include <stdbool.h>

#include "pooler/console/averages.h"

struct shared_pool;

/* The id under which the console's own counters are noted: no pool has it. */
#define CONSOLE_POOL_ID 0

/* What one database, or all, have counted. */
struct database_stats {
	const char *database; /* borrowed: until the call returns; NULL: all */
	struct totals total;
	struct totals average;
};

/* Calls `each` for every database in use, the console last. False: no memory, some are missing. */
bool database_stats_each(const struct averages *averages, const struct totals *console, uint64_t now_us,
			 void (*each)(void *context, const struct database_stats *stats), void *context);
/* All together, the console too. */
void database_stats_all(const struct averages *averages, const struct totals *console, uint64_t now_us,
			struct database_stats *stats);
/* The counters of one pool, over all workers. */
void pool_totals(const struct shared_pool *shared, struct totals *totals);

#endif
