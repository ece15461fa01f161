#include "tests/support/cluster.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/clock.h"
#include "tests/support/directory.h"
#include "tests/support/sql.h"

#define START_TIMEOUT_MS 60000

/* ---- the place: DIR/env ---- */

static void read_entry(const char *text, const char *name, char *out, size_t out_bytes)
{
	const char *at = strstr(text, name);

	ck_assert_msg(at != NULL, "no %s in the cluster's env", name);
	at += strlen(name);
	size_t bytes = strcspn(at, "\n");
	ck_assert_uint_lt(bytes, out_bytes);
	memcpy(out, at, bytes);
	out[bytes] = '\0';
}

static void read_place(struct cluster *cluster)
{
	char path[300], port[16];

	snprintf(path, sizeof(path), "%s/env", cluster->directory);
	char *text = file_text(path);
	read_entry(text, "PGHOST=", cluster->host, sizeof(cluster->host));
	read_entry(text, "PGPORT=", port, sizeof(port));
	read_entry(text, "PGBIN=", cluster->program, sizeof(cluster->program));
	cluster->port = (uint16_t)atoi(port);
	free(text);
}

/* The postmaster writes it into the last line of its pid file. */
static bool is_ready(const struct cluster *cluster)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/data/postmaster.pid", cluster->directory);
	return file_contains(path, "\nready");
}

/* ---- starting and stopping ---- */

static bool start_once(struct cluster *cluster, const char *const *extra)
{
	const char *argv[] = { SOURCE_DIRECTORY "/tests/support/postgres.sh", "run", cluster->directory, NULL };
	char output[300];

	snprintf(output, sizeof(output), "%s.output", cluster->directory);
	child_start(&cluster->server, argv, &(struct child_options){ output, extra, SIGTERM });
	int64_t deadline = now_ms() + START_TIMEOUT_MS;
	while (!is_ready(cluster)) {
		if (!child_is_running(&cluster->server))
			return false;
		ck_assert_msg(now_ms() < deadline, "PostgreSQL is not ready after a minute");
		pause_ms(5);
	}
	read_place(cluster);
	return true;
}

void cluster_open_own(struct cluster *cluster)
{
	char path[200];

	memset(cluster, 0, sizeof(*cluster));
	directory_create(path, sizeof(path), "postgres");
	snprintf(cluster->directory, sizeof(cluster->directory), "%s/cluster", path);
	cluster->owned = true;
	/* Somebody else may have taken the port in between. */
	for (int i = 0; i < 5; i++)
		if (start_once(cluster, NULL))
			return;
	ck_abort_msg("PostgreSQL does not start: see %s.output and %s/log", cluster->directory, cluster->directory);
}

void cluster_open(struct cluster *cluster)
{
	const char *shared = getenv("TEST_POSTGRES");

	if (!shared) {
		cluster_open_own(cluster);
		return;
	}
	memset(cluster, 0, sizeof(*cluster));
	snprintf(cluster->directory, sizeof(cluster->directory), "%s", shared);
	read_place(cluster);
}

void cluster_stop(struct cluster *cluster, int signal)
{
	ck_assert(cluster->owned);
	child_signal(&cluster->server, signal);
	ck_assert_msg(child_wait(&cluster->server, START_TIMEOUT_MS), "PostgreSQL does not stop");
}

void cluster_start_again(struct cluster *cluster)
{
	char port[32], socket[150];

	snprintf(port, sizeof(port), "POSTGRES_PORT=%u", cluster->port);
	snprintf(socket, sizeof(socket), "POSTGRES_SOCKET=%s", cluster->host);
	ck_assert_msg(start_once(cluster, (const char *[]){ port, socket, NULL }), "PostgreSQL does not start again");
}

void cluster_close(struct cluster *cluster)
{
	if (!cluster->owned)
		return;
	if (child_is_running(&cluster->server))
		cluster_stop(cluster, SIGQUIT);
	*strrchr(cluster->directory, '/') = '\0';
	directory_remove(cluster->directory);
}

/* ---- databases ---- */

PGconn *cluster_connect(const struct cluster *cluster, const char *database)
{
	return sql_connect("host=%s port=%u user=postgres dbname=%s", cluster->host, cluster->port, database);
}

void cluster_create_database(const struct cluster *cluster, char name[DATABASE_NAME_BYTES])
{
	static unsigned number;
	PGconn *super = cluster_connect(cluster, "postgres");

	snprintf(name, DATABASE_NAME_BYTES, "t_%d_%u", (int)getpid(), ++number);
	/* A file copy of the template is quicker than WAL, and only one may copy at a time. */
	sql_exec(super, "SELECT pg_advisory_lock(1)");
	sql_exec(super, "CREATE DATABASE %s OWNER app STRATEGY file_copy", name);
	PQfinish(super);
	super = cluster_connect(cluster, name);
	sql_exec(super, "GRANT ALL ON SCHEMA public TO PUBLIC");
	PQfinish(super);
}

void cluster_drop_database(const struct cluster *cluster, const char *name)
{
	PGconn *super = cluster_connect(cluster, "postgres");

	sql_exec(super, "DROP DATABASE %s WITH (FORCE)", name);
	PQfinish(super);
}

int cluster_count_backends(PGconn *super, const char *database, const char *role)
{
	return (int)sql_number(super,
			       "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
			       "AND datname = '%s' AND usename LIKE '%s'",
			       database, role ? role : "%");
}

bool cluster_backend_is_gone(PGconn *super, int pid)
{
	return sql_number(super, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", pid) == 0;
}
