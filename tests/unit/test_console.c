/* The console as its clients meet it: commands, rights, both protocols, what waits and what is cut off. */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pooler/console/table.h"
#include "pooler/version.h"
#include "protocol/build.h"
#include "protocol/startup.h"
#include "tests/unit/console_stage.h"

static struct stage stage;
static struct talk ops, watch, app;

static void set_up(void)
{
	stage_start(&stage, "");
	talk_open(&ops, &stage, "ops", "pgweir");
	ck_assert_int_eq(ops.status, 'I');
}

static void tear_down(void)
{
	talk_close(&ops);
	stage_stop(&stage);
}

static void expect_error(struct talk *talk, const char *sql, const char *sqlstate)
{
	talk_query(talk, sql);
	ck_assert_msg(strcmp(talk->sqlstate, sqlstate) == 0, "%s: %s %s", sql, talk->sqlstate, talk->message);
	ck_assert_msg(strcmp(talk->types, "EZ") == 0, "%s: %s", sql, talk->types);
}

static void expect_tag(struct talk *talk, const char *sql, const char *tag)
{
	talk_query(talk, sql);
	ck_assert_msg(talk->sqlstate[0] == '\0', "%s: %s %s", sql, talk->sqlstate, talk->message);
	ck_assert_str_eq(talk->tag, tag);
	ck_assert_int_eq(talk->status, 'I');
}

/* ---- login and text ---- */

START_TEST(either_name_and_any_statement)
{
	struct talk other;

	talk_open(&other, &stage, "ops", "pgbouncer");
	ck_assert_int_eq(other.status, 'I');
	talk_query(&other, "\n sHoW /* a /* b */ */ \"version\" ; -- the end");
	ck_assert_str_eq(other.types, "TDCZ");
	ck_assert_str_eq(other.rows, "pgweir " PGWEIR_VERSION "\n");
	ck_assert_str_eq(other.tag, "SHOW");
	talk_query(&other, "show state; show version;;");
	ck_assert_str_eq(other.types, "TDCTDCZ");
	talk_query(&other, " ; -- nothing\n");
	ck_assert_str_eq(other.types, "IZ");
	talk_close(&other);
}
END_TEST

START_TEST(a_stranger_is_kept_out)
{
	struct talk other;

	talk_open(&other, &stage, "joe", "pgweir");
	ck_assert_str_eq(other.sqlstate, "42501");
	ck_assert(other.ended);
	talk_close(&other);
}
END_TEST

START_TEST(mistakes)
{
	expect_error(&ops, "bogus", "42601");
	expect_error(&ops, "select 1", "42601");
	expect_error(&ops, "show", "42601");
	expect_error(&ops, "show nothing", "42601");
	expect_error(&ops, "show pools now", "42601");
	expect_error(&ops, "pause \"app", "42601");
	expect_error(&ops, "pause app other", "42601");
	expect_error(&ops, "reload app", "42601");
	expect_error(&ops, "set verbose", "42601");
	expect_error(&ops, "set verbose = ", "42601");
	expect_error(&ops, "set nothing = 1", "22023");
	expect_error(&ops, "set default_pool_size = many", "22023");
	expect_error(&ops, "set listen_port = 1", "22023");
	expect_error(&ops, "disable", "42601");
	expect_error(&ops, "disable nowhere", "3D000");
	expect_error(&ops, "pause nowhere", "3D000");
	expect_error(&ops, "pause pgbouncer", "42809");
	expect_error(&ops, "resume", "55000");
	expect_error(&ops, "resume app", "55000");
	expect_error(&ops, "kill_client", "42601");
	expect_error(&ops, "kill_client 12x", "42601");
	expect_error(&ops, "kill_client 4000000", "42704");
	expect_error(&ops, "shutdown now", "42601");
	/* A mistake in the last keeps the first from running. */
	expect_error(&ops, "disable app; bogus", "42601");
	talk_query(&ops, "show databases");
	ck_assert_str_eq(talk_value(&ops, "app|", "disabled"), "0");
}
END_TEST

