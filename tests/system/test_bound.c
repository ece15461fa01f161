/*
 * The bound: never more sessions in PostgreSQL than pool_size, at any moment, and whoever waits is served in his turn.
 *
 * Two witnesses: a thread that looks all the time, and PostgreSQL's own CONNECTION LIMIT, which refuses one session more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/pgbench.h"
#include "tests/support/stage.h"
#include "tests/support/watcher.h"
#include "tests/support/wire.h"

Suite *bound_suite(void);

static const int worker_counts[] = { 1, 2, 4 };

/* A crowd on a pool of `size`, with PostgreSQL forbidding more. */
static void crowd(int size, const char *mode, const char *more, const struct pgbench *bench)
{
	struct watcher watcher;

	cluster_limit_backends(&stage.cluster, stage.database, size);
	stage_start(mode, size, more);
	watcher_start(&watcher, &stage.cluster, stage.database);
	pgbench_run(&stage.cluster, &stage.weir, bench);
	int most = watcher_stop(&watcher);
	ck_assert_int_gt(most, 0);
	ck_assert_int_le(most, size);
	ck_assert(!weir_log_contains(&stage.weir, "too many connections"));
	stage_stop();
}

START_TEST(a_hundred_clients_over_five)
{
	char more[64];

	snprintf(more, sizeof(more), "workers = %d;", worker_counts[_i]);
	crowd(5, "transaction", more,
	      &(struct pgbench){ "BEGIN;\nSELECT pg_sleep(0.0005);\nCOMMIT;\n", NULL, 100, 50 });
	crowd(5, "transaction", more,
	      &(struct pgbench){ "SELECT 1;\n", (const char *[]){ "-M", "extended", NULL }, 100, 100 });
}
END_TEST

/* A client that leaves at once, and connects anew for each transaction. */
START_TEST(clients_that_come_and_go)
{
	char more[64];

	snprintf(more, sizeof(more), "workers = %d;", worker_counts[_i]);
	crowd(3, "transaction", more, &(struct pgbench){ "SELECT 1;\n", (const char *[]){ "-C", NULL }, 30, 20 });
	crowd(3, "session", more, &(struct pgbench){ "SELECT 1;\n", (const char *[]){ "-C", NULL }, 30, 20 });
}
END_TEST

/* server_lifetime 0: each server serves once, so that one is always leaving while the next comes. */
START_TEST(servers_that_come_and_go)
{
	char more[64];

	snprintf(more, sizeof(more), "workers = %d; server_lifetime = 0;", worker_counts[_i]);
	crowd(4, "transaction", more, &(struct pgbench){ "SELECT 1;\n", NULL, 40, 25 });
}
END_TEST

/* First come, first served, over all workers. */
START_TEST(the_line_is_kept)
{
	enum { CLIENTS = 24 };
	static struct wire clients[CLIENTS];
	struct wire holder;
	char more[64], expected[16];

	snprintf(more, sizeof(more), "workers = %d;", worker_counts[_i]);
	stage_start("transaction", 1, more);
	wire_connect(&holder, &stage.weir);
	wire_exec(&holder, "CREATE SEQUENCE turn");
	PGconn *console = weir_console(&stage.weir);
	for (int i = 0; i < CLIENTS; i++)
		wire_connect(&clients[i], &stage.weir);
	for (int round = 0; round < 3; round++) {
		wire_exec(&holder, "BEGIN; SELECT setval('turn', 1, false)");
		for (int i = 0; i < CLIENTS; i++) {
			wire_query(&clients[i], "SELECT nextval('turn')");
			/* One after the other: each stands in line before the next comes. */
			snprintf(expected, sizeof(expected), "%d", i + 1);
			ck_assert(eventually(
				strcmp(weir_show(console, "POOLS", "database", "app", "cl_waiting"), expected) == 0));
		}
		wire_exec(&holder, "COMMIT");
		for (int i = 0; i < CLIENTS; i++) {
			wire_types_until_ready(&clients[i]);
			ck_assert_int_eq(atoi(clients[i].value), i + 1);
		}
	}
	for (int i = 0; i < CLIENTS; i++)
		wire_close(&clients[i]);
	wire_close(&holder);
	PQfinish(console);
}
END_TEST

