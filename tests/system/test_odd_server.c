/*
 * Servers that are odd but not wrong, that are slow, or that refuse: what comes of it for clients.
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

Suite *odd_server_suite(void);

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
		ck_assert(eventually(weir_log_contains(&stage.weir, "broke the protocol")));
	sql_exec(client, "SELECT 1");
	ck_assert_int_eq(atomic_load(&pretender.connections), _i ? 1 : 2);
	PQfinish(client);
	end();
}
END_TEST

/* Trap 48: a cancel request that comes while the server does something of ours is not sent on. */
static atomic_bool hold_settings, settings_asked;

static void take_time_for_settings(struct pretender *self, int fd)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char body[1000];

	(void)self;
	if (!pretend_login(fd, 4))
		return;
	for (;;) {
		memset(body, 0, sizeof(body));
		if (pretend_read(fd, body, sizeof(body) - 1) != PG_FRONTEND_QUERY)
			return;
		if (strstr(body, "set_config") && atomic_load(&hold_settings)) {
			atomic_store(&settings_asked, true);
			(void)eventually(!atomic_load(&hold_settings));
		}
		pg_build_command_complete(&out, "SELECT 0");
		pg_build_ready(&out, PG_TRANSACTION_IDLE);
		if (!pretend_send(fd, &out))
			return;
	}
}

START_TEST(trap_48_cancel_while_settings_are_made)
{
	struct wire one, two;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	start(take_time_for_settings, "");
	wire_open(&one, stage.weir.port);
	wire_login(&one, "joe", "odd", NULL, (const char *const[]){ "application_name", "one", NULL });
	wire_open(&two, stage.weir.port);
	wire_login(&two, "joe", "odd", NULL, (const char *const[]){ "application_name", "two", NULL });
	wire_exec(&one, "SELECT 1");
	atomic_store(&hold_settings, true);
	pg_build_query(&out, "SELECT 2");
	wire_send(&two, &out);
	ck_assert(eventually(atomic_load(&settings_asked)));
	wire_cancel(&two, stage.weir.port);
	ck_assert_int_eq(atomic_load(&pretender.cancels), 0);
	atomic_store(&hold_settings, false);
	ck_assert_str_eq(wire_types_until_ready(&two), "CZ");
	ck_assert_int_eq(atomic_load(&pretender.cancels), 0);
	wire_close(&one);
	wire_close(&two);
	end();
}
END_TEST

/* A server that never answers to a client's session parameters is given up, and the client asks for another. */
static void never_take_settings_at_first(struct pretender *self, int fd)
{
	char body[1000];

	if (atomic_load(&self->connections) > 1) {
		if (pretend_login(fd, 4))
			pretend_answer_queries(fd);
		return;
	}
	if (!pretend_login(fd, 4))
		return;
	while (pretend_read(fd, body, sizeof(body)))
		continue;
}

START_TEST(settings_that_are_never_taken)
{
	struct wire wire;

	start(never_take_settings_at_first, "server_reset_timeout = 1;");
	wire_open(&wire, stage.weir.port);
	/* At login it is the login that fails; the next one finds a server that answers. */
	struct pg_buffer out = PG_BUFFER_EMPTY;
	wire_put_startup(&out, 196608,
			 (const char *const[]){ "user", "joe", "database", "odd", "work_mem", "1MB", NULL });
	wire_send(&wire, &out);
	wire_types_until_closed(&wire);
	ck_assert_str_eq(wire.sqlstate, "08006");
	wire_close(&wire);
	wire_open(&wire, stage.weir.port);
	wire_login(&wire, "joe", "odd", NULL, (const char *const[]){ "work_mem", "1MB", NULL });
	wire_exec(&wire, "SELECT 1");
	wire_close(&wire);
	end();
}
END_TEST

Suite *odd_server_suite(void)
{
	Suite *suite = suite_create("odd_server");
	TCase *tcase = stage_case("odd_server", 60);

	tcase_add_loop_test(tcase, traps_11_and_17_odd_but_right_logins, 0, 3);
	tcase_add_test(tcase, a_silent_server_is_given_up);
	tcase_add_test(tcase, trap_79_a_wrong_password_does_not_hammer_the_server);
	tcase_add_test(tcase, settings_that_are_never_taken);
	tcase_add_test(tcase, trap_48_cancel_while_settings_are_made);
	tcase_add_loop_test(tcase, trap_56_what_an_idle_server_says, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
