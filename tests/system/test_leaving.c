/* Somebody leaves: clients in the middle of anything, servers under any client. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *leaving_suite(void);

/* ---- clients that disappear ---- */

static void in_transaction(struct wire *wire)
{
	wire_exec(wire, "BEGIN; INSERT INTO t VALUES (666)");
}

static void in_failed_transaction(struct wire *wire)
{
	wire_exec(wire, "BEGIN; INSERT INTO t VALUES (666)");
	wire_query(wire, "SELECT 1/0");
	wire_types_until_ready(wire);
	ck_assert_int_eq(wire->status, 'E');
}

/* Trap 51. */
static void in_a_long_result(struct wire *wire)
{
	struct wire_message message;

	wire_query(wire, "SELECT a, repeat('x', 1000) FROM generate_series(1, 500000) AS a");
	for (int i = 0; i < 10; i++)
		ck_assert(wire_read(wire, &message));
}

/* pg_sleep runs in PostgreSQL. */
static bool somebody_sleeps(void)
{
	return sql_number(stage.super,
			  "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND wait_event = 'PgSleep'",
			  stage.database) == 1;
}

static void in_a_long_query(struct wire *wire)
{
	wire_query(wire, "BEGIN; INSERT INTO t VALUES (666); SELECT pg_sleep(60)");
	ck_assert(eventually(somebody_sleeps()));
}

static void in_copy_in(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_query(wire, "COPY t FROM STDIN");
	wire_types_until(wire, 'G');
	wire_put_copy_data(&out, "666\n", 4);
	wire_send(wire, &out);
}

static void in_extended_copy_in(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_put_statement(&out, "COPY t FROM STDIN");
	pg_build_sync(&out);
	wire_put_copy_data(&out, "666\n", 4);
	wire_send(wire, &out);
	wire_types_until(wire, 'G');
}

static void in_half_a_copy_data(struct wire *wire)
{
	wire_query(wire, "COPY t FROM STDIN");
	wire_types_until(wire, 'G');
	wire_send_bytes(wire,
			"d\0\0\1\0"
			"666\n666",
			12);
}

static void in_copy_out(struct wire *wire)
{
	struct wire_message message;

	wire_query(wire, "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 500000)) TO STDOUT");
	for (int i = 0; i < 10; i++)
		ck_assert(wire_read(wire, &message));
}

/* Trap 52: the half must not be completed by what the next client sends. */
static void in_half_a_query(struct wire *wire)
{
	wire_send_bytes(wire, "Q\0\0\0\100INSERT INTO t VALUES (666); --", 36);
}

static void in_half_a_long_query(struct wire *wire)
{
	/* Longer than any buffer, so that a part of it has been passed on. */
	enum { BYTES = 1000000 };
	uint8_t *message = malloc(BYTES);

	ck_assert_ptr_nonnull(message);
	memset(message, ' ', BYTES);
	memcpy(message,
	       "Q\0\55\306\300"
	       "INSERT INTO t VALUES (666); --",
	       35);
	wire_send_bytes(wire, message, BYTES);
	free(message);
}

static void in_half_a_bind(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	static const char value[2000] = { 0 };

	wire_put_parse(&out, "", "INSERT INTO t SELECT length($1)");
	/* A parameter of 1 MB that never comes whole. */
	wire_put_raw(&out, 'B', 4 + 2 + 2 + 2 + 4 + 1000000 + 2, "\0\0\0\0\0\1\0\17\102\100", 10);
	pg_buffer_put_bytes(&out, value, sizeof(value));
	wire_send(wire, &out);
}

static void in_a_header(struct wire *wire)
{
	wire_send_bytes(wire, "Q\0\0", 3);
}

static void without_a_sync(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_put_statement(&out, "INSERT INTO t VALUES (666)");
	wire_put_flush(&out);
	wire_send(wire, &out);
	wire_types_until(wire, 'C');
}

static void after_an_error_without_a_sync(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_put_statement(&out, "INSERT INTO t VALUES (666)");
	wire_put_statement(&out, "SELECT a FROM nowhere");
	wire_put_flush(&out);
	wire_send(wire, &out);
	wire_types_until(wire, 'E');
}

