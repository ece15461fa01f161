/* Known traps of poolers that belong to no other file. tests/TRAPS.md says where the others are. */
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *traps_suite(void);

static const char *pool_column(PGconn *console, const char *column)
{
	return weir_show(console, "POOLS", "database", "app", column);
}

/* Trap 54: a client that leaves just when its answer comes costs no server. */
START_TEST(trap_54_leaving_at_the_last_answer)
{
	struct wire wire;
	char pid[32];

	stage_start("transaction", 1, "");
	wire_connect(&wire, &stage.weir);
	strcpy(pid, wire_value(&wire, "SELECT pg_backend_pid()"));
	wire_close(&wire);
	for (int i = 0; i < 50; i++) {
		struct pg_buffer out = PG_BUFFER_EMPTY;
		wire_connect(&wire, &stage.weir);
		pg_build_query(&out, "SELECT 1");
		pg_build_terminate(&out);
		wire_send(&wire, &out);
		if (i % 2)
			wire_types_until(&wire, 'C');
		wire_close(&wire);
	}
	wire_connect(&wire, &stage.weir);
	ck_assert_str_eq(wire_value(&wire, "SELECT pg_backend_pid()"), pid);
	wire_close(&wire);
	ck_assert(!weir_log_contains(&stage.weir, "FATAL"));
}
END_TEST

/* A query that is followed by Terminate is done, as PostgreSQL does it. */
START_TEST(fire_and_forget)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 1, "");
	wire_connect(&wire, &stage.weir);
	wire_exec(&wire, "CREATE TABLE t (a int)");
	pg_build_query(&out, "INSERT INTO t SELECT 1 FROM pg_sleep(0.3)");
	pg_build_terminate(&out);
	wire_send(&wire, &out);
	wire_close(&wire);
	wire_connect(&wire, &stage.weir);
	ck_assert_str_eq(wire_value(&wire, "SELECT count(*) FROM t"), "1");
	wire_close(&wire);
}
END_TEST

/* Trap 66: what is changed on the server reaches new clients once its connections are new. */
START_TEST(trap_66_a_changed_default_reaches_new_clients)
{
	stage_start("transaction", 2, "");
	PGconn *client = weir_client(&stage.weir), *console = weir_console(&stage.weir);
	ck_assert_str_ne(PQparameterStatus(client, "TimeZone"), "Asia/Tokyo");
	sql_exec(stage.super, "ALTER DATABASE %s SET TimeZone = 'Asia/Tokyo'", stage.database);
	PQfinish(client);
	sql_exec(console, "RECONNECT app");
	sql_exec(console, "WAIT_CLOSE app");
	/* The first one makes the new connection known; it is told right, too. */
	client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SHOW TimeZone"), PQparameterStatus(client, "TimeZone"));
	PQfinish(client);
	client = weir_client(&stage.weir);
	ck_assert_str_eq(PQparameterStatus(client, "TimeZone"), "Asia/Tokyo");
	ck_assert_str_eq(sql_value(client, "SHOW TimeZone"), "Asia/Tokyo");
	PQfinish(client);
	PQfinish(console);
}
END_TEST

/* Trap 81: clients that break off at any point of their login are counted once, and gone afterwards. */
START_TEST(trap_81_broken_off_logins_are_counted_once)
{
	struct wire wires[30];
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir);
	sql_exec(console, "SET max_client_conn = 40");
	PGconn *holder = weir_client(&stage.weir);
	sql_exec(holder, "BEGIN");
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 30; i++) {
			/* An application name that the server must be asked about: it waits in line for its welcome. */
			const char *const pairs[] = { "user", "joe", "database", "app", "work_mem", "3MB", NULL };
			wire_open(&wires[i], stage.weir.port);
			wire_put_startup(&out, 196608, pairs);
			if (i % 3 == 0)
				wire_send_bytes(&wires[i], out.data, out.length / 2);
			else
				wire_send_bytes(&wires[i], out.data, out.length);
			pg_buffer_clear(&out);
		}
		ck_assert(eventually(strcmp(pool_column(console, "cl_waiting"), "20") == 0));
		for (int i = 0; i < 30; i++)
			i % 2 ? wire_close(&wires[i]) : wire_reset(&wires[i]);
		ck_assert(eventually(strcmp(pool_column(console, "cl_waiting"), "0") == 0));
	}
	sql_exec(holder, "COMMIT");
	for (int i = 0; i < 30; i++)
		wire_connect(&wires[i], &stage.weir);
	ck_assert_str_eq(pool_column(console, "cl_active"), "31");
	for (int i = 0; i < 30; i++)
		wire_close(&wires[i]);
	PQfinish(holder);
	PQfinish(console);
}
END_TEST

/* Trap 49: cancel requests count against no limit. */
START_TEST(trap_49_cancels_are_not_counted)
{
	struct wire wire;

	stage_start("transaction", 1, "");
	PGconn *console = weir_console(&stage.weir);
	sql_exec(console, "SET max_client_conn = 2");
	wire_connect(&wire, &stage.weir);
	wire_query(&wire, "SELECT pg_sleep(30)");
	PGconn *direct = stage_direct();
	ck_assert(
		eventually(sql_number(direct, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND "
					      "query LIKE 'SELECT pg_sleep%%' AND datname = current_database()") == 1));
	wire_cancel(&wire, stage.weir.port);
	wire_types_until_ready(&wire);
	ck_assert_str_eq(wire.sqlstate, "57014");
	wire_close(&wire);
	PQfinish(direct);
	PQfinish(console);
}
END_TEST

/* Trap 80: odd things said to the console at login. */
START_TEST(trap_80_the_console_by_its_other_name)
{
	stage_start("transaction", 1, "");
	PGconn *console = weir_connect(&stage.weir, "dbname=pgbouncer user=ops options='-c work_mem=1MB'");
	ck_assert_str_ne(sql_value(console, "SHOW VERSION"), "");
	PQfinish(console);
	sql_refused("may not use the console", "host=127.0.0.1 port=%u dbname=pgweir user=stranger", stage.weir.port);
	sql_refused("", "host=127.0.0.1 port=%u dbname=pgweir user=ops replication=database", stage.weir.port);
}
END_TEST

Suite *traps_suite(void)
{
	Suite *suite = suite_create("traps");
	TCase *tcase = stage_case("traps", 60);

	tcase_add_test(tcase, trap_54_leaving_at_the_last_answer);
	tcase_add_test(tcase, fire_and_forget);
	tcase_add_test(tcase, trap_66_a_changed_default_reaches_new_clients);
	tcase_add_test(tcase, trap_81_broken_off_logins_are_counted_once);
	tcase_add_test(tcase, trap_49_cancels_are_not_counted);
	tcase_add_test(tcase, trap_80_the_console_by_its_other_name);
	suite_add_tcase(suite, tcase);
	return suite;
}
