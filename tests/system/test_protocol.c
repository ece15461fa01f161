/*
 * The whole protocol. Most tests send the same bytes to PostgreSQL and through pgweir and compare what comes back, message for
 * message; some look at what must hold in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *protocol_suite(void);

/* Two connections, past pgweir and through it, to two databases that are the same. */
struct pair {
	struct wire direct, pooled;
	char database[DATABASE_NAME_BYTES]; /* of direct */
};

static void pair_open(struct pair *pair, const char *mode)
{
	cluster_create_database(&stage.cluster, pair->database);
	stage_start(mode, 1, "");
	wire_open_local(&pair->direct, stage.cluster.host, stage.cluster.port);
	wire_login(&pair->direct, "u_trust", pair->database, NULL, NULL);
	wire_connect(&pair->pooled, &stage.weir);
	wire_exec(&pair->direct, "CREATE TABLE t (a int CHECK (a < 1000))");
	wire_exec(&pair->pooled, "CREATE TABLE t (a int CHECK (a < 1000))");
}

static void pair_close(struct pair *pair)
{
	wire_close(&pair->direct);
	wire_close(&pair->pooled);
	cluster_drop_database(&stage.cluster, pair->database);
}

/* Sends the bytes to both, reads `readies` ReadyForQuery from each, and compares all the messages. Empties `out`. */
static void same_answers(struct pair *pair, struct pg_buffer *out, int readies)
{
	struct wire_message expected, actual;

	ck_assert(!out->failed);
	wire_send_bytes(&pair->direct, out->data, out->length);
	wire_send_bytes(&pair->pooled, out->data, out->length);
	pg_buffer_clear(out);
	while (readies > 0) {
		ck_assert(wire_read(&pair->direct, &expected));
		ck_assert_msg(wire_read(&pair->pooled, &actual), "closed instead of %c", expected.type);
		ck_assert_msg(actual.type == expected.type, "%c instead of %c; %s %s", actual.type, expected.type,
			      pair->pooled.sqlstate, pair->pooled.message);
		ck_assert_uint_eq(actual.body_bytes, expected.body_bytes);
		ck_assert_mem_eq(actual.body, expected.body, expected.body_bytes);
		readies -= actual.type == PG_BACKEND_READY;
	}
	ck_assert(wire_is_silent(&pair->pooled, 0));
}

static void same_query(struct pair *pair, const char *sql)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_query(&out, sql);
	same_answers(pair, &out, 1);
}

static const char *const modes[] = { "transaction", "session" };

START_TEST(simple_queries)
{
	struct pair pair;
	static const char *const queries[] = {
		"",
		";;",
		"SELECT 1",
		"SELECT 1; SELECT 2; SELECT 3",
		"SELECT 1; SELECT 1/0; SELECT 3",
		"INSERT INTO t VALUES (1), (2)",
		"INSERT INTO t VALUES (5000)",
		"BEGIN; INSERT INTO t VALUES (3); COMMIT; SELECT count(*) FROM t",
		"BEGIN",
		"SELECT 1/0",
		"SELECT 1",
		"ROLLBACK",
		"BEGIN; SAVEPOINT s; SELECT 1/0",
		"ROLLBACK TO s; SELECT 4",
		"COMMIT",
		"DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$",
		"DECLARE c CURSOR FOR SELECT 1",
		"BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 10); FETCH 3 FROM c; COMMIT",
		"SET TimeZone = 'Asia/Tokyo'",
		"SHOW TimeZone",
		"RESET TimeZone",
		"SELECT NULL, '', 'x', 1.5, now() IS NULL",
		"CREATE TABLE u (); DROP TABLE u",
		"VACUUM t",
		"SELEKT",
		"LISTEN",
		"SELECT pg_notify('nobody', 'listens')",
	};

	pair_open(&pair, modes[_i]);
	for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++)
		same_query(&pair, queries[i]);
	pair_close(&pair);
}
END_TEST

/* Traps 19, 20, 21: the k-th of ten groups fails, in each of its messages. */
START_TEST(pipelines_with_an_error_at_every_place)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	for (int bad = 0; bad < 10; bad++) {
		for (int place = 0; place < 5; place++) {
			for (int group = 0; group < 10; group++) {
				bool fails = group == bad;
				wire_put_parse(&out, "", fails && place == 0 ? "SELEKT" : "SELECT 10 / $1::int");
				wire_put_bind(&out, "", fails && place == 1 ? "nowhere" : "",
					      (const char *[]){ fails && place == 2   ? "x"
								: fails && place == 3 ? "0"
										      : "2" },
					      1);
				wire_put_describe(&out, 'P', fails && place == 4 ? "nowhere" : "");
				wire_put_execute(&out, "", 0);
				pg_build_sync(&out);
			}
			same_answers(&pair, &out, 10);
		}
	}
	pair_close(&pair);
}
END_TEST