static void with_an_open_portal(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_exec(wire, "BEGIN");
	wire_put_parse(&out, "", "SELECT generate_series(1, 1000)");
	wire_put_bind(&out, "", "", NULL, 0);
	wire_put_execute(&out, "", 10);
	wire_put_flush(&out);
	wire_send(wire, &out);
	wire_types_until(wire, 's');
}

static void in_a_deep_pipeline(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_put_statement(&out, "BEGIN");
	for (int i = 0; i < 500; i++) {
		wire_put_statement(&out, i % 7 ? "INSERT INTO t VALUES (666)" : "SELECT pg_sleep(0.01)");
		pg_build_sync(&out);
	}
	wire_send(wire, &out);
	wire_types_until(wire, 'Z');
}

/* Trap 53. */
static void by_terminate_in_a_transaction(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	in_transaction(wire);
	pg_build_terminate(&out);
	wire_send(wire, &out);
}

static void by_terminate_right_behind_a_query(struct wire *wire)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_query(&out, "BEGIN; INSERT INTO t VALUES (666); SELECT pg_sleep(0.05)");
	pg_build_terminate(&out);
	wire_send(wire, &out);
}

static const struct {
	const char *name;
	void (*get_there)(struct wire *wire);
	bool same_server; /* nothing has happened that a ROLLBACK could not undo */
} ways[] = {
	{ "in a transaction", in_transaction, true },
	{ "in a failed transaction", in_failed_transaction, true },
	{ "in a long result", in_a_long_result, false },
	{ "in a long query", in_a_long_query, true },
	{ "in COPY in", in_copy_in, true },
	{ "in COPY in, extended", in_extended_copy_in, false },
	{ "in half a CopyData", in_half_a_copy_data, false },
	{ "in COPY out", in_copy_out, false },
	{ "in half a Query", in_half_a_query, false },
	{ "in half a long Query", in_half_a_long_query, false },
	{ "in half a Bind", in_half_a_bind, false },
	{ "in a header", in_a_header, true },
	{ "without a Sync", without_a_sync, true },
	{ "after an error without a Sync", after_an_error_without_a_sync, true },
	{ "with an open portal", with_an_open_portal, true },
	{ "in a deep pipeline", in_a_deep_pipeline, false },
	{ "by Terminate in a transaction", by_terminate_in_a_transaction, true },
	{ "by Terminate right behind a query", by_terminate_right_behind_a_query, false },
};
#define WAYS (sizeof(ways) / sizeof(*ways))

/* The one server of the pool must be as new for the next, and at once: long before a statement of a minute has ended. */
static void next_finds_a_clean_server(const char *way)
{
	struct wire next;
	int64_t begin = now_ms();

	wire_connect(&next, &stage.weir);
	ck_assert_msg(strcmp(wire_value(&next, "SELECT 'first'"), "first") == 0, "%s: got \"%s\"", way, next.value);
	ck_assert_int_eq(next.status, 'I');
	ck_assert_msg(strcmp(wire_value(&next, "SELECT count(*) FROM t WHERE a = 666"), "0") == 0,
		      "%s: it was committed", way);
	ck_assert_msg(strcmp(wire_value(&next, "SELECT now() = statement_timestamp()"), "t") == 0,
		      "%s: in a transaction", way);
	struct pg_buffer out = PG_BUFFER_EMPTY;
	wire_put_statement(&out, "SELECT 'extended'");
	pg_build_sync(&out);
	wire_send(&next, &out);
	ck_assert_str_eq(wire_types_until_ready(&next), "12TDCZ");
	ck_assert_int_lt(now_ms() - begin, 15000);
	wire_close(&next);
}

