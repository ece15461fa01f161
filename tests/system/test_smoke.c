/* One look at everything that must work before any other test makes sense. */
#include <check.h>
#include <string.h>

#include "tests/support/cluster.h"
#include "tests/support/watcher.h"
#include "tests/support/weir.h"
#include "tests/support/wire.h"

Suite *smoke_suite(void);

static struct cluster cluster;

static void set_up(void)
{
	cluster_open(&cluster);
}

static void tear_down(void)
{
	cluster_close(&cluster);
}

START_TEST(a_client_logs_in_and_gets_an_answer)
{
	struct weir weir;
	char database[DATABASE_NAME_BYTES];
	cluster_create_database(&cluster, database);
	weir_start_pool(&weir, &cluster, database, "transaction", 2, "");

	PGconn *client = weir_client(&weir);
	ck_assert_str_eq(sql_value(client, "SELECT current_database()"), database);
	ck_assert_str_eq(sql_value(client, "SELECT current_user"), "u_trust");
	sql_exec(client, "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)");
	ck_assert_int_eq(sql_number(client, "SELECT sum(a) FROM t"), 500500);
	sql_fails(client, "42P01", "SELECT * FROM nowhere");
	ck_assert_int_eq(sql_number(client, "SELECT 1"), 1);
	PQfinish(client);

	weir_stop(&weir);
	cluster_drop_database(&cluster, database);
}
END_TEST

START_TEST(the_raw_client_sees_every_message)
{
	struct weir weir;
	struct wire wire;
	char database[DATABASE_NAME_BYTES];
	cluster_create_database(&cluster, database);
	weir_start_pool(&weir, &cluster, database, "session", 1, "");

	wire_connect(&wire, &weir);
	ck_assert_int_eq(wire.status, 'I');
	wire_query(&wire, "SELECT 7; SELECT 8, 9");
	ck_assert_str_eq(wire_types_until_ready(&wire), "TDCTDCZ");
	ck_assert_str_eq(wire.tags, "SELECT 1;SELECT 1");
	ck_assert_str_eq(wire.value, "8");
	struct pg_buffer out = PG_BUFFER_EMPTY;
	wire_put_statement(&out, "SELECT 1 / 0");
	pg_build_sync(&out);
	wire_send(&wire, &out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "1EZ");
	ck_assert_str_eq(wire.sqlstate, "22012");
	wire_close(&wire);

	weir_stop(&weir);
	cluster_drop_database(&cluster, database);
}
END_TEST

START_TEST(the_watcher_sees_sessions)
{
	struct weir weir;
	struct watcher watcher;
	char database[DATABASE_NAME_BYTES];
	cluster_create_database(&cluster, database);
	weir_start_pool(&weir, &cluster, database, "session", 3, "");

	watcher_start(&watcher, &cluster, database);
	PGconn *clients[3];
	for (int i = 0; i < 3; i++) {
		clients[i] = weir_client(&weir);
		sql_exec(clients[i], "SELECT pg_sleep(0.05)");
	}
	for (int i = 0; i < 3; i++)
		PQfinish(clients[i]);
	ck_assert_int_eq(watcher_stop(&watcher), 3);

	weir_stop(&weir);
	cluster_drop_database(&cluster, database);
}
END_TEST

Suite *smoke_suite(void)
{
	Suite *suite = suite_create("smoke");
	TCase *tcase = tcase_create("smoke");

	tcase_add_unchecked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, a_client_logs_in_and_gets_an_answer);
	tcase_add_test(tcase, the_raw_client_sees_every_message);
	tcase_add_test(tcase, the_watcher_sees_sessions);
	suite_add_tcase(suite, tcase);
	return suite;
}