START_TEST(a_thousand_syncs_at_once)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	for (int i = 0; i < 1000; i++)
		pg_build_sync(&out);
	same_answers(&pair, &out, 1000);
	for (int i = 0; i < 1000; i++) {
		if (i % 3 == 0)
			pg_build_query(&out, i % 2 ? "SELECT 1" : "SELECT 1/0");
		else
			wire_put_statement(&out, "SELECT 2"), pg_build_sync(&out);
	}
	same_answers(&pair, &out, 1000);
	pair_close(&pair);
}
END_TEST

/* Everything that a batch may hold, Sync or not: errors swallow what follows, a Query in there included (trap 20). */
START_TEST(batches)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	/* A Query after an error, before the Sync: discarded. */
	wire_put_parse(&out, "", "SELEKT");
	pg_build_query(&out, "SELECT 'discarded'");
	wire_put_statement(&out, "SELECT 'discarded'");
	pg_build_sync(&out);
	same_answers(&pair, &out, 1);
	/* A Query in a batch that is well: it ends the implicit transaction, and has a ReadyForQuery of its own. */
	wire_put_statement(&out, "SELECT 1");
	pg_build_query(&out, "SELECT 2");
	wire_put_statement(&out, "SELECT 3");
	pg_build_sync(&out);
	same_answers(&pair, &out, 2);
	/* Many statements, one Sync; and with an error in it, nothing stays. */
	for (int fails = 0; fails < 2; fails++) {
		for (int i = 0; i < 20; i++)
			wire_put_statement(&out, fails && i == 15 ? "INSERT INTO t VALUES (5000)"
								  : "INSERT INTO t VALUES (7)");
		pg_build_sync(&out);
		same_answers(&pair, &out, 1);
		same_query(&pair, "SELECT count(*) FROM t WHERE a = 7");
		same_query(&pair, "DELETE FROM t");
	}
	/* Traps 23, 24: closing what is not there. */
	wire_put_close(&out, 'P', "");
	wire_put_close(&out, 'P', "nowhere");
	wire_put_close(&out, 'S', "nowhere");
	wire_put_close(&out, 'S', "");
	pg_build_sync(&out);
	same_answers(&pair, &out, 1);
	/* Describe of a statement, an empty statement, a statement without a result. */
	wire_put_parse(&out, "", "SELECT $1::int, $2::text");
	wire_put_describe(&out, 'S', "");
	wire_put_parse(&out, "", "");
	wire_put_describe(&out, 'S', "");
	wire_put_bind(&out, "", "", NULL, 0);
	wire_put_describe(&out, 'P', "");
	wire_put_execute(&out, "", 0);
	wire_put_statement(&out, "DELETE FROM t");
	pg_build_sync(&out);
	same_answers(&pair, &out, 1);
	/* Flush changes nothing but the time. */
	wire_put_parse(&out, "", "SELECT 1");
	wire_put_flush(&out);
	wire_put_bind(&out, "", "", NULL, 0);
	wire_put_flush(&out);
	wire_put_execute(&out, "", 0);
	wire_put_flush(&out);
	wire_put_flush(&out);
	pg_build_sync(&out);
	same_answers(&pair, &out, 1);
	/* BEGIN and COMMIT in groups of their own. */
	wire_put_statement(&out, "BEGIN ISOLATION LEVEL SERIALIZABLE");
	pg_build_sync(&out);
	wire_put_statement(&out, "SHOW transaction_isolation");
	pg_build_sync(&out);
	wire_put_statement(&out, "SELECT 1/0");
	pg_build_sync(&out);
	wire_put_statement(&out, "SELECT 'in a failed transaction'");
	pg_build_sync(&out);
	wire_put_statement(&out, "ROLLBACK");
	pg_build_sync(&out);
	same_answers(&pair, &out, 5);
	pair_close(&pair);
}
END_TEST

