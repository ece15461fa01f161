/* One look at everything that must work before any other test makes sense, the harness included. */
#include "tests/support/stage.h"
#include "tests/support/watcher.h"
#include "tests/support/wire.h"

Suite *smoke_suite(void);

START_TEST(a_client_logs_in_and_gets_an_answer)
{
	stage_start("transaction", 2, "");

	PGconn *client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SELECT current_database()"), stage.database);
	ck_assert_str_eq(sql_value(client, "SELECT current_user"), "u_trust");
	sql_exec(client, "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)");
	ck_assert_int_eq(sql_number(client, "SELECT sum(a) FROM t"), 500500);
	sql_fails(client, "42P01", "SELECT * FROM nowhere");
	ck_assert_int_eq(sql_number(client, "SELECT 1"), 1);
	PQfinish(client);
}
END_TEST

START_TEST(the_raw_client_sees_every_message)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	stage_start("session", 1, "");

	wire_connect(&wire, &stage.weir);
	ck_assert_int_eq(wire.status, 'I');
	wire_query(&wire, "SELECT 7; SELECT 8, 9");
	ck_assert_str_eq(wire_types_until_ready(&wire), "TDCTDCZ");
	ck_assert_str_eq(wire.tags, "SELECT 1;SELECT 1");
	ck_assert_str_eq(wire.value, "8");
	wire_put_statement(&out, "SELECT 1 / a FROM generate_series(-1, 1) AS a");
	pg_build_sync(&out);
	wire_send(&wire, &out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "12TDEZ");
	ck_assert_str_eq(wire.sqlstate, "22012");
	wire_close(&wire);
}
END_TEST

START_TEST(the_watcher_sees_sessions)
{
	struct watcher watcher;
	PGconn *clients[3];
	stage_start("session", 3, "");

	watcher_start(&watcher, &stage.cluster, stage.database);
	for (int i = 0; i < 3; i++) {
		clients[i] = weir_client(&stage.weir);
		sql_exec(clients[i], "SELECT pg_sleep(0.05)");
	}
	for (int i = 0; i < 3; i++)
		PQfinish(clients[i]);
	ck_assert_int_eq(watcher_stop(&watcher), 3);
}
END_TEST

/* The witness that all tests of the bound rely on. */
START_TEST(postgresql_itself_refuses_a_session_too_many)
{
	cluster_limit_backends(&stage.cluster, stage.database, 2);
	PGconn *first = stage_direct(), *second = stage_direct();
	sql_refused("too many connections", "host=%s port=%u user=u_trust dbname=%s", stage.cluster.host,
		    stage.cluster.port, stage.database);
	PQfinish(first);
	PQfinish(second);
}
END_TEST

Suite *smoke_suite(void)
{
	Suite *suite = suite_create("smoke");
	TCase *tcase = stage_case("smoke", 30);

	tcase_add_test(tcase, a_client_logs_in_and_gets_an_answer);
	tcase_add_test(tcase, the_raw_client_sees_every_message);
	tcase_add_test(tcase, the_watcher_sees_sessions);
	tcase_add_test(tcase, postgresql_itself_refuses_a_session_too_many);
	suite_add_tcase(suite, tcase);
	return suite;
}
