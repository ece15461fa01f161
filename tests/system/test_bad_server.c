/*
 * Servers that say what no server should: that one connection is closed with a clear word, the clients get an error of their
 * own, and the process lives on.
 *
 * After each case a client of another pool, over the real PostgreSQL, must be as well as before.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/clock.h"
#include "tests/support/pretender.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *bad_server_suite(void);

static struct pretender pretender;

static void start(void (*behave)(struct pretender *pretender, int fd), const char *more)
{
	pretender_start(&pretender, behave);
	weir_start(&stage.weir,
		   "auth_type = \"trust\"; admin_users = \"ops\"; pool_mode = \"transaction\"; default_pool_size = 1;"
		   "query_wait_timeout = 2; server_connect_timeout = 1; server_login_retry = \"200ms\"; %s\n"
		   "databases = ( { name = \"app\"; conninfo = \"host=%s port=%u user=u_trust dbname=%s\"; },\n"
		   "{ name = \"odd\"; conninfo = \"host=127.0.0.1 port=%u user=x password=secret\"; } );",
		   more, stage.cluster.host, stage.cluster.port, stage.database, pretender.port);
}

static void end(void)
{
	PGconn *client = weir_client(&stage.weir);

	ck_assert_int_eq(sql_number(client, "SELECT 1"), 1);
	PQfinish(client);
	weir_stop(&stage.weir);
	pretender_stop(&pretender);
}

static void odd_is_refused(const char *expected)
{
	sql_refused(expected, "host=127.0.0.1 port=%u dbname=odd user=joe", stage.weir.port);
}

/* ---- at login ---- */

/* Trap 3: an ErrorResponse without any field, at login. */
static void say_an_empty_error(struct pretender *self, int fd)
{
	(void)self;
	pretend_send_bytes(fd, "E\0\0\0\5", 6);
}

START_TEST(trap_3_an_error_without_fields)
{
	start(say_an_empty_error, "");
	odd_is_refused("without a text");
	end();
}
END_TEST

/* Trap 11: a notice in the middle of the login is passed over. */
static void log_in_with_a_notice(struct pretender *self, int fd)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	(void)self;
	pg_build_notice(&out, &(struct pg_report){ "WARNING", "01000", "mind the step", NULL, NULL });
	if (pretend_send(fd, &out) && pretend_login(fd, 4))
		pretend_answer_queries(fd);
}

/* Trap 17: a key may be absent, or long. */
static void log_in_without_a_key(struct pretender *self, int fd)
{
	(void)self;
	if (pretend_login(fd, 0))
		pretend_answer_queries(fd);
}

static void log_in_with_a_long_key(struct pretender *self, int fd)
{
	(void)self;
	if (pretend_login(fd, 256))
		pretend_answer_queries(fd);
}

static void (*const well_enough[])(struct pretender *, int) = { log_in_with_a_notice, log_in_without_a_key,
								log_in_with_a_long_key };

START_TEST(traps_11_and_17_odd_but_right_logins)
{
	start(well_enough[_i], "");
	PGconn *client = weir_connect(&stage.weir, "dbname=odd user=joe");
	sql_exec(client, "SELECT 1");
	PQfinish(client);
	end();
}
END_TEST

/* Each is sent in place of what a login should be. */
static const struct {
	const char *bytes;
	size_t count;
	const char *refusal;
} broken_logins[] = {
	{ "R\0\0\0\3", 5, "protocol" },                              /* a length below 4 */
	{ "R\x7f\xff\xff\xff\0\0\0\0", 9, "protocol" },              /* trap 1: a gigabyte */
	{ "R\xff\xff\xff\xff", 5, "protocol" },                      /* trap 1: wraps */
	{ "R\0\0\0\x08\0\0\0\x63", 9, "method 99" },                 /* unknown authentication */
	{ "R\0\0\0\x08\0\0\0\x0b", 9, "SCRAM challenge is broken" }, /* SASLContinue out of order */
	{ "R\0\0\0\x08\0\0\0\x0c", 9, "did not prove" },             /* SASLFinal out of order */
	{ "R\0\0\0\x0b\0\0\0\5ab\0", 12, "broken authentication" },  /* a short salt */
	{ "D\0\0\0\x06\0\0", 7, "unexpected message" },              /* rows before the login */
	{ "HTTP/1.1 400 Bad Request\r\n\r\n", 28, "protocol" },
};

static void say_something_broken(struct pretender *self, int fd)
{
	char ignored[100];
	size_t nth = (size_t)(uintptr_t)self->context;

	pretend_send_bytes(fd, broken_logins[nth].bytes, broken_logins[nth].count);
	while (read(fd, ignored, sizeof(ignored)) > 0)
		continue;
}

START_TEST(broken_logins_are_refused)
{
	start(say_something_broken, "");
	pretender.context = (void *)(uintptr_t)_i;
	odd_is_refused(broken_logins[_i].refusal);
	end();
}
END_TEST

/* A server that takes the connection and says nothing: the login ends by its time-out, the wait by its own. */
static void say_nothing(struct pretender *self, int fd)
{
	char ignored[100];

	(void)self;
	while (read(fd, ignored, sizeof(ignored)) > 0)
		continue;
}

