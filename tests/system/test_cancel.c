/* Cancel requests reach the query that their client runs now, and nothing else. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *cancel_suite(void);

/* Something of that client runs in PostgreSQL. */
static bool is_running(const char *what)
{
	return sql_number(
		       stage.super,
		       "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND state = 'active' AND query LIKE '%s'",
		       stage.database, what) > 0;
}

static void start(int pool_size, const char *mode)
{
	stage_start(mode, pool_size, "workers = 3;");
}

START_TEST(a_running_query_is_cancelled)
{
	struct wire wire;

	start(1, _i ? "session" : "transaction");
	wire_connect(&wire, &stage.weir);
	for (int round = 0; round < 3; round++) {
		wire_query(&wire, "SELECT pg_sleep(60)");
		ck_assert(eventually(is_running("%pg_sleep(60)%")));
		wire_cancel(&wire, stage.weir.port);
		ck_assert_str_eq(wire_types_until_ready(&wire), "TEZ");
		ck_assert_str_eq(wire.sqlstate, "57014");
		ck_assert_str_eq(wire_value(&wire, "SELECT 1"), "1");
	}
	/* In a transaction it fails, and only its client ends it. */
	wire_exec(&wire, "BEGIN");
	wire_query(&wire, "SELECT pg_sleep(60)");
	ck_assert(eventually(is_running("%pg_sleep(60)%")));
	wire_cancel(&wire, stage.weir.port);
	ck_assert_str_eq(wire_types_until_ready(&wire), "TEZ");
	ck_assert_int_eq(wire.status, 'E');
	wire_exec(&wire, "ROLLBACK");
	wire_close(&wire);
}
END_TEST

