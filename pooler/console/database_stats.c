#include "pooler/console/database_stats.h"

#include <stdlib.h>
#include <string.h>

#include "pooler/console/tables.h"
#include "pooler/hash.h"
#include "pooler/pools.h"

struct group {
	UT_hash_handle hh;
	struct totals total;
	struct totals grown;
	char database[]; /* the key */
};

struct gathering {
	const struct averages *averages;
	struct group *groups; /* owned; by database */
	struct totals total;  /* of all */
	struct totals grown;
	bool by_database;
	bool failed;
};

void pool_totals(const struct shared_pool *shared, struct totals *totals)
{
	for (unsigned i = 0; i < STATS; i++)
		totals->value[i] = pools_stat(shared, i);
}

/* NULL: no memory. */
static struct group *find_or_make(struct gathering *all, const char *database)
{
	struct group *group = NULL, *made = NULL;
	size_t bytes = strlen(database) + 1;

	HASH_FIND_STR(all->groups, database, group);
	if (group)
		return group;
	made = calloc(1, sizeof(*made) + bytes);
	if (!made)
		return NULL;
	memcpy(made->database, database, bytes);
	HASH_ADD_STR(all->groups, database, made);
	HASH_FIND_STR(all->groups, database, group);
	if (!group)
		free(made);
	return group;
}

static bool add_pool(struct shared_pool *shared, void *context)
{
	struct gathering *all = context;
	struct totals now;

	pool_totals(shared, &now);
	totals_add(&all->total, &now);
	averages_add_growth(all->averages, shared->id, &now, &all->grown);
	if (!all->by_database)
		return true;
	struct group *group = find_or_make(all, shared->database);
	if (!group) {
		all->failed = true;
		return true;
	}
	totals_add(&group->total, &now);
	averages_add_growth(all->averages, shared->id, &now, &group->grown);
	return true;
}

bool database_stats_each(const struct averages *averages, const struct totals *console, uint64_t now_us,
			 void (*each)(void *context, const struct database_stats *stats), void *context)
{
	struct gathering all = { .averages = averages, .by_database = true };
	struct group *it, *spare;

	pools_each(add_pool, &all);
	HASH_ITER(hh, all.groups, it, spare) {
		struct database_stats stats = { .database = it->database, .total = it->total };
		averages_of(averages, &it->grown, now_us, &stats.average);
		each(context, &stats);
		HASH_DEL(all.groups, it);
		free(it);
	}
	struct totals grown = { { 0 } };
	struct database_stats stats = { .database = CONSOLE_DATABASE, .total = *console };
	averages_add_growth(averages, CONSOLE_POOL_ID, console, &grown);
	averages_of(averages, &grown, now_us, &stats.average);
	each(context, &stats);
	return !all.failed;
}

void database_stats_all(const struct averages *averages, const struct totals *console, uint64_t now_us,
			struct database_stats *stats)
{
	struct gathering all = { .averages = averages };

	pools_each(add_pool, &all);
	totals_add(&all.total, console);
	averages_add_growth(averages, CONSOLE_POOL_ID, console, &all.grown);
	*stats = (struct database_stats){ .total = all.total };
	averages_of(averages, &all.grown, now_us, &stats->average);
}