static void check_way(size_t i, const char *mode, bool reset)
{
	struct wire wire;
	char pid[32];

	wire_connect(&wire, &stage.weir);
	snprintf(pid, sizeof(pid), "%s", wire_value(&wire, "SELECT pg_backend_pid()"));
	ways[i].get_there(&wire);
	if (reset)
		wire_reset(&wire);
	else
		wire_close(&wire);
	next_finds_a_clean_server(ways[i].name);
	ck_assert_int_le(cluster_count_backends(stage.super, stage.database, NULL), 1);
	if (!ways[i].same_server)
		return;
	PGconn *client = weir_client(&stage.weir);
	ck_assert_msg(strcmp(sql_value(client, "SELECT pg_backend_pid()"), pid) == 0,
		      "%s (%s): the server was thrown away", ways[i].name, mode);
	PQfinish(client);
}

START_TEST(a_client_disappears)
{
	const char *mode = _i & 1 ? "session" : "transaction";
	bool reset = _i & 2;

	stage_start(mode, 1, "");
	PGconn *direct = stage_direct();
	sql_exec(direct, "CREATE TABLE t (a int)");
	PQfinish(direct);
	for (size_t i = 0; i < WAYS; i++)
		check_way(i, mode, reset);
}
END_TEST

/* The next one waits in line already when it happens. */
START_TEST(a_client_disappears_before_a_waiter)
{
	stage_start("transaction", 1, _i ? "workers = 2;" : "");
	PGconn *direct = stage_direct();
	sql_exec(direct, "CREATE TABLE t (a int)");
	PQfinish(direct);
	for (size_t i = 0; i < WAYS; i++) {
		struct wire wire, waiter;
		wire_connect(&wire, &stage.weir);
		wire_connect(&waiter, &stage.weir);
		ways[i].get_there(&wire);
		wire_query(&waiter, "SELECT 'waited'");
		wire_reset(&wire);
		ck_assert_msg(strcmp(wire_types_until_ready(&waiter), "TDCZ") == 0, "%s: %s %s", ways[i].name,
			      waiter.sqlstate, waiter.message);
		ck_assert_str_eq(waiter.value, "waited");
		ck_assert_int_eq(waiter.status, 'I');
		wire_close(&waiter);
	}
}
END_TEST

/* Trap 50, in numbers: whoever comes finds nothing of those who left. */
START_TEST(many_clients_disappear_at_random)
{
	unsigned seed = getenv("PGWEIR_SEED") ? (unsigned)strtoul(getenv("PGWEIR_SEED"), NULL, 10) : (unsigned)now_ms();

	printf("PGWEIR_SEED=%u\n", seed);
	srandom(seed);
	stage_start("transaction", 3, "workers = 2;");
	PGconn *direct = stage_direct();
	sql_exec(direct, "CREATE TABLE t (a int)");
	PQfinish(direct);
	for (int round = 0; round < 150; round++) {
		struct wire wire;
		wire_connect(&wire, &stage.weir);
		size_t way = (size_t)random() % WAYS;
		if (ways[way].get_there != in_a_long_query)
			ways[way].get_there(&wire);
		if (random() % 2)
			wire_reset(&wire);
		else
			wire_close(&wire);
	}
	for (int i = 0; i < 6; i++)
		next_finds_a_clean_server("at random");
	ck_assert_int_le(cluster_count_backends(stage.super, stage.database, NULL), 3);
	PGconn *console = weir_console(&stage.weir);
	ck_assert(eventually(strcmp(weir_show(console, "POOLS", "database", "app", "cl_active"), "0") == 0 &&
			     strcmp(weir_show(console, "POOLS", "database", "app", "sv_active"), "0") == 0));
	PQfinish(console);
}
END_TEST

/* ---- servers that die ---- */

static void terminate(const char *pid)
{
	sql_exec(stage.super, "SELECT pg_terminate_backend(%s)", pid);
	ck_assert(eventually(cluster_backend_is_gone(stage.super, atoi(pid))));
}

START_TEST(an_idle_server_dies_and_nobody_notices)
{
	struct wire wire;
	char pid[32];

	stage_start("transaction", 2, "");
	wire_connect(&wire, &stage.weir);
	for (int round = 0; round < 5; round++) {
		snprintf(pid, sizeof(pid), "%s", wire_value(&wire, "SELECT pg_backend_pid()"));
		terminate(pid);
		/* Trap 56. */
		ck_assert_str_ne(wire_value(&wire, "SELECT pg_backend_pid()"), pid);
	}
	wire_close(&wire);
}
END_TEST

