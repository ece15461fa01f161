/*
 * pgbench as a crowd of clients.
 */
#ifndef TESTS_SUPPORT_PGBENCH_H
#define TESTS_SUPPORT_PGBENCH_H

#include "tests/support/cluster.h"
#include "tests/support/weir.h"

struct pgbench {
	const char *script;           /* its text; NULL: the built-in ones that arguments choose */
	const char *const *arguments; /* more of them, ending with NULL; may be NULL */
	int clients;
	int transactions; /* of each client */
};

/* Makes pgbench's tables, with PostgreSQL itself; for any role. */
void pgbench_create_tables(const struct cluster *cluster, const char *database, int scale);
/* Runs it against "app" of the pgweir as user "bench". It must meet no error at all and do all its transactions. */
void pgbench_run(const struct cluster *cluster, const struct weir *weir, const struct pgbench *bench);

#endif