/* Trap 75: the command itself asks for the right, not only the login. */
START_TEST(watchers_only_watch)
{
	const char *const refused[] = { "pause",
					"pause app",
					"resume",
					"kill",
					"kill app",
					"kill_client 1",
					"reload",
					"disable app",
					"enable app",
					"reconnect",
					"wait_close",
					"shutdown",
					"shutdown wait_for_clients",
					"set verbose = 1" };

	talk_open(&watch, &stage, "watch", "pgweir");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect_error(&watch, refused[i], "42501");
	for (const struct table *const *it = tables; *it; it++) {
		char sql[64];
		snprintf(sql, sizeof(sql), "show %s", (*it)->name);
		expect_tag(&watch, sql, "SHOW");
	}
	talk_close(&watch);
}
END_TEST

START_TEST(what_drivers_send_by_themselves)
{
	expect_tag(&ops, "SET extra_float_digits = 3", "SET");
	ck_assert_str_ne(ops.notice, "");
	expect_tag(&ops, "SET SESSION application_name TO 'x'", "SET");
	expect_tag(&ops, "BEGIN TRANSACTION READ ONLY", "BEGIN");
	expect_tag(&ops, "COMMIT", "COMMIT");
	expect_tag(&ops, "ROLLBACK", "ROLLBACK");
	expect_tag(&ops, "DISCARD ALL", "DISCARD ALL");
	expect_tag(&ops, "SHOW TRANSACTION ISOLATION LEVEL", "SHOW");
	ck_assert_str_eq(ops.rows, "read committed\n");
	expect_tag(&ops, "show client_encoding", "SHOW");
	ck_assert_str_eq(ops.rows, "UTF8\n");
}
END_TEST

START_TEST(settings_change)
{
	expect_tag(&ops, "SET default_pool_size = '7'", "SET");
	talk_query(&ops, "show config");
	ck_assert_str_eq(talk_value(&ops, "default_pool_size|", "value"), "7");
	stage_write_config(&stage, "nonsense = 1;");
	talk_query(&ops, "reload");
	ck_assert_str_eq(ops.sqlstate, "F0000");
	ck_assert_ptr_nonnull(strstr(ops.detail, "nonsense"));
	talk_query(&ops, "show config");
	ck_assert_str_eq(talk_value(&ops, "default_pool_size|", "value"), "7");
	stage_write_config(&stage, "query_wait_timeout = 33;");
	expect_tag(&ops, "reload", "RELOAD");
	talk_query(&ops, "show config");
	ck_assert_str_eq(talk_value(&ops, "query_wait_timeout|", "value"), "33");
	ck_assert_str_eq(talk_value(&ops, "default_pool_size|", "value"), "3");
}
END_TEST

/* ---- the extended protocol ---- */

START_TEST(extended)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	put_parse(&out, "p", "show pools");
	put_describe(&out, 'S', "p");
	put_bind(&out, "", "p", 0);
	put_describe(&out, 'P', "");
	put_execute(&out, "", 0);
	put_sync(&out);
	put_parse(&out, "", "set extra_float_digits = 3");
	put_bind(&out, "", "", 0);
	put_describe(&out, 'P', "");
	put_execute(&out, "", 0);
	put_sync(&out);
	talk_send(&ops, &out);
	talk_read(&ops, 2);
	ck_assert_str_eq(ops.types, "1tT2TDCZ12nNCZ");
	ck_assert_str_eq(ops.tag, "SET");
	ck_assert_uint_eq(ops.row_count, 3); /* app, other, the console */
}
END_TEST

START_TEST(an_error_skips_to_sync)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	put_parse(&out, "", "show bogus");
	put_bind(&out, "", "", 0);
	put_execute(&out, "", 0);
	pg_build_query(&out, "show version"); /* swallowed too */
	put_sync(&out);
	put_bind(&out, "", "gone", 0);
	put_sync(&out);
	put_execute(&out, "gone", 0);
	put_sync(&out);
	put_parse(&out, "", "show state; show version");
	put_sync(&out);
	put_parse(&out, "twice", "show state");
	put_parse(&out, "twice", "show state");
	put_sync(&out);
	pg_build_query(&out, "show version");
	talk_send(&ops, &out);
	talk_read(&ops, 6);
	ck_assert_str_eq(ops.types, "EZEZEZEZ1EZTDCZ");
	ck_assert_str_eq(ops.sqlstate, "42P05");
}
END_TEST