/* Trap 55: exactly one error, the server's own; then closed, as PostgreSQL would. */
START_TEST(a_server_dies_in_a_transaction)
{
	struct wire wire, other, idle;
	char pid[32];

	stage_start(_i ? "session" : "transaction", 3, "");
	wire_connect(&wire, &stage.weir);
	wire_connect(&other, &stage.weir);
	wire_connect(&idle, &stage.weir);
	wire_exec(&other, "BEGIN");
	wire_exec(&idle, "SELECT 1");
	for (int busy = 0; busy < 2; busy++) {
		wire_exec(&wire, "BEGIN");
		snprintf(pid, sizeof(pid), "%s", wire_value(&wire, "SELECT pg_backend_pid()"));
		if (busy)
			wire_query(&wire, "SELECT pg_sleep(60)");
		terminate(pid);
		const char *types = wire_types_until_closed(&wire);
		ck_assert_msg(strcmp(types, "E") == 0 || (busy && strcmp(types, "TE") == 0), "%s", types);
		ck_assert_str_eq(wire.sqlstate, "57P01");
		ck_assert_ptr_nonnull(strstr(wire.message, "terminating connection due to administrator command"));
		wire_close(&wire);
		wire_connect(&wire, &stage.weir);
		ck_assert_str_eq(wire_value(&other, "SELECT 'in peace'"), "in peace");
		ck_assert_int_eq(other.status, 'T');
	}
	ck_assert_str_eq(wire_value(&idle, "SELECT 'too'"), "too");
	wire_close(&wire);
	wire_close(&other);
	wire_close(&idle);
}
END_TEST

START_TEST(a_server_dies_in_a_statement)
{
	struct wire wire;

	stage_start("transaction", 1, "");
	wire_connect(&wire, &stage.weir);
	wire_query(&wire, "SELECT pg_sleep(60)");
	ck_assert(eventually(
		sql_number(stage.super,
			   "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '%s' AND "
			   "wait_event = 'PgSleep'",
			   stage.database) == 1));
	ck_assert_str_eq(wire_types_until(&wire, 'E'), "TE");
	ck_assert_str_eq(wire.sqlstate, "57P01");
	wire_close(&wire);
	PGconn *client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
	PQfinish(client);
}
END_TEST

/* A session's server dies while the session is idle: it is told so, and closed. */
START_TEST(a_server_dies_under_an_idle_session)
{
	struct wire wire;
	char pid[32];

	stage_start("session", 1, "");
	wire_connect(&wire, &stage.weir);
	snprintf(pid, sizeof(pid), "%s", wire_value(&wire, "SELECT pg_backend_pid()"));
	terminate(pid);
	ck_assert_str_eq(wire_types_until_closed(&wire), "E");
	ck_assert_str_eq(wire.sqlstate, "57P01");
	wire_close(&wire);
	PGconn *client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
	PQfinish(client);
}
END_TEST

/* ---- with a PostgreSQL that may be harmed ---- */

static bool works_again(void)
{
	PGconn *client =
		sql_try_connect("host=127.0.0.1 port=%u dbname=app user=joe connect_timeout=5", stage.weir.port);
	bool works = PQstatus(client) == CONNECTION_OK;

	if (works) {
		PGresult *result = sql_result(client, "SELECT 1");
		works = PQresultStatus(result) == PGRES_TUPLES_OK;
		PQclear(result);
	}
	PQfinish(client);
	return works;
}

/* After it PostgreSQL ends all its sessions: those of our superuser too. */
static void reconnect_super(void)
{
	PQfinish(stage.super);
	for (;;) {
		stage.super = sql_try_connect("host=%s port=%u user=postgres dbname=postgres", stage.cluster.host,
					      stage.cluster.port);
		if (PQstatus(stage.super) == CONNECTION_OK)
			break;
		PQfinish(stage.super);
		pause_ms(20);
	}
}

