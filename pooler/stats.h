/*
 * Counters. Each has one writer, the worker that it belongs to; anybody may read, at any time, without a lock.
 *
 * Names and meanings are PgBouncer's SHOW STATS. Times in microseconds.
 */
#ifndef POOLER_STATS_H
#define POOLER_STATS_H

#include <stdint.h>

enum stat_kind {
	STAT_SERVER_ASSIGNMENT_COUNT, /* a server was given to a client */
	STAT_XACT_COUNT,
	STAT_QUERY_COUNT,
	STAT_RECEIVED, /* bytes from clients */
	STAT_SENT,     /* bytes to clients */
	STAT_XACT_TIME,
	STAT_QUERY_TIME,
	STAT_WAIT_TIME, /* clients in line */
	STAT_CLIENT_PARSE_COUNT,
	STAT_SERVER_PARSE_COUNT,
	STAT_BIND_COUNT,
	STAT_CLIENT_LOGIN_COUNT,
	STATS
};

struct stats {
	uint64_t value[STATS];
} __attribute__((aligned(64)));

static inline void stats_add(struct stats *stats, enum stat_kind stat, uint64_t amount)
{
	__atomic_store_n(&stats->value[stat], stats->value[stat] + amount, __ATOMIC_RELAXED);
}

static inline uint64_t stats_read(const struct stats *stats, enum stat_kind stat)
{
	return __atomic_load_n(&stats->value[stat], __ATOMIC_RELAXED);
}

#endif