START_TEST(libpq_cancels_by_tcp_and_by_unix_socket)
{
	start(1, "transaction");
	for (int local = 0; local < 2; local++) {
		char error[256];
		PGconn *client = sql_connect("host=%s port=%u dbname=app user=joe",
					     local ? stage.weir.socket : "127.0.0.1", stage.weir.port);
		ck_assert_int_eq(PQsendQuery(client, "SELECT pg_sleep(60)"), 1);
		ck_assert(eventually(is_running("%pg_sleep(60)%")));
		PGcancel *cancel = PQgetCancel(client);
		ck_assert_int_eq(PQcancel(cancel, error, sizeof(error)), 1);
		PQfreeCancel(cancel);
		PGresult *result = PQgetResult(client);
		ck_assert_str_eq(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
		PQclear(result);
		ck_assert_ptr_null(PQgetResult(client));
		ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
		PQfinish(client);
	}
}
END_TEST

/* Trap 45. */
START_TEST(a_waiting_client_is_taken_out_of_the_line)
{
	struct wire holder, waiter, behind;

	start(1, "transaction");
	wire_connect(&holder, &stage.weir);
	wire_connect(&waiter, &stage.weir);
	wire_connect(&behind, &stage.weir);
	wire_exec(&holder, "BEGIN");
	wire_query(&waiter, "SELECT 'never'");
	wire_query(&behind, "SELECT 'behind'");
	ck_assert(wire_is_silent(&waiter, 50));
	wire_cancel(&waiter, stage.weir.port);
	ck_assert_str_eq(wire_types_until_ready(&waiter), "EZ");
	ck_assert_str_eq(waiter.sqlstate, "57014");
	ck_assert_int_eq(waiter.status, 'I');
	/* The holder has not felt it, and the line goes on. */
	ck_assert_str_eq(wire_value(&holder, "SELECT 'held'"), "held");
	wire_exec(&holder, "COMMIT");
	ck_assert_str_eq(wire_types_until_ready(&behind), "TDCZ");
	ck_assert_str_eq(behind.value, "behind");
	ck_assert_str_eq(wire_value(&waiter, "SELECT 'again'"), "again");
	/* The same for a batch: it fails as a whole, up to its Sync. */
	struct pg_buffer out = PG_BUFFER_EMPTY;
	wire_exec(&holder, "BEGIN");
	wire_put_statement(&out, "SELECT 'never'");
	pg_build_sync(&out);
	wire_send(&waiter, &out);
	ck_assert(wire_is_silent(&waiter, 50));
	wire_cancel(&waiter, stage.weir.port);
	ck_assert_str_eq(wire_types_until_ready(&waiter), "EZ");
	wire_exec(&holder, "COMMIT");
	ck_assert_str_eq(wire_value(&waiter, "SELECT 'again'"), "again");
	wire_close(&holder);
	wire_close(&waiter);
	wire_close(&behind);
}
END_TEST

/* Trap 44: the server that ran it belongs to somebody else by now. */
START_TEST(a_late_cancel_hits_nobody)
{
	struct wire one, two;

	start(1, "transaction");
	wire_connect(&one, &stage.weir);
	wire_connect(&two, &stage.weir);
	for (int round = 0; round < 20; round++) {
		wire_exec(&one, "SELECT 1");
		wire_query(&two, "SELECT pg_sleep(0.05)");
		wire_cancel(&one, stage.weir.port);
		ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");
	}
	wire_close(&one);
	wire_close(&two);
}
END_TEST

/* Trap 47. */
START_TEST(a_cancel_that_means_nobody_is_silent)
{
	struct wire wire, other;
	uint8_t wrong[256] = { 0 };

	start(1, "transaction");
	wire_connect(&wire, &stage.weir);
	wire_connect(&other, &stage.weir);
	/* Of a client that does nothing. */
	wire_cancel(&other, stage.weir.port);
	wire_query(&wire, "SELECT pg_sleep(0.5)");
	ck_assert(eventually(is_running("%pg_sleep(0.5)%")));
	/* Not its key, by a bit; not its pid; not of its length. */
	memcpy(wrong, wire.key, wire.key_bytes);
	wrong[0] ^= 1;
	wire_cancel_with(stage.weir.port, wire.process_id, wrong, wire.key_bytes);
	wire_cancel_with(stage.weir.port, wire.process_id ^ 0x100, wire.key, wire.key_bytes);
	wire_cancel_with(stage.weir.port, wire.process_id, wire.key, wire.key_bytes - 1);
	memcpy(wrong, wire.key, wire.key_bytes);
	wire_cancel_with(stage.weir.port, wire.process_id, wrong, sizeof(wrong));
	wire_cancel_with(stage.weir.port, 0, wrong, 4);
	wire_cancel_with(stage.weir.port, UINT32_MAX, wrong, 4);
	ck_assert_str_eq(wire_types_until_ready(&wire), "TDCZ");
	ck_assert(wire_is_silent(&other, 50));
	ck_assert_str_eq(wire_value(&other, "SELECT 1"), "1");
	/* The key of a client that has gone. */
	struct wire gone;
	wire_connect(&gone, &stage.weir);
	uint32_t process_id = gone.process_id;
	uint8_t key[256];
	size_t key_bytes = gone.key_bytes;
	memcpy(key, gone.key, key_bytes);
	wire_close(&gone);
	wire_cancel_with(stage.weir.port, process_id, key, key_bytes);
	ck_assert_str_eq(wire_value(&wire, "SELECT 2"), "2");
	wire_close(&wire);
	wire_close(&other);
}
END_TEST

/* ---- a race ---- */

struct canceller {
	pthread_t thread;
	const struct wire *target;
	atomic_bool stop;
	atomic_int sent;
};

static void *cancel_all_the_time(void *argument)
{
	struct canceller *canceller = argument;

	while (!canceller->stop) {
		wire_cancel(canceller->target, stage.weir.port);
		canceller->sent++;
	}
	return NULL;
}

/* Somebody cancels one client as fast as he can; the other one on the same server must never see it. */
START_TEST(cancels_never_hit_the_next_client)
{
	struct wire one, two;
	struct canceller canceller = { .target = &one };
	int cancelled = 0;

	start(1, "transaction");
	wire_connect(&one, &stage.weir);
	wire_connect(&two, &stage.weir);
	ck_assert_int_eq(pthread_create(&canceller.thread, NULL, cancel_all_the_time, &canceller), 0);
	for (int round = 0; round < 300; round++) {
		wire_query(&one, "SELECT pg_sleep(0.002)");
		wire_query(&two, "SELECT pg_sleep(0.002), 'two'");
		wire_types_until_ready(&one);
		cancelled += strcmp(one.sqlstate, "57014") == 0;
		ck_assert_str_eq(wire_types_until_ready(&two), "TDCZ");
		ck_assert_str_eq(two.sqlstate, "");
	}
	canceller.stop = true;
	pthread_join(canceller.thread, NULL);
	/* It did cancel, or the test shows nothing. */
	ck_assert_int_gt(canceller.sent, 20);
	ck_assert_int_gt(cancelled, 5);
	wire_close(&one);
	wire_close(&two);
}
END_TEST

/* Trap 46: requests in numbers do not keep others out, nor count as their connections. */
START_TEST(a_storm_of_cancels)
{
	struct wire wire, storm[100];
	struct pg_buffer out = PG_BUFFER_EMPTY;

	stage_start("transaction", 2, "");
	wire_connect(&wire, &stage.weir);
	wire_query(&wire, "SELECT pg_sleep(60)");
	ck_assert(eventually(is_running("%pg_sleep(60)%")));
	for (int i = 0; i < 100; i++)
		wire_open(&storm[i], stage.weir.port);
	for (int i = 0; i < 100; i++) {
		pg_buffer_put_u32(&out, (uint32_t)(12 + wire.key_bytes));
		pg_buffer_put_u32(&out, 80877102);
		pg_buffer_put_u32(&out, wire.process_id);
		pg_buffer_put_bytes(&out, wire.key, wire.key_bytes);
		wire_send(&storm[i], &out);
	}
	ck_assert_str_eq(wire_types_until_ready(&wire), "TEZ");
	for (int i = 0; i < 100; i++) {
		wire_types_until_closed(&storm[i]);
		wire_close(&storm[i]);
	}
	PGconn *client = weir_client(&stage.weir);
	ck_assert_str_eq(sql_value(client, "SELECT 1"), "1");
	PQfinish(client);
	ck_assert_str_eq(wire_value(&wire, "SELECT 1"), "1");
	wire_close(&wire);
}
END_TEST

Suite *cancel_suite(void)
{
	Suite *suite = suite_create("cancel");
	TCase *tcase = stage_case("cancel", 90);

	tcase_add_loop_test(tcase, a_running_query_is_cancelled, 0, 2);
	tcase_add_test(tcase, libpq_cancels_by_tcp_and_by_unix_socket);
	tcase_add_test(tcase, a_waiting_client_is_taken_out_of_the_line);
	tcase_add_test(tcase, a_late_cancel_hits_nobody);
	tcase_add_test(tcase, a_cancel_that_means_nobody_is_silent);
	tcase_add_test(tcase, cancels_never_hit_the_next_client);
	tcase_add_test(tcase, a_storm_of_cancels);
	suite_add_tcase(suite, tcase);
	return suite;
}