/* How often the cluster has begun to take connections. */
static int times_ready(void)
{
	char path[300];
	int times = 0;

	snprintf(path, sizeof(path), "%s/log", stage.cluster.directory);
	char *text = file_text(path);
	for (const char *at = text; (at = strstr(at, "ready to accept connections")); at++)
		times++;
	free(text);
	return times;
}

START_TEST(a_backend_is_killed)
{
	struct wire busy, idle;

	/* Another worker may still offer a server whose end it has not read yet. */
	stage_start("transaction", 3, "server_login_retry = \"100ms\"; query_wait_timeout = 10; workers = 1;");
	wire_connect(&busy, &stage.weir);
	wire_connect(&idle, &stage.weir);
	wire_exec(&idle, "SELECT 1");
	wire_exec(&busy, "BEGIN");
	pid_t pid = (pid_t)atoi(wire_value(&busy, "SELECT pg_backend_pid()"));
	wire_query(&busy, "SELECT pg_sleep(60)");
	ck_assert(eventually(somebody_sleeps()));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	wire_types_until_closed(&busy);
	/* It could say nothing any more, so we do. */
	ck_assert_str_eq(busy.sqlstate, "08006");
	ck_assert_str_ne(busy.message, "");
	wire_close(&busy);
	/* PostgreSQL ends all its sessions and begins anew; the idle client lives on. */
	ck_assert(eventually(times_ready() == 2));
	ck_assert_str_eq(wire_value(&idle, "SELECT 'back'"), "back");
	ck_assert(works_again());
	wire_close(&idle);
	reconnect_super();
}
END_TEST

START_TEST(postgresql_is_restarted)
{
	static const int signals[] = { SIGINT, SIGQUIT };
	struct wire busy, idle;

	stage_start("transaction", 3, "server_login_retry = \"100ms\"; query_wait_timeout = 20; workers = 2;");
	wire_connect(&busy, &stage.weir);
	wire_connect(&idle, &stage.weir);
	wire_exec(&idle, "SELECT 1");
	wire_query(&busy, "SELECT pg_sleep(60)");
	ck_assert(eventually(somebody_sleeps()));
	PQfinish(stage.super);
	stage.super = NULL;
	cluster_stop(&stage.cluster, signals[_i]);
	wire_types_until(&busy, 'E');
	ck_assert_str_ne(busy.sqlstate, "");
	wire_close(&busy);
	/* Nobody is there: whoever asks now waits, and is served when it is back. */
	wire_query(&idle, "SELECT 'waited'");
	ck_assert(wire_is_silent(&idle, 300));
	cluster_start_again(&stage.cluster);
	ck_assert_str_eq(wire_types_until_ready(&idle), "TDCZ");
	ck_assert_str_eq(idle.value, "waited");
	wire_close(&idle);
	ck_assert(works_again());
	reconnect_super();
}
END_TEST

Suite *leaving_suite(void)
{
	Suite *suite = suite_create("leaving");
	TCase *clients = stage_case("clients", 180), *servers = stage_case("servers", 60);
	TCase *harm = stage_case_with_own_cluster("harm", 90);

	tcase_add_loop_test(clients, a_client_disappears, 0, 4);
	tcase_add_loop_test(clients, a_client_disappears_before_a_waiter, 0, 2);
	tcase_add_test(clients, many_clients_disappear_at_random);
	suite_add_tcase(suite, clients);

	tcase_add_test(servers, an_idle_server_dies_and_nobody_notices);
	tcase_add_loop_test(servers, a_server_dies_in_a_transaction, 0, 2);
	tcase_add_test(servers, a_server_dies_in_a_statement);
	tcase_add_test(servers, a_server_dies_under_an_idle_session);
	suite_add_tcase(suite, servers);

	tcase_add_test(harm, a_backend_is_killed);
	tcase_add_loop_test(harm, postgresql_is_restarted, 0, 2);
	suite_add_tcase(suite, harm);
	return suite;
}
