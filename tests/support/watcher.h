/*
 * Counts the sessions that PostgreSQL has in one database, as fast as it can, from a thread of its own, and keeps the most.
 *
 * A second, exact witness is the database itself: cluster_limit_backends makes PostgreSQL refuse one session more.
 */
#ifndef TESTS_SUPPORT_WATCHER_H
#define TESTS_SUPPORT_WATCHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "tests/support/cluster.h"
#include "tests/support/libpq.h"

struct watcher {
	pthread_t thread;
	PGconn *super;
	char database[DATABASE_NAME_BYTES];
	atomic_bool stop;
	atomic_int most;
	atomic_int looks;
};

void watcher_start(struct watcher *watcher, const struct cluster *cluster, const char *database);
/* The most that it has ever seen; it must have looked more than a few times. */
int watcher_stop(struct watcher *watcher);

/* From now on PostgreSQL refuses to have more sessions than that of ordinary roles in the database (53300). */
void cluster_limit_backends(const struct cluster *cluster, const char *database, int limit);

#endif
