/*
 * What nearly every system test has: the cluster, a database of its own, and a pgweir that the test starts as it likes.
 *
 * A case made by stage_case opens the cluster once, gives each test a new database, and after each test that went well ends the
 * pgweir, which must end well, and drops the database.
 */
#ifndef TESTS_SUPPORT_STAGE_H
#define TESTS_SUPPORT_STAGE_H

#include <check.h>

#include "tests/support/cluster.h"
#include "tests/support/sql.h"
#include "tests/support/weir.h"

struct stage {
	struct cluster cluster;
	char database[DATABASE_NAME_BYTES];
	struct weir weir;
	PGconn *super; /* past pgweir, and in another database: it is not counted in this one */
};

extern struct stage stage;

/* `seconds` is the bound for one test. */
TCase *stage_case(const char *name, double seconds);
/* The same with a PostgreSQL of its own for each test, which may be harmed. */
TCase *stage_case_with_own_cluster(const char *name, double seconds);

/* weir_start_pool with the stage's cluster and database. */
void stage_start(const char *mode, int pool_size, const char *more);
/* Ends the pgweir, so that another can be started. */
void stage_stop(void);
/* What PostgreSQL itself says, by unix socket, as u_trust in the stage's database: to compare with. */
PGconn *stage_direct(void);

#endif