START_TEST(binary_results)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	expect_tag(&ops, "show lists", "SHOW");
	put_parse(&out, "", "show lists");
	put_bind(&out, "", "", 1);
	put_describe(&out, 'P', "");
	put_execute(&out, "", 1);
	put_sync(&out);
	talk_send(&ops, &out);
	talk_read(&ops, 1);
	ck_assert_str_eq(ops.types, "12TDsZ");
	ck_assert_str_eq(ops.rows, "646174616261736573|00000002\n"); /* databases, 2 */
}
END_TEST

/* maxRows of JDBC, fetches in pieces. */
START_TEST(row_limits)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	put_parse(&out, "", "show lists");
	put_bind(&out, "", "", 0);
	put_execute(&out, "", 6);
	put_execute(&out, "", 6);
	put_execute(&out, "", 6);
	put_execute(&out, "", 6);
	put_sync(&out);
	talk_send(&ops, &out);
	talk_read(&ops, 1);
	ck_assert_str_eq(ops.types, "12DsDsDCEZ"); /* 6, 6, 2 and then no more */
	ck_assert_uint_eq(ops.row_count, 14);
	ck_assert_str_eq(ops.sqlstate, "55000");
}
END_TEST

START_TEST(prepared_statements_are_bounded)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char name[16];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		put_parse(&out, name, "show state");
		put_sync(&out);
	}
	talk_send(&ops, &out);
	talk_read(&ops, 300);
	ck_assert_str_eq(ops.sqlstate, "54000");
	expect_tag(&ops, "deallocate s7", "DEALLOCATE");
	expect_error(&ops, "deallocate s7", "26000");
	expect_tag(&ops, "deallocate all", "DEALLOCATE ALL");
	put_parse(&out, "again", "show state");
	put_sync(&out);
	talk_send(&ops, &out);
	talk_read(&ops, 1);
	ck_assert_str_eq(ops.types, "1Z");
}
END_TEST

/* ---- bad bytes ---- */

START_TEST(half_messages_and_fragments)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	put_parse(&out, "", "show version");
	put_bind(&out, "", "", 0);
	put_execute(&out, "", 0);
	put_sync(&out);
	pg_build_query(&out, "show version");
	for (size_t i = 0; i + 1 < out.length; i++) {
		ck_assert_int_eq(send(ops.fd, out.data + i, 1, 0), 1);
		usleep(500);
	}
	pg_buffer_consume(&out, out.length - 1);
	talk_send(&ops, &out);
	talk_read(&ops, 2);
	ck_assert_str_eq(ops.types, "12DCZTDCZ");
}
END_TEST

static void expect_cut_off(struct pg_buffer *out, const char *sqlstate)
{
	struct talk other;

	talk_open(&other, &stage, "ops", "pgweir");
	talk_send(&other, out);
	talk_read(&other, 1);
	ck_assert(other.ended);
	ck_assert_str_eq(other.sqlstate, sqlstate);
	talk_close(&other);
	expect_tag(&ops, "show version", "SHOW");
}

START_TEST(nonsense_ends_one_connection)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_buffer_put_bytes(&out, "Q\0\0\0\1", 5);
	expect_cut_off(&out, "08P01");
	pg_buffer_put_bytes(&out, "Q\1\0\0\0", 5);
	expect_cut_off(&out, "54000");
	pg_buffer_put_bytes(&out, "Q\0\0\0\7abc", 8); /* no NUL */
	expect_cut_off(&out, "08P01");
	pg_buffer_put_bytes(&out, "B\0\0\0\7ab\0", 8);
	expect_cut_off(&out, "08P01");
	pg_buffer_put_bytes(&out, "p\0\0\0\5\0", 6);
	expect_cut_off(&out, "08P01");
}
END_TEST

/* ---- what waits ---- */

