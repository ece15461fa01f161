/* Transaction, session and statement mode: who has a server, and for how long. */
#define _GNU_SOURCE 1 /* memmem */

#include <stdio.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *modes_suite(void);

/* ---- transaction mode ---- */

START_TEST(an_idle_client_holds_nothing)
{
	stage_start("transaction", 1, "");
	PGconn *one = weir_client(&stage.weir), *two = weir_client(&stage.weir);

	for (int i = 0; i < 20; i++)
		ck_assert_str_eq(sql_value(one, "SELECT pg_backend_pid()"), sql_value(two, "SELECT pg_backend_pid()"));
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 1);
	PQfinish(one);
	PQfinish(two);
}
END_TEST

START_TEST(a_transaction_keeps_its_server)
{
	struct wire one, two;

	stage_start("transaction", 1, "");
	wire_connect(&one, &stage.weir);
	wire_connect(&two, &stage.weir);
	wire_exec(&one, "CREATE TABLE t (a int)");
	wire_exec(&one, "BEGIN");
	wire_exec(&one, "INSERT INTO t VALUES (1)");
	wire_query(&two, "SELECT count(*) FROM t");
	ck_assert(wire_is_silent(&two, 100));
	wire_exec(&one, "INSERT INTO t VALUES (2)");
	ck_assert(wire_is_silent(&two, 50));
	/* A failed transaction is one still. */
	wire_query(&one, "SELECT 1/0");
	ck_assert_str_eq(wire_types_until_ready(&one), "EZ");
	ck_assert_int_eq(one.status, 'E');
	ck_assert(wire_is_silent(&two, 50));
	wire_exec(&one, "ROLLBACK");
	ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");
	ck_assert_str_eq(two.value, "0");
	wire_close(&one);
	wire_close(&two);
}
END_TEST

/* What is open in one way or another. */
START_TEST(what_is_not_over_is_not_released)
{
	struct wire one, two;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 1, "");
	wire_connect(&one, &stage.weir);
	wire_connect(&two, &stage.weir);
	wire_exec(&one, "CREATE TABLE t (a int)");

	/* A batch without its Sync; what it has so far is answered at a Flush. Trap 22. */
	wire_put_statement(&out, "SELECT 1");
	wire_put_flush(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until(&one, 'C'), "12TDC");
	wire_query(&two, "SELECT 2");
	ck_assert(wire_is_silent(&two, 100));
	pg_build_sync(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until_ready(&one), "Z");
	ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");

	/* Trap 39. */
	wire_query(&one, "COPY t FROM STDIN");
	ck_assert_str_eq(wire_types_until(&one, 'G'), "G");
	wire_query(&two, "SELECT count(*) FROM t");
	ck_assert(wire_is_silent(&two, 100));
	wire_put_copy_data(&out, "1\n2\n", 4);
	wire_send(&one, &out);
	ck_assert(wire_is_silent(&two, 50));
	wire_put_copy_done(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until_ready(&one), "CZ");
	ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");
	ck_assert_str_eq(two.value, "2");

	/* Trap 19: two Syncs, one answer so far. */
	wire_put_statement(&out, "SELECT 3");
	pg_build_sync(&out);
	wire_put_statement(&out, "SELECT pg_sleep(0.3)");
	pg_build_sync(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until_ready(&one), "12TDCZ");
	wire_query(&two, "SELECT 4");
	ck_assert(wire_is_silent(&two, 50));
	ck_assert_str_eq(wire_types_until_ready(&one), "12TDCZ");
	ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");
	wire_close(&one);
	wire_close(&two);
}
END_TEST

/* Trap 36. */
START_TEST(a_query_that_ends_its_transaction_releases)
{
	stage_start("transaction", 1, "");
	PGconn *one = weir_client(&stage.weir), *two = weir_client(&stage.weir);

	sql_exec(one, "BEGIN; SELECT 1; COMMIT; SELECT 2");
	ck_assert_str_eq(sql_value(two, "SELECT 3"), "3");
	sql_fails(one, "22012", "BEGIN; SELECT 1/0; COMMIT");
	sql_exec(one, "ROLLBACK");
	ck_assert_str_eq(sql_value(two, "SELECT 4"), "4");
	sql_fails(one, "22012", "SELECT 1; SELECT 1/0; SELECT 2");
	ck_assert_str_eq(sql_value(two, "SELECT 5"), "5");
	PQfinish(one);
	PQfinish(two);
}
END_TEST

