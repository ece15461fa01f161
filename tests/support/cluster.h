/*
 * A private PostgreSQL for tests, made by tests/support/postgres.sh, which says what roles it has.
 *
 * tests/run starts one for all binaries and names it in TEST_POSTGRES; a test that harms its server, or runs on its own,
 * gets one for itself. Every test makes databases of its own in it.
 */
#ifndef TESTS_SUPPORT_CLUSTER_H
#define TESTS_SUPPORT_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/child.h"
#include "tests/support/libpq.h"

struct cluster {
	char directory[256]; /* of postgres.sh */
	char host[108];      /* the directory of its unix socket */
	char program[256];   /* the directory of psql, pgbench ... */
	uint16_t port;
	bool owned; /* started here */
	struct child server;
};

/* The shared one, else one of its own. In an unchecked fixture: it lives for all tests of a case. */
void cluster_open(struct cluster *cluster);
/* One of its own, which may be harmed. */
void cluster_open_own(struct cluster *cluster);
void cluster_close(struct cluster *cluster);
/* Only for an own one: stops it by `signal` (SIGINT: fast, SIGQUIT: immediate, SIGTERM: fast), and starts it again, on the
 * same port and unix socket. The process that opened it must do so. */
void cluster_stop(struct cluster *cluster, int signal);
void cluster_start_again(struct cluster *cluster);

/* A new, empty database that any role may use; its name is written to `name`. No two of a run are the same. */
#define DATABASE_NAME_BYTES 64
void cluster_create_database(const struct cluster *cluster, char name[DATABASE_NAME_BYTES]);
/* Ends all sessions in it and drops it. */
void cluster_drop_database(const struct cluster *cluster, const char *name);

/* As the superuser, by unix socket; the caller finishes it. */
PGconn *cluster_connect(const struct cluster *cluster, const char *database);
/* How many sessions of clients the database has now. `role` NULL: of any. */
int cluster_count_backends(PGconn *super, const char *database, const char *role);
/* The server process of that pid has left pg_stat_activity. */
bool cluster_backend_is_gone(PGconn *super, int pid);

#endif