/* Trap 22. */
START_TEST(portals_with_row_limits)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	/* Within one batch, and over Syncs inside a transaction. */
	for (int syncs = 0; syncs < 2; syncs++) {
		pg_build_query(&out, "BEGIN");
		wire_put_parse(&out, "", "SELECT generate_series(1, 10)");
		wire_put_bind(&out, "cursor", "", NULL, 0);
		int readies = 1;
		for (int i = 0; i < 5; i++) {
			wire_put_execute(&out, "cursor", 3);
			if (syncs)
				pg_build_sync(&out), readies++;
			else
				wire_put_flush(&out);
		}
		wire_put_close(&out, 'P', "cursor");
		pg_build_sync(&out);
		pg_build_query(&out, "COMMIT");
		same_answers(&pair, &out, readies + 2);
	}
	/* A portal does not live past its transaction. */
	wire_put_parse(&out, "", "SELECT generate_series(1, 10)");
	wire_put_bind(&out, "", "", NULL, 0);
	wire_put_execute(&out, "", 3);
	pg_build_sync(&out);
	wire_put_execute(&out, "", 3);
	pg_build_sync(&out);
	same_answers(&pair, &out, 2);
	pair_close(&pair);
}
END_TEST

/* Trap 35, and an error in it. */
START_TEST(function_calls)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	/* int4pl(2, 3) and int4div(2, 0), in binary. */
	static const uint32_t functions[] = { 177, 154, 1 };

	pair_open(&pair, modes[_i]);
	for (size_t i = 0; i < 3; i++) {
		size_t begin = pg_buffer_begin(&out, PG_FRONTEND_FUNCTION_CALL);
		pg_buffer_put_u32(&out, functions[i]);
		pg_buffer_put_u16(&out, 1);
		pg_buffer_put_u16(&out, 1);
		pg_buffer_put_u16(&out, 2);
		pg_buffer_put_u32(&out, 4);
		pg_buffer_put_u32(&out, 2);
		pg_buffer_put_u32(&out, 4);
		pg_buffer_put_u32(&out, i == 1 ? 0 : 3);
		pg_buffer_put_u16(&out, 1);
		pg_buffer_end(&out, begin);
		same_answers(&pair, &out, 1);
	}
	same_query(&pair, "SELECT 'after'");
	pair_close(&pair);
}
END_TEST

static void put_rows(struct pg_buffer *out, int rows)
{
	for (int i = 0; i < rows; i++)
		wire_put_copy_data(out, "1\n", 2);
}

START_TEST(copy_in)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	for (int extended = 0; extended < 2; extended++) {
		for (int end = 0; end < 4; end++) {
			/* Everything at once: before the server has said that it wants it. */
			if (extended)
				wire_put_statement(&out, end == 3 ? "COPY nowhere FROM STDIN" : "COPY t FROM STDIN");
			else
				pg_build_query(&out, end == 3 ? "COPY nowhere FROM STDIN" : "COPY t FROM STDIN");
			put_rows(&out, 20);
			if (end == 1)
				wire_put_copy_data(&out, "not a number\n", 13);
			put_rows(&out, 20);
			/* Trap 38: what comes late is swallowed. Trap 41. */
			if (end == 2)
				pg_build_copy_fail(&out, "I have no more");
			else
				wire_put_copy_done(&out);
			if (extended)
				pg_build_sync(&out);
			same_answers(&pair, &out, 1);
			same_query(&pair, "SELECT count(*) FROM t");
		}
	}
	same_query(&pair, "COPY t FROM '/nonexistent'");
	pair_close(&pair);
}
END_TEST

/* The same, with a pause where the server answers in the middle. */
START_TEST(copy_in_that_fails_while_more_comes)
{
	struct wire wire, next;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start(modes[_i], 1, "");
	wire_connect(&wire, &stage.weir);
	wire_exec(&wire, "CREATE TABLE t (a int)");
	for (int end = 0; end < 3; end++) {
		wire_query(&wire, "COPY t FROM STDIN");
		ck_assert_str_eq(wire_types_until(&wire, 'G'), "G");
		wire_put_copy_data(&out, "not a number\n", 13);
		wire_send(&wire, &out);
		ck_assert_str_eq(wire_types_until_ready(&wire), "EZ");
		ck_assert_str_eq(wire.sqlstate, "22P02");
		/* The rest of a driver that has not read it yet. */
		put_rows(&out, 100);
		if (end == 0)
			wire_put_copy_done(&out);
		else if (end == 1)
			pg_build_copy_fail(&out, "late");
		pg_build_query(&out, "SELECT 'next'");
		wire_send(&wire, &out);
		ck_assert_str_eq(wire_types_until_ready(&wire), "TDCZ");
		ck_assert_str_eq(wire.value, "next");
	}
	wire_close(&wire);
	wire_connect(&next, &stage.weir);
	ck_assert_str_eq(wire_value(&next, "SELECT count(*) FROM t"), "0");
	wire_close(&next);
}
END_TEST

