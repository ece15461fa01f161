/*
 * Counters over time: what SHOW STATS and the log's "stats:" line say about the last stats_period.
 *
 * At the end of each period the counters of every pool are noted. An average runs from the last but one noting to now, as
 * PgBouncer's does, so it covers one to two periods:
 *
 *      noted: older             newer                now
 *      ---------|-----------------|--------------------|
 *               <---- the average is over all this --->
 *
 * A counter that counts something is shown per second; one that sums up time is shown per thing that took time: query time
 * per query, transaction time per transaction, wait time per server that was assigned.
 *
 * Pure but for memory: counters and clock come in as arguments. Belongs to one thread.
 */
#ifndef POOLER_CONSOLE_AVERAGES_H
#define POOLER_CONSOLE_AVERAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "pooler/stats.h"

struct totals {
	uint64_t value[STATS];
};

struct averages {
	struct averages_pool *pools; /* owned: what was noted, by the pool's id */
	uint64_t older_us;           /* when */
	uint64_t newer_us;
};

void averages_init(struct averages *averages, uint64_t now_us);
void averages_clear(struct averages *averages);

/* A period ends: averages_turn, averages_note for every pool there is, averages_forget_missing. */
void averages_turn(struct averages *averages, uint64_t now_us);
/* Without memory the pool's average begins with the next period. */
void averages_note(struct averages *averages, uint64_t pool_id, const struct totals *now);
void averages_forget_missing(struct averages *averages);

/* Adds to `grown` by how much a pool's counters have grown since the older noting. A pool that was not there then began at
 * 0. */
void averages_add_growth(const struct averages *averages, uint64_t pool_id, const struct totals *now,
			 struct totals *grown);
/* Averages from the growth of one pool or of many. */
void averages_of(const struct averages *averages, const struct totals *grown, uint64_t now_us, struct totals *average);

void totals_add(struct totals *sum, const struct totals *more);

#endif
