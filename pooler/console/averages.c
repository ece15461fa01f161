#include "pooler/console/averages.h"

#include <stdlib.h>
#include <string.h>

#include "pooler/clock.h"
#include "pooler/hash.h"

struct averages_pool {
	UT_hash_handle hh;
	uint64_t pool_id; /* the key */
	struct totals older;
	struct totals newer;
	bool there; /* noted in this turn */
};

void averages_init(struct averages *averages, uint64_t now_us)
{
	*averages = (struct averages){ .older_us = now_us, .newer_us = now_us };
}

void averages_clear(struct averages *averages)
{
	struct averages_pool *it, *spare;

	HASH_ITER(hh, averages->pools, it, spare) {
		HASH_DEL(averages->pools, it);
		free(it);
	}
}

static struct averages_pool *find(const struct averages *averages, uint64_t pool_id)
{
	struct averages_pool *found = NULL;

	HASH_FIND(hh, averages->pools, &pool_id, sizeof(pool_id), found);
	return found;
}

void averages_turn(struct averages *averages, uint64_t now_us)
{
	struct averages_pool *it, *spare;

	averages->older_us = averages->newer_us;
	averages->newer_us = now_us;
	HASH_ITER(hh, averages->pools, it, spare)
		it->there = false;
}

void averages_note(struct averages *averages, uint64_t pool_id, const struct totals *now)
{
	struct averages_pool *pool = find(averages, pool_id);

	if (!pool) {
		pool = calloc(1, sizeof(*pool));
		if (!pool)
			return;
		pool->pool_id = pool_id;
		HASH_ADD(hh, averages->pools, pool_id, sizeof(pool->pool_id), pool);
		if (find(averages, pool_id) != pool) {
			free(pool);
			return;
		}
	}
	pool->older = pool->newer;
	pool->newer = *now;
	pool->there = true;
}

void averages_forget_missing(struct averages *averages)
{
	struct averages_pool *it, *spare;

	HASH_ITER(hh, averages->pools, it, spare) {
		if (it->there)
			continue;
		HASH_DEL(averages->pools, it);
		free(it);
	}
}

void totals_add(struct totals *sum, const struct totals *more)
{
	for (unsigned i = 0; i < STATS; i++)
		sum->value[i] += more->value[i];
}

void averages_add_growth(const struct averages *averages, uint64_t pool_id, const struct totals *now,
			 struct totals *grown)
{
	static const struct totals nothing;
	const struct averages_pool *pool = find(averages, pool_id);
	const struct totals *older = pool ? &pool->older : &nothing;

	for (unsigned i = 0; i < STATS; i++)
		grown->value[i] += now->value[i] - older->value[i];
}

/* Of what a time is the sum; STATS: it is no time, but a count. */
static unsigned what_took(unsigned stat)
{
	switch (stat) {
	case STAT_XACT_TIME:
		return STAT_XACT_COUNT;
	case STAT_QUERY_TIME:
		return STAT_QUERY_COUNT;
	case STAT_WAIT_TIME:
		return STAT_SERVER_ASSIGNMENT_COUNT;
	default:
		return STATS;
	}
}

void averages_of(const struct averages *averages, const struct totals *grown, uint64_t now_us, struct totals *average)
{
	uint64_t duration_us = now_us > averages->older_us ? now_us - averages->older_us : 0;

	memset(average, 0, sizeof(*average));
	for (unsigned i = 0; i < STATS; i++) {
		unsigned of = what_took(i);
		if (of == STATS && duration_us)
			/* In floating point: bytes times a million leaves 64 bits behind. */
			average->value[i] =
				(uint64_t)((double)grown->value[i] * (double)USEC_PER_SEC / (double)duration_us);
		else if (of != STATS && grown->value[of])
			average->value[i] = grown->value[i] / grown->value[of];
	}
}