START_TEST(copy_out)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	same_query(&pair, "COPY (SELECT generate_series(1, 1000)) TO STDOUT");
	same_query(&pair, "COPY (SELECT 1) TO STDOUT; SELECT 2; COPY (SELECT 3) TO STDOUT WITH (FORMAT binary)");
	/* It fails in the middle. */
	same_query(&pair, "COPY (SELECT 10 / (100 - a) FROM generate_series(1, 1000) AS a) TO STDOUT");
	wire_put_statement(&out, "COPY (SELECT generate_series(1, 100)) TO STDOUT");
	pg_build_sync(&out);
	same_answers(&pair, &out, 1);
	pair_close(&pair);
}
END_TEST

/* Trap 4: results that look like messages, in pieces of every size. */
START_TEST(results_that_look_like_messages)
{
	struct pair pair;

	pair_open(&pair, modes[_i]);
	same_query(&pair, "SELECT repeat('Z', a), repeat('E', a) FROM generate_series(1, 300) AS a");
	same_query(&pair, "SELECT repeat(E'Z\\x01\\x01\\x01\\x05I', a * 37) FROM generate_series(1, 300) AS a");
	same_query(&pair, "COPY (SELECT repeat('ZZZZZ', a) FROM generate_series(1, 3000) AS a) TO STDOUT");
	pair_close(&pair);
}
END_TEST

/* Trap 6. */
START_TEST(requests_byte_by_byte)
{
	struct pair pair;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pair_open(&pair, modes[_i]);
	pg_build_query(&out, "SELECT 'simple'");
	wire_put_statement(&out, "SELECT 'extended'");
	pg_build_sync(&out);
	pg_build_query(&out, "COPY t FROM STDIN");
	put_rows(&out, 3);
	wire_put_copy_done(&out);
	pg_build_query(&out, "SELECT count(*) FROM t");
	for (size_t i = 0; i < out.length; i++) {
		wire_send_bytes(&pair.direct, out.data + i, 1);
		wire_send_bytes(&pair.pooled, out.data + i, 1);
		/* Each its own packet, as far as one can ask for it. */
		if (i % 16 == 0)
			pause_ms(1);
	}
	pg_buffer_clear(&out);
	same_answers(&pair, &out, 4);
	pair_close(&pair);
}
END_TEST

/* ---- sizes ---- */

#define LARGE (200u * 1024 * 1024)
#define MOST_KB (20 * 1024)

static void check_memory(void)
{
	int64_t most = process_status(stage.weir.process.pid, "VmHWM");

	ck_assert_int_gt(most, 0);
	/* A sanitizer keeps a shadow of all memory. */
	if (!built_with_sanitizer())
		ck_assert_int_lt(most, MOST_KB);
}

/* Trap 7. */
START_TEST(a_parameter_of_200_MB)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start(modes[_i], 1, "");
	wire_connect(&wire, &stage.weir);
	wire_put_parse(&out, "", "SELECT length($1), md5($1)");
	size_t begin = pg_buffer_begin(&out, PG_FRONTEND_BIND);
	pg_buffer_put_string(&out, "");
	pg_buffer_put_string(&out, "");
	pg_buffer_put_u16(&out, 0);
	pg_buffer_put_u16(&out, 1);
	pg_buffer_put_u32(&out, LARGE);
	ck_assert(pg_buffer_reserve(&out, LARGE + 1000));
	memset(out.data + out.length, 'p', LARGE);
	out.length += LARGE;
	pg_buffer_put_u16(&out, 0);
	pg_buffer_end(&out, begin);
	wire_put_execute(&out, "", 0);
	pg_build_sync(&out);
	wire_send(&wire, &out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "12DCZ");
	ck_assert_str_eq(wire.value, "209715200");
	check_memory();
	/* A Query of that size, too: a comment. */
	begin = pg_buffer_begin(&out, PG_FRONTEND_QUERY);
	pg_buffer_put_bytes(&out, "SELECT 'large' /*", 17);
	ck_assert(pg_buffer_reserve(&out, LARGE + 1000));
	memset(out.data + out.length, 'c', LARGE);
	out.length += LARGE;
	pg_buffer_put_string(&out, "*/");
	pg_buffer_end(&out, begin);
	wire_send(&wire, &out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "TDCZ");
	check_memory();
	wire_close(&wire);
}
END_TEST