static void open_transaction(void)
{
	talk_open(&app, &stage, "joe", "app");
	ck_assert_int_eq(app.status, 'I');
	talk_query(&app, "BEGIN");
	ck_assert_int_eq(app.status, 'T');
}

START_TEST(pause_answers_when_servers_are_back)
{
	struct talk pauser, late;

	open_transaction();
	talk_open(&pauser, &stage, "ops", "pgweir");
	talk_ask(&pauser, "pause app");
	talk_await(&ops, "show pools", "app|", "paused", "1");
	ck_assert(!talk_waits(&pauser, 300));
	ck_assert_str_eq(talk_value(&ops, "app|", "sv_active"), "1");
	talk_query(&app, "COMMIT");
	talk_read(&pauser, 1);
	ck_assert_str_eq(pauser.tag, "PAUSE");
	talk_query(&ops, "show databases");
	ck_assert_str_eq(talk_value(&ops, "app|", "current_connections"), "0");
	ck_assert_str_eq(talk_value(&ops, "app|", "paused"), "1");
	ck_assert_str_eq(talk_value(&ops, "other|", "paused"), "0");

	talk_ask(&app, "SELECT");
	ck_assert(!talk_waits(&app, 300));
	talk_query(&ops, "show pools");
	ck_assert_str_eq(talk_value(&ops, "app|", "cl_waiting"), "1");
	talk_open(&late, &stage, "joe", "other");
	talk_query(&late, "SELECT"); /* another database goes on */
	ck_assert_str_eq(late.types, "CZ");
	expect_tag(&ops, "resume app", "RESUME");
	talk_read(&app, 1);
	ck_assert_str_eq(app.types, "CZ");
	talk_close(&late);
	talk_close(&app);
	talk_close(&pauser);
}
END_TEST

START_TEST(resume_ends_a_pause_that_waits)
{
	struct talk pauser;

	open_transaction();
	talk_open(&pauser, &stage, "ops", "pgweir");
	talk_ask(&pauser, "pause");
	talk_await(&ops, "show state", "paused|", "value", "yes");
	expect_error(&ops, "pause", "55000");
	expect_error(&ops, "pause other", "55000");
	expect_tag(&ops, "resume", "RESUME");
	talk_read(&pauser, 1);
	ck_assert_str_eq(pauser.sqlstate, "57014");
	talk_query(&app, "COMMIT");
	ck_assert_int_eq(app.status, 'I');
	talk_close(&app);
	talk_close(&pauser);
}
END_TEST

START_TEST(a_pauser_may_disappear)
{
	struct talk pauser;

	open_transaction();
	talk_open(&pauser, &stage, "ops", "pgweir");
	talk_ask(&pauser, "pause app");
	talk_await(&ops, "show pools", "app|", "paused", "1");
	talk_close(&pauser);
	talk_await(&ops, "show pools", "pgweir|", "cl_active", "1");
	talk_query(&app, "COMMIT");
	talk_await(&ops, "show databases", "app|", "current_connections", "0");
	expect_tag(&ops, "resume app", "RESUME");
	talk_close(&app);
}
END_TEST

/* It is a name that is paused: also before anybody has used it. */
START_TEST(pause_of_a_database_that_nobody_uses)
{
	struct talk late;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	expect_tag(&ops, "pause app", "PAUSE");
	expect_tag(&ops, "disable other", "DISABLE");
	talk_open(&late, &stage, "joe", "other");
	ck_assert(late.ended);
	ck_assert_str_ne(late.sqlstate, "");
	talk_close(&late);
	expect_tag(&ops, "enable other", "ENABLE");
	talk_open(&late, &stage, "joe", "other");
	ck_assert_int_eq(late.status, 'I');
	talk_close(&late);
	pg_buffer_clear(&out);
	expect_tag(&ops, "resume app", "RESUME");
}
END_TEST

