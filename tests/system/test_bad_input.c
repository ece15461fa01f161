/*
 * Bytes that no client should send: that one connection gets an error or an end within its time, and nobody else notices.
 *
 * In each test a well-behaved client works before, during and after.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *bad_input_suite(void);

static PGconn *neighbour;

static void start_with_neighbour(const char *more)
{
	stage_start("transaction", 2, more);
	neighbour = weir_client(&stage.weir);
	ck_assert_int_eq(sql_number(neighbour, "SELECT 1"), 1);
}

static void neighbour_is_well(void)
{
	ck_assert_int_eq(sql_number(neighbour, "SELECT 2"), 2);
	PQfinish(neighbour);
	neighbour = weir_client(&stage.weir);
	ck_assert_int_eq(sql_number(neighbour, "SELECT 3"), 3);
	PQfinish(neighbour);
}

static const char *const pairs[] = { "user", "app_user", "database", "app", NULL };

/* Sends bytes as the first of a connection; the answer must be an error with that SQLSTATE ("" for a silent end). */
static void first_bytes(const void *bytes, size_t count, const char *sqlstate)
{
	struct wire wire;

	wire_open(&wire, stage.weir.port);
	wire_send_bytes(&wire, bytes, count);
	wire_types_until_closed(&wire);
	ck_assert_str_eq(wire.sqlstate, sqlstate);
	wire_close(&wire);
}

/* Traps 1 and 9, and the "gigabyte lengths before login". */
START_TEST(lengths_of_the_first_packet)
{
	start_with_neighbour("");
	first_bytes("\x00\x00\x00\x00\x00\x03\x00\x00", 8, "08P01");
	first_bytes("\x00\x00\x00\x07\x00\x03\x00\x00", 8, "08P01");
	first_bytes("\x7f\xff\xff\xff\x00\x03\x00\x00", 8, "08P01");
	first_bytes("\xff\xff\xff\xff\x00\x03\x00\x00", 8, "08P01");
	first_bytes("\x80\x00\x00\x00\x00\x03\x00\x00", 8, "08P01");
	first_bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 28, "08P01");
	first_bytes("\x00\x00\x00\x08\x00\x02\x00\x00", 8, "0A000");
	neighbour_is_well();
}
END_TEST

START_TEST(startup_packets_without_sense)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char name[100];
	start_with_neighbour("");

	/* No user. */
	wire_put_startup(&out, 196608, (const char *const[]){ "database", "app", NULL });
	first_bytes(out.data, out.length, "28000");
	pg_buffer_clear(&out);
	/* Trap 8: a name over 63 bytes. */
	memset(name, 'n', sizeof(name));
	name[64] = '\0';
	wire_put_startup(&out, 196608, (const char *const[]){ "user", name, "database", "app", NULL });
	first_bytes(out.data, out.length, "42622");
	pg_buffer_clear(&out);
	wire_put_startup(&out, 196608, (const char *const[]){ "user", "x", "database", name, NULL });
	first_bytes(out.data, out.length, "42622");
	pg_buffer_clear(&out);
	/* Not UTF-8, and control characters: the database is unknown, and the log stays readable. */
	wire_put_startup(&out, 196608, (const char *const[]){ "user", "\xff\xfe\n", "database", "\x01\x80", NULL });
	first_bytes(out.data, out.length, "3D000");
	pg_buffer_clear(&out);
	wire_put_startup(&out, 196608, (const char *const[]){ "user", "x", "options", "-c", NULL });
	first_bytes(out.data, out.length, "08P01");
	pg_buffer_clear(&out);
	wire_put_startup(&out, 196608,
			 (const char *const[]){ "user", "x", "database", "app", "replication", "true", NULL });
	first_bytes(out.data, out.length, "0A000");
	pg_buffer_clear(&out);
	neighbour_is_well();
}
END_TEST

/* A value that the server refuses is refused with the server's own words. */
START_TEST(a_parameter_that_the_server_refuses)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	start_with_neighbour("");

	wire_put_startup(&out, 196608,
			 (const char *const[]){ "user", "x", "database", "app", "work_mem", "banana", NULL });
	first_bytes(out.data, out.length, "22023");
	pg_buffer_clear(&out);
	wire_put_startup(&out, 196608, (const char *const[]){ "user", "x", "database", "app", "no_such", "1", NULL });
	first_bytes(out.data, out.length, "42704");
	pg_buffer_clear(&out);
	neighbour_is_well();
}
END_TEST

/* Trap 5: one byte at a time, login and query. */
START_TEST(one_byte_at_a_time)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	start_with_neighbour("");

	wire_open(&wire, stage.weir.port);
	wire_put_startup(&out, 196608, pairs);
	for (size_t i = 0; i < out.length; i++)
		wire_send_bytes(&wire, out.data + i, 1);
	pg_buffer_clear(&out);
	wire_types_until_ready(&wire);
	pg_build_query(&out, "SELECT 'slow'");
	for (size_t i = 0; i < out.length; i++)
		wire_send_bytes(&wire, out.data + i, 1);
	pg_buffer_clear(&out);
	ck_assert_str_eq(wire_types_until_ready(&wire), "TDCZ");
	ck_assert_str_eq(wire.value, "slow");
	wire_close(&wire);
	neighbour_is_well();
}
END_TEST

static void after_login(char type, uint32_t length, const char *sqlstate)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_connect(&wire, &stage.weir);
	wire_put_raw(&out, type, length, "", 0);
	wire_send(&wire, &out);
	wire_types_until_closed(&wire);
	ck_assert_str_eq(wire.sqlstate, sqlstate);
	wire_close(&wire);
}