/* Reads raw bytes to the end of the answer, slowly at first, without keeping them. */
static size_t count_bytes(struct wire *wire, size_t expected)
{
	static uint8_t buffer[1024 * 1024];
	size_t count = 0;
	int64_t deadline = now_ms() + 6 * PATIENCE_MS;

	pause_ms(300); /* what comes in meanwhile must not pile up in pgweir */
	while (count < expected) {
		ssize_t got = recv(wire->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		ck_assert_int_lt(now_ms(), deadline);
		if (got > 0)
			count += (size_t)got;
		else
			pause_ms(1);
	}
	return count;
}

START_TEST(a_row_of_200_MB)
{
	struct wire wire;

	stage_start(modes[_i], 1, "");
	wire_connect(&wire, &stage.weir);
	wire_query(&wire, "SELECT repeat('r', 209715200)");
	/* RowDescription, DataRow, CommandComplete, ReadyForQuery. */
	size_t expected = (5 + 2 + 7 + 18) + (5 + 2 + 4 + (size_t)LARGE) + (5 + 9) + 6;
	ck_assert_uint_eq(count_bytes(&wire, expected), expected);
	check_memory();
	wire_query(&wire, "COPY (SELECT repeat('r', 104857600) FROM generate_series(1, 2)) TO STDOUT");
	expected = (5 + 1 + 2 + 2) + 2 * (5 + (size_t)LARGE / 2 + 1) + 5 + (5 + 7) + 6;
	ck_assert_uint_eq(count_bytes(&wire, expected), expected);
	check_memory();
	ck_assert_str_eq(wire_value(&wire, "SELECT 'after'"), "after");
	wire_close(&wire);
}
END_TEST

/* A client that does not read holds its own server, and nobody else. Trap 43. */
START_TEST(a_client_that_does_not_read)
{
	struct wire slow, other;

	stage_start("transaction", 2, "");
	wire_connect(&slow, &stage.weir);
	wire_connect(&other, &stage.weir);
	wire_query(&slow, "SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
	for (int i = 0; i < 300; i++)
		ck_assert_str_eq(wire_value(&other, "SELECT 1"), "1");
	check_memory();
	ck_assert_str_eq(wire_types_until_ready(&slow), "TDCZ");
	ck_assert_uint_eq(slow.rows, 100000);
	wire_close(&slow);
	wire_close(&other);
}
END_TEST

/* Both directions full at once: many requests with large answers, sent before anything is read. */
START_TEST(a_pipeline_larger_than_all_buffers)
{
	enum { GROUPS = 3000 };
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	size_t sent = 0;

	stage_start(modes[_i], 1, "");
	wire_connect(&wire, &stage.weir);
	for (int i = 0; i < GROUPS; i++) {
		wire_put_statement(&out, "SELECT repeat('answer', 2000), $$"
					 "a statement that is not short, so that the requests are many bytes, too$$");
		pg_build_sync(&out);
	}
	/* As much as goes without reading; then both by turns. */
	int answered = 0;
	struct wire_message message;
	while (sent < out.length || answered < GROUPS) {
		ssize_t done = send(wire.fd, out.data + sent, out.length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done > 0) {
			sent += (size_t)done;
			continue;
		}
		ck_assert(wire_read(&wire, &message));
		ck_assert_int_ne(message.type, PG_BACKEND_ERROR);
		answered += message.type == PG_BACKEND_READY;
	}
	pg_buffer_clear(&out);
	check_memory();
	ck_assert_str_eq(wire_value(&wire, "SELECT 'after'"), "after");
	wire_close(&wire);
}
END_TEST

Suite *protocol_suite(void)
{
	Suite *suite = suite_create("protocol");
	TCase *messages = stage_case("messages", 90), *sizes = stage_case("sizes", 300);

	tcase_add_loop_test(messages, simple_queries, 0, 2);
	tcase_add_loop_test(messages, pipelines_with_an_error_at_every_place, 0, 2);
	tcase_add_loop_test(messages, a_thousand_syncs_at_once, 0, 2);
	tcase_add_loop_test(messages, batches, 0, 2);
	tcase_add_loop_test(messages, portals_with_row_limits, 0, 2);
	tcase_add_loop_test(messages, function_calls, 0, 2);
	tcase_add_loop_test(messages, copy_in, 0, 2);
	tcase_add_loop_test(messages, copy_in_that_fails_while_more_comes, 0, 2);
	tcase_add_loop_test(messages, copy_out, 0, 2);
	tcase_add_loop_test(messages, results_that_look_like_messages, 0, 2);
	tcase_add_loop_test(messages, requests_byte_by_byte, 0, 2);
	suite_add_tcase(suite, messages);

	tcase_add_loop_test(sizes, a_parameter_of_200_MB, 0, 2);
	tcase_add_loop_test(sizes, a_row_of_200_MB, 0, 2);
	tcase_add_test(sizes, a_client_that_does_not_read);
	tcase_add_loop_test(sizes, a_pipeline_larger_than_all_buffers, 0, 2);
	suite_add_tcase(suite, sizes);
	return suite;
}