START_TEST(a_silent_server_is_given_up)
{
	start(say_nothing, "");
	odd_is_refused("query_wait_timeout");
	ck_assert(weir_log_contains(&stage.weir, "server_connect_timeout"));
	end();
}
END_TEST

/* Trap 79: a password that the server refuses is not tried again for every client. */
static void refuse_the_password(struct pretender *self, int fd)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	(void)self;
	pg_build_error(&out, &(struct pg_report){ "FATAL", "28P01", "password authentication failed for user \"x\"",
						  NULL, NULL });
	pretend_send(fd, &out);
}

START_TEST(trap_79_a_wrong_password_does_not_hammer_the_server)
{
	start(refuse_the_password, "");
	int64_t begin = now_ms();
	for (int i = 0; i < 50; i++)
		odd_is_refused("password authentication failed for user \"x\"");
	/* The pauses between attempts are 100 ms and then 200 ms. */
	ck_assert_int_le(atomic_load(&pretender.connections), 3 + (now_ms() - begin) / 100);
	end();
}
END_TEST

/* ---- after the login ---- */

static const struct {
	const char *bytes;
	size_t count;
} broken_answers[] = {
	{ "1\0\0\0\4", 5 },                    /* ParseComplete that nobody asked for */
	{ "Z\0\0\0\5X", 6 },                   /* no such status */
	{ "Z\0\0\0\4", 5 },                    /* no status */
	{ "T\0\0\0\1", 5 },                    /* a length below 4 */
	{ "T\xff\xff\xff\xff", 5 },            /* a length that wraps */
	{ "R\0\0\0\x08\0\0\0\0", 9 },          /* a second login */
	{ "K\0\0\0\x0c\0\0\0\1\0\0\0\1", 13 }, /* a second key */
	{ "\0\0\0\0\0\0", 6 },                 /* no such type */
	{ "D\0\0\0\x0a\0\1\0\0", 9 },          /* half a row, and the end */
};

static void answer_something_broken(struct pretender *self, int fd)
{
	char body[1000];
	size_t nth = (size_t)(uintptr_t)self->context;

	if (!pretend_login(fd, 4) || !pretend_read(fd, body, sizeof(body)))
		return;
	pretend_send_bytes(fd, broken_answers[nth].bytes, broken_answers[nth].count);
}

START_TEST(broken_answers_end_that_connection)
{
	start(answer_something_broken, "");
	pretender.context = (void *)(uintptr_t)_i;
	PGconn *client = weir_connect(&stage.weir, "dbname=odd user=joe");
	PGresult *result = sql_result(client, "SELECT 1");
	ck_assert_int_eq(PQresultStatus(result), PGRES_FATAL_ERROR);
	PQclear(result);
	ck_assert_int_eq(PQstatus(client), CONNECTION_BAD);
	ck_assert_ptr_nonnull(strstr(PQerrorMessage(client), "server"));
	PQfinish(client);
	end();
}
END_TEST

/* Trap 56: an idle server that says something it may not say is not given to anybody; one that reports a parameter is. */
static void chatter_while_idle(struct pretender *self, int fd)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	bool legal = self->context != NULL;

	if (!pretend_login(fd, 4))
		return;
	if (legal)
		pg_build_parameter_status(&out, "in_hot_standby", "on");
	else
		pg_build_command_complete(&out, "SELECT 0");
	if (atomic_load(&self->connections) == 1)
		pretend_send(fd, &out);
	pg_buffer_clear(&out);
	pretend_answer_queries(fd);
}

START_TEST(trap_56_what_an_idle_server_says)
{
	start(chatter_while_idle, "");
	pretender.context = _i ? &pretender : NULL;
	PGconn *client = weir_connect(&stage.weir, "dbname=odd user=joe");
	if (!_i)
		ck_assert(eventually(weir_log_contains(&stage.weir, "broke the protocol after its login")));
	sql_exec(client, "SELECT 1");
	ck_assert_int_eq(atomic_load(&pretender.connections), _i ? 1 : 2);
	PQfinish(client);
	end();
}
END_TEST

Suite *bad_server_suite(void)
{
	Suite *suite = suite_create("bad_server");
	TCase *tcase = stage_case("bad_server", 60);

	tcase_add_test(tcase, trap_3_an_error_without_fields);
	tcase_add_loop_test(tcase, traps_11_and_17_odd_but_right_logins, 0, 3);
	tcase_add_loop_test(tcase, broken_logins_are_refused, 0,
			    (int)(sizeof(broken_logins) / sizeof(broken_logins[0])));
	tcase_add_test(tcase, a_silent_server_is_given_up);
	tcase_add_test(tcase, trap_79_a_wrong_password_does_not_hammer_the_server);
	tcase_add_loop_test(tcase, broken_answers_end_that_connection, 0,
			    (int)(sizeof(broken_answers) / sizeof(broken_answers[0])));
	tcase_add_loop_test(tcase, trap_56_what_an_idle_server_says, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