/* Trap 31. Each statement is the client's, whoever had the server in between. */
START_TEST(the_unnamed_statement_over_two_transactions)
{
	struct wire one, two;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	static const char *const between[] = { "other statement", "DISCARD ALL", "DEALLOCATE ALL", "SELECT 1", "none" };

	stage_start("transaction", 1, "");
	wire_connect(&one, &stage.weir);
	wire_connect(&two, &stage.weir);
	for (size_t i = 0; i < sizeof(between) / sizeof(*between); i++) {
		wire_put_parse(&out, "", "SELECT 'one''s ' || $1");
		pg_build_sync(&out);
		wire_send(&one, &out);
		ck_assert_str_eq(wire_types_until_ready(&one), "1Z");

		if (i == 0) {
			wire_put_statement(&out, "SELECT 'two''s'");
			pg_build_sync(&out);
			wire_send(&two, &out);
			ck_assert_str_eq(wire_types_until_ready(&two), "12TDCZ");
		} else if (i < 4) {
			wire_exec(&two, between[i]);
		}

		wire_put_describe(&out, 'S', "");
		wire_put_bind(&out, "", "", (const char *[]){ "own" }, 1);
		wire_put_execute(&out, "", 0);
		pg_build_sync(&out);
		wire_send(&one, &out);
		ck_assert_str_eq(wire_types_until_ready(&one), "tT2DCZ");
		ck_assert_str_eq(one.value, "one's own");
		/* And it may be bound again. */
		wire_exec(&two, "SELECT 1");
		wire_put_bind(&out, "", "", (const char *[]){ "again" }, 1);
		wire_put_execute(&out, "", 0);
		pg_build_sync(&out);
		wire_send(&one, &out);
		ck_assert_str_eq(wire_types_until_ready(&one), "2DCZ");
		/* A simple Query ends it, in PostgreSQL and here. */
	}
	wire_close(&one);
	wire_close(&two);
}
END_TEST

START_TEST(an_unnamed_statement_that_is_not_there)
{
	struct wire one, two;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 1, "");
	wire_connect(&one, &stage.weir);
	wire_connect(&two, &stage.weir);
	wire_put_parse(&out, "", "SELECT 'secret of two'");
	pg_build_sync(&out);
	wire_send(&two, &out);
	ck_assert_str_eq(wire_types_until_ready(&two), "1Z");
	/* Never prepared by this client, trap 27. */
	wire_put_bind(&out, "", "", NULL, 0);
	wire_put_execute(&out, "", 0);
	pg_build_sync(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until_ready(&one), "EZ");
	ck_assert_str_eq(one.sqlstate, "26000");
	/* Trap 25: prepared in vain. */
	wire_put_parse(&out, "", "SELEC nonsense");
	pg_build_sync(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until_ready(&one), "EZ");
	ck_assert_str_eq(one.sqlstate, "42601");
	wire_put_bind(&out, "", "", NULL, 0);
	pg_build_sync(&out);
	wire_send(&one, &out);
	ck_assert_str_eq(wire_types_until_ready(&one), "EZ");
	ck_assert_str_eq(one.sqlstate, "26000");
	wire_close(&one);
	wire_close(&two);
}
END_TEST

START_TEST(named_statements_are_refused_in_transaction_mode)
{
	struct wire wire, other;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 1, "");
	wire_connect(&wire, &stage.weir);
	wire_connect(&other, &stage.weir);
	for (int in_transaction = 0; in_transaction < 2; in_transaction++) {
		if (in_transaction)
			wire_exec(&wire, "BEGIN");
		wire_put_parse(&out, "mine", "SELECT 1");
		wire_put_bind(&out, "", "mine", NULL, 0);
		wire_put_execute(&out, "", 0);
		pg_build_sync(&out);
		wire_send(&wire, &out);
		ck_assert_str_eq(wire_types_until_ready(&wire), "EZ");
		ck_assert_str_eq(wire.sqlstate, "0A000");
		ck_assert_str_ne(wire.hint, "");
		if (in_transaction) {
			/* The server has seen nothing of it, or has: in either case the client can end its transaction. */
			wire_query(&wire, "ROLLBACK");
			ck_assert_str_eq(wire_types_until_ready(&wire), "CZ");
			ck_assert_int_eq(wire.status, 'I');
		}
		ck_assert_str_eq(wire_value(&wire, "SELECT 2"), "2");
		ck_assert_str_eq(wire_value(&other, "SELECT 3"), "3");
	}
	/* The next group of a pipeline is not its victim. */
	wire_put_parse(&out, "mine", "SELECT 1");
	pg_build_sync(&out);
	wire_put_statement(&out, "SELECT 4");
	pg_build_sync(&out);
	wire_send(&wire, &out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "EZ");
	ck_assert_str_eq(wire_types_until_ready(&wire), "12TDCZ");
	ck_assert_str_eq(wire_value(&other, "SELECT count(*) FROM pg_prepared_statements"), "0");
	wire_close(&wire);
	wire_close(&other);
}
END_TEST