START_TEST(messages_that_do_not_exist)
{
	start_with_neighbour("");
	after_login('?', 4, "08P01");
	after_login('\0', 4, "08P01");
	after_login('\x80', 4, "08P01");
	after_login('p', 4, "08P01");
	after_login('Q', 0, "08P01");
	after_login('Q', 3, "08P01");
	after_login('Q', 0x40000000u, "08P01");
	after_login('Q', 0xffffffffu, "08P01");
	neighbour_is_well();
}
END_TEST

/* In the middle of a transaction: the server is cleaned up for the next. */
START_TEST(a_broken_message_in_a_transaction)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	start_with_neighbour("");

	sql_exec(neighbour, "CREATE TABLE kept (a int)");
	wire_connect(&wire, &stage.weir);
	wire_exec(&wire, "BEGIN");
	wire_exec(&wire, "INSERT INTO kept VALUES (1)");
	wire_put_raw(&out, '?', 4, "", 0);
	wire_send(&wire, &out);
	wire_types_until_closed(&wire);
	ck_assert_str_eq(wire.sqlstate, "08P01");
	wire_close(&wire);
	ck_assert(eventually(sql_number(neighbour, "SELECT count(*) FROM pg_locks WHERE relation = 'kept'::regclass "
						   "AND mode = 'RowExclusiveLock'") == 0));
	ck_assert_int_eq(sql_number(neighbour, "SELECT count(*) FROM kept"), 0);
	neighbour_is_well();
}
END_TEST

/* Malformed bodies are the server's to judge: it says so, and the connection lives on. */
START_TEST(malformed_bodies)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	start_with_neighbour("");

	wire_connect(&wire, &stage.weir);
	for (const char *type = "PBDEC"; *type; type++) {
		wire_put_raw(&out, *type, 4, "", 0);
		pg_build_sync(&out);
		wire_send(&wire, &out);
		wire_types_until_ready(&wire);
		ck_assert_str_eq(wire.sqlstate, "08P01");
	}
	wire_put_raw(&out, 'Q', 8, "abcd", 4); /* no NUL at its end */
	wire_send(&wire, &out);
	wire_types_until_ready(&wire);
	ck_assert_str_eq(wire.sqlstate, "08P01");
	ck_assert_str_eq(wire_value(&wire, "SELECT 4"), "4");
	wire_close(&wire);
	neighbour_is_well();
}
END_TEST

/* Trap 15: a connection that says nothing, or half of what it should, ends at client_login_timeout. */
START_TEST(silence_ends_at_the_login_time_out)
{
	struct wire silent, half, stalled;
	start_with_neighbour("client_login_timeout = 1;");

	wire_open(&silent, stage.weir.port);
	wire_open(&half, stage.weir.port);
	wire_send_bytes(&half, "\x00\x00\x00\x40\x00\x03", 6);
	wire_open(&stalled, stage.weir.port);
	wire_send_bytes(&stalled, "\x00\x00\x00\x08\x04\xd2\x16\x2f", 8); /* SSLRequest, then nothing */
	wire_types_until_closed(&silent);
	wire_types_until_closed(&half);
	wire_close(&silent);
	wire_close(&half);
	char answer;
	ck_assert(eventually(recv(stalled.fd, &answer, 1, MSG_DONTWAIT) == 1 && answer == 'N'));
	wire_types_until_closed(&stalled);
	ck_assert_str_eq(stalled.sqlstate, "57014");
	wire_close(&stalled);
	neighbour_is_well();
}
END_TEST

/* Random bytes, before and after the login, from a fixed seed. */
START_TEST(noise)
{
	unsigned seed = 4711;
	uint8_t bytes[600];
	start_with_neighbour("");

	for (int round = 0; round < 200; round++) {
		struct wire wire;
		size_t count = 1 + (size_t)rand_r(&seed) % sizeof(bytes);
		if (round % 2)
			wire_connect(&wire, &stage.weir);
		else
			wire_open(&wire, stage.weir.port);
		for (size_t i = 0; i < count; i++)
			bytes[i] = (uint8_t)rand_r(&seed);
		wire_try_send(&wire, bytes, count);
		if (round % 3)
			wire_close(&wire);
		else
			wire_reset(&wire);
	}
	neighbour_is_well();
	ck_assert(process_descriptors(stage.weir.process.pid) < 60);
}
END_TEST

/* A request of which only a part comes holds no server, and costs nobody anything. */
START_TEST(half_requests_hold_no_server)
{
	struct wire wires[20];
	start_with_neighbour("");

	for (int i = 0; i < 20; i++) {
		wire_connect(&wires[i], &stage.weir);
		wire_send_bytes(&wires[i], "Q\x00\x00\x00\x20SELECT", 11);
	}
	neighbour_is_well();
	for (int i = 0; i < 20; i++)
		wire_close(&wires[i]);
}
END_TEST

Suite *bad_input_suite(void)
{
	Suite *suite = suite_create("bad_input");
	TCase *tcase = stage_case("bad_input", 60);

	tcase_add_test(tcase, lengths_of_the_first_packet);
	tcase_add_test(tcase, startup_packets_without_sense);
	tcase_add_test(tcase, a_parameter_that_the_server_refuses);
	tcase_add_test(tcase, one_byte_at_a_time);
	tcase_add_test(tcase, messages_that_do_not_exist);
	tcase_add_test(tcase, a_broken_message_in_a_transaction);
	tcase_add_test(tcase, malformed_bodies);
	tcase_add_test(tcase, silence_ends_at_the_login_time_out);
	tcase_add_test(tcase, noise);
	tcase_add_test(tcase, half_requests_hold_no_server);
	suite_add_tcase(suite, tcase);
	return suite;
}