START_TEST(reconnect_and_wait_close)
{
	struct talk waiter;

	open_transaction();
	talk_open(&waiter, &stage, "ops", "pgweir");
	expect_tag(&ops, "reconnect app", "RECONNECT");
	talk_query(&ops, "show servers");
	ck_assert_str_eq(talk_value(&ops, "S|joe|app", "close_needed"), "1");
	talk_ask(&waiter, "wait_close app");
	ck_assert(!talk_waits(&waiter, 300));
	talk_query(&app, "COMMIT");
	talk_read(&waiter, 1);
	ck_assert_str_eq(waiter.tag, "WAIT_CLOSE");
	talk_query(&app, "SELECT"); /* by a new server */
	talk_query(&ops, "show servers");
	ck_assert_str_eq(talk_value(&ops, "S|joe|app", "close_needed"), "0");
	talk_close(&waiter);
	talk_close(&app);
}
END_TEST

START_TEST(kill_drops_and_pauses)
{
	struct talk idle;

	open_transaction();
	talk_open(&idle, &stage, "joe", "other");
	expect_tag(&ops, "kill app", "KILL");
	talk_read(&app, 1);
	ck_assert_str_eq(app.sqlstate, "57P01");
	ck_assert(app.ended);
	talk_query(&idle, "SELECT");
	ck_assert_str_eq(idle.types, "CZ");
	talk_await(&ops, "show databases", "app|", "current_connections", "0");
	ck_assert_str_eq(talk_value(&ops, "app|", "paused"), "1");
	expect_tag(&ops, "resume app", "RESUME");
	talk_close(&app);
	talk_close(&idle);
}
END_TEST

START_TEST(kill_client_by_its_id)
{
	char sql[64];

	open_transaction();
	talk_query(&ops, "show clients");
	snprintf(sql, sizeof(sql), "kill_client %s", talk_value(&ops, "C|joe|app", "id"));
	expect_tag(&ops, sql, "KILL_CLIENT");
	talk_read(&app, 1);
	ck_assert_str_eq(app.sqlstate, "57P01");
	ck_assert(app.ended);
	expect_error(&ops, sql, "42704");
	talk_close(&app);
}
END_TEST

static void *nothing(void *argument)
{
	return argument;
}

START_TEST(shutdown_waits_for_clients)
{
	open_transaction();
	expect_tag(&ops, "shutdown wait_for_clients", "SHUTDOWN");
	talk_query(&app, "COMMIT");
	ck_assert_int_eq(app.status, 'I');
	ck_assert(!talk_waits(&app, 300)); /* nobody sends it away */
	talk_close(&app);
	pthread_join(stage.thread, NULL); /* it was the last */
	ck_assert_int_eq(pthread_create(&stage.thread, NULL, nothing, NULL), 0);
}
END_TEST

START_TEST(shutdown_at_once)
{
	open_transaction();
	expect_tag(&ops, "shutdown", "SHUTDOWN"); /* the answer comes first */
	talk_read(&app, 1);
	ck_assert_str_eq(app.sqlstate, "57P01");
	ck_assert(app.ended);
	talk_close(&app);
}
END_TEST

/* ---- many clients, large answers ---- */

START_TEST(answers_larger_than_a_socket_takes)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	for (int i = 0; i < 100; i++)
		pg_build_query(&out, "show config; show config; show config; show config");
	talk_send(&ops, &out);
	usleep(300000); /* the socket's buffers are full long before */
	talk_read(&ops, 100);
	ck_assert(!ops.ended);
	ck_assert_uint_gt(ops.row_count, 400 * 30);
}
END_TEST

/* Requests that came together with a large answer go on when the client has read it. */
START_TEST(a_slow_reader_gets_all_its_answers)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct talk slow;
	char sql[40 * 12 + 1] = "";

	talk_connect(&slow, &stage, 4096);
	talk_log_in(&slow, "ops", "pgweir");
	for (int i = 0; i < 40; i++)
		strcat(sql, "show config;");
	for (int i = 0; i < 60; i++)
		pg_build_query(&out, sql);
	talk_send(&slow, &out);
	usleep(300000);
	expect_tag(&ops, "show version", "SHOW"); /* nobody else waits for it */
	talk_read(&slow, 60);
	ck_assert(!slow.ended);
	ck_assert_uint_gt(slow.row_count, 0);
	ck_assert_uint_eq(slow.row_count % (60 * 40), 0);
	talk_close(&slow);
}
END_TEST