START_TEST(who_waits_too_long_is_told_why)
{
	struct wire holder, waiter;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct wire_message message;
	struct pg_error_fields fields;

	/* A worker knows its own holders. */
	stage_start("transaction", 1, "query_wait_timeout = \"300ms\"; workers = 1;");
	wire_open(&holder, stage.weir.port);
	wire_login(&holder, "joe", "app", NULL, (const char *[]){ "application_name", "the holder", NULL });
	wire_exec(&holder, "BEGIN");
	wire_connect(&waiter, &stage.weir);
	wire_put_statement(&out, "SELECT 1");
	pg_build_sync(&out);
	int64_t begin = now_ms();
	wire_send(&waiter, &out);
	ck_assert(wire_read(&waiter, &message));
	ck_assert_int_ge(now_ms() - begin, 250);
	ck_assert_int_eq(message.type, PG_BACKEND_ERROR);
	ck_assert_int_eq(pg_parse_error(message.body, message.body_bytes, &fields), PG_OK);
	/* The pool, its bound, the time waited, and who holds it. */
	char all[2048];
	snprintf(all, sizeof(all), "%s %s %s", fields.message, fields.detail, fields.hint);
	static const char *const parts[] = { "query_wait_timeout", "app", "u_trust",
					     "pool_size is 1",     " s)", "the holder" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		ck_assert_msg(strstr(all, parts[i]) != NULL, "\"%s\" is not in: %s", parts[i], all);
	ck_assert_str_eq(fields.sqlstate, "53300");
	/* The holder was not troubled. */
	wire_exec(&holder, "COMMIT");
	wire_close(&waiter);
	wire_connect(&waiter, &stage.weir);
	ck_assert_str_eq(wire_value(&waiter, "SELECT 2"), "2");
	wire_close(&waiter);
	wire_close(&holder);
}
END_TEST

/* A client that leaves the line makes no trouble for those behind it. */
START_TEST(who_waits_may_leave)
{
	struct wire holder, clients[20];

	stage_start("transaction", 1, _i ? "workers = 3;" : "");
	wire_connect(&holder, &stage.weir);
	wire_exec(&holder, "BEGIN");
	for (int i = 0; i < 20; i++) {
		wire_connect(&clients[i], &stage.weir);
		wire_query(&clients[i], "SELECT 1");
	}
	for (int i = 0; i < 20; i += 2)
		wire_reset(&clients[i]);
	wire_exec(&holder, "COMMIT");
	for (int i = 1; i < 20; i += 2) {
		ck_assert_str_eq(wire_types_until_ready(&clients[i]), "TDCZ");
		wire_close(&clients[i]);
	}
	ck_assert_str_eq(wire_value(&holder, "SELECT 1"), "1");
	wire_close(&holder);
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 1);
}
END_TEST

START_TEST(each_pool_has_its_own_bound)
{
	weir_start(&stage.weir,
		   "auth_type = \"trust\"; default_pool_size = 1; databases = (\n"
		   "{ name = \"a\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; },\n"
		   "{ name = \"b\"; conninfo = \"host=%s port=%u dbname=%s user=u_trust\"; pool_size = 2; },\n"
		   "{ name = \"c\"; conninfo = \"host=%s port=%u dbname=%s\"; } );",
		   stage.cluster.host, stage.cluster.port, stage.database, stage.cluster.host, stage.cluster.port,
		   stage.database, stage.cluster.host, stage.cluster.port, stage.database);
	/* Two users of "c" are two pools; u_trust is known to PostgreSQL, and so is postgres. */
	static const struct {
		const char *database, *user;
	} places[] = { { "a", "joe" }, { "b", "joe" }, { "b", "ann" }, { "c", "u_trust" }, { "c", "postgres" } };
	struct wire wires[5];
	for (int i = 0; i < 5; i++) {
		wire_open(&wires[i], stage.weir.port);
		wire_login(&wires[i], places[i].user, places[i].database, NULL, NULL);
		wire_exec(&wires[i], "BEGIN");
	}
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 5);
	struct wire waiter;
	wire_open(&waiter, stage.weir.port);
	wire_login(&waiter, "ann", "a", NULL, NULL);
	wire_query(&waiter, "SELECT 1");
	ck_assert(wire_is_silent(&waiter, 100));
	wire_exec(&wires[0], "COMMIT");
	ck_assert_str_eq(wire_types_until_ready(&waiter), "TDCZ");
	wire_close(&waiter);
	for (int i = 0; i < 5; i++)
		wire_close(&wires[i]);
}
END_TEST

