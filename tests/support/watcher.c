#include "tests/support/watcher.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/sql.h"

/* No assertion in here: only the test's main thread may make them. */
static void *watch(void *argument)
{
	struct watcher *watcher = argument;
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND backend_type = 'client backend'",
		 watcher->database);
	while (!watcher->stop) {
		PGresult *result = PQexec(watcher->super, sql);
		if (PQresultStatus(result) == PGRES_TUPLES_OK) {
			int count = atoi(PQgetvalue(result, 0, 0));
			if (count > watcher->most)
				watcher->most = count;
			watcher->looks++;
		}
		PQclear(result);
	}
	return NULL;
}

void watcher_start(struct watcher *watcher, const struct cluster *cluster, const char *database)
{
	*watcher = (struct watcher){ .super = cluster_connect(cluster, "postgres") };
	snprintf(watcher->database, sizeof(watcher->database), "%s", database);
	ck_assert_int_eq(pthread_create(&watcher->thread, NULL, watch, watcher), 0);
}

int watcher_stop(struct watcher *watcher)
{
	watcher->stop = true;
	pthread_join(watcher->thread, NULL);
	PQfinish(watcher->super);
	ck_assert_int_gt(watcher->looks, 5);
	return watcher->most;
}

void cluster_limit_backends(const struct cluster *cluster, const char *database, int limit)
{
	PGconn *super = cluster_connect(cluster, "postgres");

	sql_exec(super, "ALTER DATABASE %s CONNECTION LIMIT %d", database, limit);
	PQfinish(super);
}