/* Ctrl-C in psql. */
START_TEST(cancel_ends_a_pause)
{
	struct talk pauser, canceler;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	open_transaction();
	talk_open(&pauser, &stage, "ops", "pgweir");
	talk_ask(&pauser, "pause app");
	talk_await(&ops, "show pools", "app|", "paused", "1");
	talk_connect(&canceler, &stage, 0);
	pg_startup_put_cancel(&out, pauser.process_id, pauser.key, sizeof(pauser.key));
	talk_send(&canceler, &out);
	talk_read(&pauser, 1);
	ck_assert_str_eq(pauser.sqlstate, "57014");
	ck_assert_str_eq(pauser.types, "EZ");
	talk_await(&ops, "show pools", "app|", "paused", "0");
	talk_query(&app, "COMMIT");
	talk_query(&app, "SELECT");
	ck_assert_str_eq(app.types, "CZ");
	talk_close(&canceler);
	talk_close(&pauser);
	talk_close(&app);
}
END_TEST

START_TEST(states_as_pgbouncer_names_them)
{
	open_transaction();
	talk_query(&ops, "show clients");
	ck_assert_str_eq(talk_value(&ops, "C|joe|app", "state"), "active");
	ck_assert_str_eq(talk_value(&ops, "C|ops|pgweir", "state"), "active");
	ck_assert_ptr_nonnull(talk_value(&ops, "C|joe|app", "link"));
	ck_assert_str_ne(talk_value(&ops, "C|joe|app", "link"), "");
	talk_query(&ops, "show servers");
	ck_assert_str_eq(talk_value(&ops, "S|joe|app", "state"), "active");
	talk_query(&app, "COMMIT");
	talk_await(&ops, "show servers", "S|joe|app", "state", "idle");
	talk_query(&ops, "show clients");
	ck_assert_str_eq(talk_value(&ops, "C|joe|app", "state"), "idle");
	ck_assert_str_eq(talk_value(&ops, "C|joe|app", "link"), "");
	talk_query(&ops, "show stats");
	ck_assert_str_eq(talk_value(&ops, "app|", "total_xact_count"), "1");
	ck_assert_str_eq(talk_value(&ops, "app|", "total_query_count"), "2");
	talk_close(&app);
}
END_TEST

Suite *console_suite(void);
Suite *console_suite(void)
{
	Suite *suite = suite_create("console");
	TCase *live = tcase_create("live");

	tcase_set_timeout(live, 30);
	tcase_add_checked_fixture(live, set_up, tear_down);
	tcase_add_test(live, either_name_and_any_statement);
	tcase_add_test(live, a_stranger_is_kept_out);
	tcase_add_test(live, mistakes);
	tcase_add_test(live, watchers_only_watch);
	tcase_add_test(live, what_drivers_send_by_themselves);
	tcase_add_test(live, settings_change);
	tcase_add_test(live, extended);
	tcase_add_test(live, an_error_skips_to_sync);
	tcase_add_test(live, binary_results);
	tcase_add_test(live, row_limits);
	tcase_add_test(live, prepared_statements_are_bounded);
	tcase_add_test(live, half_messages_and_fragments);
	tcase_add_test(live, nonsense_ends_one_connection);
	tcase_add_test(live, pause_answers_when_servers_are_back);
	tcase_add_test(live, resume_ends_a_pause_that_waits);
	tcase_add_test(live, a_pauser_may_disappear);
	tcase_add_test(live, pause_of_a_database_that_nobody_uses);
	tcase_add_test(live, reconnect_and_wait_close);
	tcase_add_test(live, kill_drops_and_pauses);
	tcase_add_test(live, kill_client_by_its_id);
	tcase_add_test(live, shutdown_waits_for_clients);
	tcase_add_test(live, shutdown_at_once);
	tcase_add_test(live, answers_larger_than_a_socket_takes);
	tcase_add_test(live, a_slow_reader_gets_all_its_answers);
	tcase_add_test(live, cancel_ends_a_pause);
	tcase_add_test(live, states_as_pgbouncer_names_them);
	suite_add_tcase(suite, live);
	return suite;
}
