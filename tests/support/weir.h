/*
 * A pgweir of a test's own: a child on a free port and a unix socket of its own, with a configuration of the test's.
 *
 * Its log lies in its directory, which weir_stop removes: what a failed test leaves is shown by tests/run.
 */
#ifndef TESTS_SUPPORT_WEIR_H
#define TESTS_SUPPORT_WEIR_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/child.h"
#include "tests/support/cluster.h"
#include "tests/support/libpq.h"
#include "tests/support/sql.h"

struct weir {
	struct child process;
	char directory[200]; /* of config and log */
	char socket[108];    /* the directory of its unix socket */
	char config[256];
	char log[256];
	uint16_t port;
	const char *listen_addr;  /* borrowed; may be changed between weir_prepare and weir_configure */
	const char *const *extra; /* borrowed; as child_options.extra; may be set after weir_prepare */
};

/* All in one: a configuration without listen_addr, listen_port and unix_socket_dir, which are put in front. Returns when it
 * takes connections. */
void weir_start(struct weir *weir, const char *settings, ...) SQL_PRINTF_2;

/* What most tests want: trust, one database "app" that is `database` of the cluster with the forced user u_trust, "ops" as
 * admin and "viewer" as stats user. `more` is put behind it ("" for nothing). */
void weir_start_pool(struct weir *weir, const struct cluster *cluster, const char *database, const char *mode,
		     int pool_size, const char *more);

/* The same in steps. */
void weir_prepare(struct weir *weir);
void weir_configure(struct weir *weir, const char *settings, ...) SQL_PRINTF_2;
/* False: it has ended before it took connections, and the log says why. */
bool weir_launch(struct weir *weir);

/* Ends it by SIGTERM, and a second one for those clients that are still there. It must end by itself and well, without a
 * sanitizer's word in the log. Removes what it left. */
void weir_stop(struct weir *weir);
/* It has ended by itself, within the patience of tests and by an exit; removes what it left. Its wait status. */
int weir_ended(struct weir *weir);

/* A client by TCP; `conninfo` says the rest: "dbname=app user=joe". Fails the test when it is not let in. */
PGconn *weir_connect(const struct weir *weir, const char *conninfo, ...) SQL_PRINTF_2;
/* A client of "app", as user "app_user". */
PGconn *weir_client(const struct weir *weir);
/* The console, as the admin "ops". */
PGconn *weir_console(const struct weir *weir);
/* A cell of a console table: the column of the first row where `key_column` has that value; "" when there is none. Valid
 * until the next call. */
const char *weir_show(PGconn *console, const char *table, const char *key_column, const char *key, const char *column);

bool weir_log_contains(const struct weir *weir, const char *text);

#endif
