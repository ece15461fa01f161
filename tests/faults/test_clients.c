/*
 * Clients that do not do their part: they read nothing, or send a byte now and then.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/faults/scene.h"
#include "tests/support/clock.h"
#include "tests/support/wire.h"

Suite *clients_suite(void);

#define CLIENTS 8
#define SLOW 4

/* ---- they read nothing ---- */

/* Far more than the sockets' buffers hold. */
#define MUCH "SELECT repeat('x', 100000) FROM generate_series(1, 5000)"

/* What it has in memory now, in kB. */
static int64_t memory(void)
{
	return process_status(stage.weir.process.pid, "VmRSS");
}

/* True when pgweir has stopped taking what the server says: its memory stays as it is. */
static bool stands_still(void)
{
	PGconn *super = stage.super;

	return sql_number(super,
			  "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND wait_event = 'ClientWrite'"
			  " AND query LIKE 'SELECT repeat%%'",
			  stage.database) == SLOW;
}

/* Loop: they close, they reset, they read on. */
START_TEST(they_never_read)
{
	struct wire slow[SLOW];
	static const char *const ends[] = { "never read, close", "never read, reset", "read late" };

	scene_start(&(struct scene_options){ .fault = ends[_i], .clients = CLIENTS, .pool_size = SLOW + 2 });
	int64_t before_kb = memory();
	for (int i = 0; i < SLOW; i++) {
		wire_connect(&slow[i], &stage.weir);
		wire_query(&slow[i], MUCH);
	}
	ck_assert(eventually(stands_still()));
	/* The two servers that are left do for all others. */
	ck_assert(ledger_goes_on(scene.ledger, all_faults() ? 100 : 20, PATIENCE_MS));
	ck_assert(stands_still());
	if (!built_with_sanitizer())
		ck_assert_int_lt(memory() - before_kb, SLOW * 1024);
	for (int i = 0; i < SLOW; i++) {
		if (_i == 2) {
			wire_types_until_ready(&slow[i]);
			ck_assert_uint_eq(slow[i].rows, 5000);
		}
		(_i == 1 ? wire_reset : wire_close)(&slow[i]);
	}
	scene_recovers();
	scene_end();
}
END_TEST

#define MOST_SENT (64u * 1024 * 1024)

/* Until nothing has been taken for a second, or it is too much. The bytes sent. */
static size_t send_until_stuck(int fd, const struct pg_buffer *out)
{
	size_t sent = 0;

	for (int64_t last = now_ms(); now_ms() < last + 1000 && sent < MOST_SENT;) {
		size_t at = sent % out->length;
		ssize_t count = send(fd, out->data + at, out->length - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (count > 0) {
			sent += (size_t)count;
			last = now_ms();
		} else {
			pause_ms(2);
		}
	}
	return sent;
}

/* It sends, a statement after the other, and never reads an answer: nothing may pile up. */
START_TEST(it_sends_and_never_reads)
{
	struct wire client;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	scene_start(&(struct scene_options){ .fault = "sends, never reads", .clients = CLIENTS });
	int64_t before_kb = memory();
	wire_connect(&client, &stage.weir);
	for (int i = 0; i < 100; i++) {
		wire_put_statement(&out, "SELECT repeat('x', 1000)");
		pg_build_sync(&out);
	}
	size_t sent = send_until_stuck(client.fd, &out);
	ck_assert_uint_gt(sent, out.length);
	ck_assert_uint_lt(sent, MOST_SENT);
	if (!built_with_sanitizer())
		ck_assert_int_lt(memory() - before_kb, 4096);
	ck_assert(ledger_goes_on(scene.ledger, 20, PATIENCE_MS));
	pg_buffer_clear(&out);
	wire_close(&client);
	scene_recovers();
	scene_end();
}
END_TEST

/* ---- they send a byte now and then ---- */

static void send_slowly(struct wire *clients, const struct pg_buffer *out, size_t from, size_t to, int pace_ms)
{
	for (size_t at = from; at < to; at++, pause_ms(pace_ms))
		for (int i = 0; i < SLOW; i++)
			wire_try_send(&clients[i], out->data + at, 1);
}

START_TEST(they_log_in_slowly)
{
	static const char *const pairs[] = { "user", "slow", "database", "app", NULL };
	struct wire slow[SLOW];
	struct pg_buffer out = PG_BUFFER_EMPTY;

	scene_start(&(struct scene_options){
		.fault = "login, a byte at a time", .clients = CLIENTS, .more = "client_login_timeout = 2;" });
	wire_put_startup(&out, 0x30000, pairs);
	int64_t begin = now_ms();
	for (int i = 0; i < SLOW; i++)
		wire_open(&slow[i], stage.weir.port);
	send_slowly(slow, &out, 0, out.length - 1, 5);
	for (int i = 0; i < SLOW; i++) {
		wire_types_until_closed(&slow[i]);
		int64_t took_ms = now_ms() - begin;
		ck_assert_int_ge(took_ms, 1900);
		ck_assert_int_lt(took_ms, 6000);
		wire_close(&slow[i]);
	}
	pg_buffer_clear(&out);
	scene_recovers();
	scene_end();
}
END_TEST

/* Everybody else has the only server meanwhile; and in the end the slow ones get theirs. */
START_TEST(they_ask_slowly)
{
	struct wire slow[SLOW];
	struct pg_buffer out = PG_BUFFER_EMPTY;

	scene_start(&(struct scene_options){ .fault = "query, a byte at a time", .clients = CLIENTS, .pool_size = 1 });
	for (int i = 0; i < SLOW; i++)
		wire_connect(&slow[i], &stage.weir);
	pg_build_query(&out, "SELECT 'slow and steady'");
	send_slowly(slow, &out, 0, out.length - 1, all_faults() ? 100 : 20);
	ck_assert(ledger_goes_on(scene.ledger, 5, PATIENCE_MS));
	send_slowly(slow, &out, out.length - 1, out.length, 0);
	for (int i = 0; i < SLOW; i++) {
		wire_types_until_ready(&slow[i]);
		ck_assert_str_eq(slow[i].value, "slow and steady");
		wire_close(&slow[i]);
	}
	pg_buffer_clear(&out);
	scene_recovers();
	scene_end();
}
END_TEST

/* The same seen from the console: half a query has no server. */
START_TEST(half_a_query_holds_no_server)
{
	struct wire slow[SLOW];
	struct pg_buffer out = PG_BUFFER_EMPTY;

	scene_start(&(struct scene_options){ .fault = "half a query", .pool_size = 1 });
	for (int i = 0; i < SLOW; i++)
		wire_connect(&slow[i], &stage.weir);
	pg_build_query(&out, "SELECT 1");
	send_slowly(slow, &out, 0, out.length - 1, 0);
	ck_assert_int_eq(scene_pool_count("sv_active"), 0);
	ck_assert(scene_is_served());
	for (int i = 0; i < SLOW; i++)
		wire_close(&slow[i]);
	pg_buffer_clear(&out);
	scene_recovers();
	scene_end();
}
END_TEST

Suite *clients_suite(void)
{
	Suite *suite = suite_create("clients");
	TCase *tcase = stage_case("clients", 120);

	tcase_add_loop_test(tcase, they_never_read, 0, all_faults() ? 3 : 1);
	tcase_add_test(tcase, half_a_query_holds_no_server);
	if (all_faults()) {
		tcase_add_test(tcase, it_sends_and_never_reads);
		tcase_add_test(tcase, they_log_in_slowly);
		tcase_add_test(tcase, they_ask_slowly);
	}
	suite_add_tcase(suite, tcase);
	return suite;
}
