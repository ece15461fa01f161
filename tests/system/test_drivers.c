/*
 * Real drivers and clients, from their packages: what applications do with them works through pgweir.
 *
 * The programs are in tests/system/drivers; each ends with 0 when all it did went well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/support/stage.h"
#include "tests/support/watcher.h"

Suite *drivers_suite(void);

#define DRIVER_MS 120000

static void must_succeed(const char *const *argv, const char *const *extra)
{
	int status = child_run(argv, extra, NULL, DRIVER_MS);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s failed", argv[0], argv[1]);
}

static void run_psycopg(const char *mode)
{
	char conninfo[200];

	stage_start(mode, 4, "");
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%u dbname=app user=app_user", stage.weir.port);
	must_succeed((const char *const[]){ "/usr/bin/python3", "tests/system/drivers/psycopg_driver.py", conninfo,
					    mode, NULL },
		     NULL);
}

START_TEST(psycopg_in_transaction_mode)
{
	run_psycopg("transaction");
}
END_TEST

START_TEST(psycopg_in_session_mode)
{
	run_psycopg("session");
}
END_TEST

START_TEST(node_postgres)
{
	char port[8];
	/* Debian's place, and where tests/setup unpacks it beside a nodejs from elsewhere. */
	const char *const extra[] = { "NODE_PATH=/usr/share/nodejs:build/node/usr/share/nodejs", NULL };

	stage_start("transaction", 4, "");
	snprintf(port, sizeof(port), "%u", stage.weir.port);
	must_succeed((const char *const[]){ "node", "tests/system/drivers/node_driver.js", port, "app", "app_user",
					    NULL },
		     extra);
}
END_TEST

static void run_jdbc(const char *mode)
{
	char port[8];

	stage_start(mode, 4, "");
	snprintf(port, sizeof(port), "%u", stage.weir.port);
	must_succeed((const char *const[]){ "java", "-Xmx128m", "-XX:+UseSerialGC", "-cp",
					    "/usr/share/java/postgresql.jar", "tests/system/drivers/JdbcDriver.java",
					    port, "app", "app_user", mode, NULL },
		     NULL);
}

START_TEST(jdbc_in_transaction_mode)
{
	run_jdbc("transaction");
}
END_TEST

START_TEST(jdbc_in_session_mode)
{
	run_jdbc("session");
}
END_TEST

/* 500 clients over a pool of 20, no error, and PostgreSQL never sees more than 20. */
static void run_pgbench(const char *protocol)
{
	char port[8], program[300];
	struct watcher watcher;

	stage_start("transaction", 20, "");
	snprintf(port, sizeof(port), "%u", stage.weir.port);
	snprintf(program, sizeof(program), "%s/pgbench", stage.cluster.program);
	must_succeed((const char *const[]){ program, "-h", "127.0.0.1", "-p", port, "-U", "app_user", "-i", "-q", "app",
					    NULL },
		     NULL);
	watcher_start(&watcher, &stage.cluster, stage.database);
	/* pgbench ends with another status than 0 when a client has failed. */
	must_succeed((const char *const[]){ program, "-h", "127.0.0.1", "-p", port, "-U", "app_user", "-n", "-S", "-M",
					    protocol, "-c", "500", "-j", "2", "-t", "20", "app", NULL },
		     NULL);
	ck_assert_int_le(watcher_stop(&watcher), 20);
}

START_TEST(pgbench_simple_with_500_clients)
{
	run_pgbench("simple");
}
END_TEST

START_TEST(pgbench_extended_with_500_clients)
{
	run_pgbench("extended");
}
END_TEST

Suite *drivers_suite(void)
{
	Suite *suite = suite_create("drivers");
	TCase *tcase = stage_case("drivers", 150);

	tcase_add_test(tcase, psycopg_in_transaction_mode);
	tcase_add_test(tcase, psycopg_in_session_mode);
	tcase_add_test(tcase, node_postgres);
	tcase_add_test(tcase, jdbc_in_transaction_mode);
	tcase_add_test(tcase, jdbc_in_session_mode);
	tcase_add_test(tcase, pgbench_simple_with_500_clients);
	tcase_add_test(tcase, pgbench_extended_with_500_clients);
	suite_add_tcase(suite, tcase);
	return suite;
}