START_TEST(the_last_used_is_used_first)
{
	struct wire wires[4];
	char pid[32];

	/* A worker takes its own servers first. */
	stage_start("transaction", 4, "workers = 1;");
	for (int i = 0; i < 4; i++) {
		wire_connect(&wires[i], &stage.weir);
		wire_exec(&wires[i], "BEGIN");
	}
	for (int i = 0; i < 4; i++)
		wire_exec(&wires[i], "COMMIT");
	snprintf(pid, sizeof(pid), "%s", wire_value(&wires[0], "SELECT pg_backend_pid()"));
	for (int i = 0; i < 20; i++)
		ck_assert_str_eq(wire_value(&wires[i % 4], "SELECT pg_backend_pid()"), pid);
	for (int i = 0; i < 4; i++)
		wire_close(&wires[i]);
}
END_TEST

START_TEST(min_pool_size_is_there_and_stays)
{
	stage_start("transaction", 5, "min_pool_size = 3; server_idle_timeout = \"200ms\"; workers = 2;");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "SELECT 1");
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) == 3));
	/* Trap 82: idle time does not cycle them below it. */
	struct wire wires[5];
	for (int i = 0; i < 5; i++) {
		wire_connect(&wires[i], &stage.weir);
		wire_exec(&wires[i], "BEGIN");
	}
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 5);
	for (int i = 0; i < 5; i++)
		wire_exec(&wires[i], "COMMIT");
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) == 3));
	const char *oldest =
		"SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE datname = '%s'";
	const char *before = sql_value(stage.super, oldest, stage.database);
	pause_ms(700);
	ck_assert_str_eq(sql_value(stage.super, oldest, stage.database), before);
	for (int i = 0; i < 5; i++)
		wire_close(&wires[i]);
	PQfinish(client);
}
END_TEST

START_TEST(idle_servers_leave)
{
	stage_start("transaction", 5, "server_idle_timeout = \"200ms\";");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "SELECT 1");
	ck_assert_int_eq(cluster_count_backends(stage.super, stage.database, NULL), 1);
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) == 0));
	ck_assert_str_eq(sql_value(client, "SELECT 2"), "2");
	PQfinish(client);
}
END_TEST

START_TEST(old_servers_leave_when_they_are_free)
{
	stage_start("transaction", 1, "server_lifetime = \"300ms\";");
	PGconn *client = weir_client(&stage.weir);
	const char *pid = sql_value(client, "SELECT pg_backend_pid()");
	/* Not in the middle of a transaction. */
	sql_exec(client, "BEGIN");
	const char *held = sql_value(client, "SELECT pg_backend_pid()");
	pause_ms(600);
	ck_assert_str_eq(sql_value(client, "SELECT pg_backend_pid()"), held);
	sql_exec(client, "COMMIT");
	ck_assert(eventually(strcmp(sql_value(client, "SELECT pg_backend_pid()"), pid) != 0));
	PQfinish(client);
}
END_TEST

Suite *bound_suite(void)
{
	Suite *suite = suite_create("bound");
	TCase *crowds = stage_case("crowds", 240), *life = stage_case("life", 60);

	tcase_add_loop_test(crowds, a_hundred_clients_over_five, 0, 3);
	tcase_add_loop_test(crowds, clients_that_come_and_go, 0, 3);
	tcase_add_loop_test(crowds, servers_that_come_and_go, 0, 3);
	suite_add_tcase(suite, crowds);

	tcase_add_loop_test(life, the_line_is_kept, 0, 3);
	tcase_add_test(life, who_waits_too_long_is_told_why);
	tcase_add_loop_test(life, who_waits_may_leave, 0, 2);
	tcase_add_test(life, each_pool_has_its_own_bound);
	tcase_add_test(life, the_last_used_is_used_first);
	tcase_add_test(life, min_pool_size_is_there_and_stays);
	tcase_add_test(life, idle_servers_leave);
	tcase_add_test(life, old_servers_leave_when_they_are_free);
	suite_add_tcase(suite, life);
	return suite;
}