/* ---- session mode ---- */

START_TEST(a_session_keeps_its_server_and_leaves_nothing)
{
	struct wire two;

	stage_start("session", 1, "");
	PGconn *one = weir_client(&stage.weir);
	sql_exec(one, "SET work_mem = '5MB'; CREATE TEMP TABLE mine (a int); PREPARE p AS SELECT 1; LISTEN channel");
	sql_exec(one, "SELECT pg_advisory_lock(7)");
	const char *pid = sql_value(one, "SELECT pg_backend_pid()");
	wire_open(&two, stage.weir.port);
	struct pg_buffer out = PG_BUFFER_EMPTY;
	wire_put_startup(&out, 3u << 16, (const char *[]){ "user", "joe", "database", "app", NULL });
	pg_build_query(&out, "SELECT pg_backend_pid()");
	wire_send(&two, &out);
	/* Its welcome may come, its answer not. */
	ck_assert_str_eq(sql_value(one, "SHOW work_mem"), "5MB");
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 1);
	PQfinish(one);
	ck_assert_str_eq(wire_types_until_ready(&two), "RKZ");
	ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");
	/* The same server, but as new: server_reset_query. */
	ck_assert_str_eq(two.value, pid);
	ck_assert_str_eq(wire_value(&two, "SHOW work_mem"), sql_value(stage.super, "SHOW work_mem"));
	ck_assert_str_eq(wire_value(&two, "SELECT to_regclass('mine') IS NULL"), "t");
	ck_assert_str_eq(wire_value(&two, "SELECT count(*) FROM pg_prepared_statements"), "0");
	ck_assert_str_eq(wire_value(&two, "SELECT count(*) FROM pg_listening_channels()"), "0");
	ck_assert_str_eq(wire_value(&two, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = "
					  "pg_backend_pid()"),
			 "0");
	wire_close(&two);
}
END_TEST

START_TEST(named_statements_work_in_a_session)
{
	stage_start("session", 2, "");
	PGconn *one = weir_client(&stage.weir), *two = weir_client(&stage.weir);

	for (int round = 0; round < 3; round++) {
		PGresult *result = PQprepare(one, "same", "SELECT 'one ' || $1", 0, NULL);
		ck_assert_int_eq(PQresultStatus(result), round ? PGRES_FATAL_ERROR : PGRES_COMMAND_OK);
		PQclear(result);
		result = PQprepare(two, "same", "SELECT 'two ' || $1", 0, NULL);
		PQclear(result);
		result = PQexecPrepared(one, "same", 1, (const char *[]){ "x" }, NULL, NULL, 0);
		ck_assert_str_eq(PQgetvalue(result, 0, 0), "one x");
		PQclear(result);
		result = PQexecPrepared(two, "same", 1, (const char *[]){ "y" }, NULL, NULL, 0);
		ck_assert_str_eq(PQgetvalue(result, 0, 0), "two y");
		PQclear(result);
	}
	PQfinish(one);
	PQfinish(two);
}
END_TEST

START_TEST(notifications_reach_an_idle_session)
{
	struct wire listener;
	struct wire_message message;

	stage_start("session", 2, "");
	wire_connect(&listener, &stage.weir);
	wire_exec(&listener, "LISTEN news");
	PGconn *direct = stage_direct();
	for (int i = 0; i < 3; i++) {
		sql_exec(direct, "NOTIFY news, 'number %d'", i);
		ck_assert(wire_read(&listener, &message));
		ck_assert_int_eq(message.type, PG_BACKEND_NOTIFICATION);
		ck_assert_ptr_nonnull(memmem(message.body, message.body_bytes, "number ", 7));
		ck_assert_int_eq(message.body[message.body_bytes - 2], '0' + i);
	}
	ck_assert_str_eq(wire_value(&listener, "SELECT 1"), "1");
	PQfinish(direct);
	wire_close(&listener);
}
END_TEST

/* ---- statement mode ---- */

START_TEST(statement_mode_refuses_transactions)
{
	static const char *const refused[] = { "BEGIN", "begin isolation level serializable", "START TRANSACTION",
					       "SELECT 1; BEGIN", "/* so */ BEGIN" };
	stage_start("statement", 1, "");
	PGconn *client = weir_client(&stage.weir), *other = weir_client(&stage.weir);

	sql_exec(client, "CREATE TABLE t (a int)");
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		/* Whether the client may go on or has to come again is not said: that it is told why, is. */
		PGresult *result = sql_result(client, "%s", refused[i]);
		ck_assert_int_eq(PQresultStatus(result), PGRES_FATAL_ERROR);
		ck_assert_msg(strstr(PQerrorMessage(client), "statement") != NULL, "%s", PQerrorMessage(client));
		PQclear(result);
		if (PQstatus(client) == CONNECTION_BAD) {
			PQfinish(client);
			client = weir_client(&stage.weir);
		}
		/* The server is clean for the others. */
		struct wire wire;
		wire_connect(&wire, &stage.weir);
		ck_assert_str_eq(wire_value(&wire, "SELECT 1"), "1");
		ck_assert_int_eq(wire.status, 'I');
		wire_close(&wire);
		ck_assert_str_eq(sql_value(other, "SELECT 2"), "2");
	}
	sql_exec(client, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
	ck_assert_int_eq(sql_number(other, "SELECT count(*) FROM t"), 2);
	PQfinish(client);
	PQfinish(other);
}
END_TEST

/* ---- where it is set ---- */

START_TEST(modes_by_database_and_by_user)
{
	weir_start(&stage.weir,
		   "auth_type = \"trust\"; pool_mode = \"transaction\"; default_pool_size = 1; databases = (\n"
		   "{ name = \"app\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; },\n"
		   "{ name = \"sessions\"; conninfo = \"host=%s port=%u dbname=%s user=app password=app\"; pool_mode = "
		   "\"session\"; } );\n"
		   "users = ( { name = \"stayer\"; pool_mode = \"session\"; } );",
		   stage.cluster.host, stage.cluster.port, stage.database, stage.cluster.host, stage.cluster.port,
		   stage.database);
	static const struct {
		const char *database, *user;
		bool keeps;
	} cases[] = { { "app", "joe", false }, { "sessions", "joe", true }, { "app", "stayer", true } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct wire wire;
		wire_open(&wire, stage.weir.port);
		wire_login(&wire, cases[i].user, cases[i].database, NULL, NULL);
		/* What a session may do, and a transaction pool must refuse for now. */
		struct pg_buffer out = PG_BUFFER_EMPTY;
		wire_put_parse(&out, "named", "SELECT 1");
		pg_build_sync(&out);
		wire_send(&wire, &out);
		ck_assert_str_eq(wire_types_until_ready(&wire), cases[i].keeps ? "1Z" : "EZ");
		wire_close(&wire);
	}
	/* Trap 70: the session that used the same servers as app's transactions has left nothing. */
	struct wire wire;
	wire_connect(&wire, &stage.weir);
	ck_assert_str_eq(wire_value(&wire, "SELECT count(*) FROM pg_prepared_statements"), "0");
	wire_close(&wire);
}
END_TEST

Suite *modes_suite(void)
{
	Suite *suite = suite_create("modes");
	TCase *tcase = stage_case("modes", 60);

	tcase_add_test(tcase, an_idle_client_holds_nothing);
	tcase_add_test(tcase, a_transaction_keeps_its_server);
	tcase_add_test(tcase, what_is_not_over_is_not_released);
	tcase_add_test(tcase, a_query_that_ends_its_transaction_releases);
	tcase_add_test(tcase, the_unnamed_statement_over_two_transactions);
	tcase_add_test(tcase, an_unnamed_statement_that_is_not_there);
	tcase_add_test(tcase, named_statements_are_refused_in_transaction_mode);
	tcase_add_test(tcase, a_session_keeps_its_server_and_leaves_nothing);
	tcase_add_test(tcase, named_statements_work_in_a_session);
	tcase_add_test(tcase, notifications_reach_an_idle_session);
	tcase_add_test(tcase, statement_mode_refuses_transactions);
	tcase_add_test(tcase, modes_by_database_and_by_user);
	suite_add_tcase(suite, tcase);
	return suite;
}
