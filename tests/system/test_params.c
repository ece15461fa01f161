/* Startup parameters and session settings: in force for the client that set them, whichever server it gets. */
#include <stdio.h>
#include <string.h>

#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *params_suite(void);

/* A client with startup parameters of its own. */
static void connect_with(struct wire *wire, const char *const *pairs)
{
	wire_open(wire, stage.weir.port);
	wire_login(wire, "joe", "app", NULL, pairs);
}

/* The value of a ParameterStatus that comes before ReadyForQuery; "" when it does not come. */
static const char *status_in_welcome(const char *name, const char *const *pairs)
{
	static char value[128];
	struct wire wire;
	struct wire_message message;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct pg_parameter_status status;
	const char *all[16] = { "user", "joe", "database", "app" };

	for (size_t i = 0; pairs[i]; i++)
		all[4 + i] = pairs[i];
	wire_open(&wire, stage.weir.port);
	wire_put_startup(&out, 3u << 16, all);
	wire_send(&wire, &out);
	value[0] = '\0';
	do {
		ck_assert_msg(wire_read(&wire, &message), "%s", wire.message);
		if (message.type != PG_BACKEND_PARAMETER_STATUS)
			continue;
		ck_assert_int_eq(pg_parse_parameter_status(message.body, message.body_bytes, &status), PG_OK);
		if (strcmp(status.name, name) == 0)
			snprintf(value, sizeof(value), "%s", status.value);
	} while (message.type != PG_BACKEND_READY);
	wire_close(&wire);
	return value;
}

/* Each pair sets one parameter for two clients that take turns on one server. */
static const struct {
	const char *name, *first, *second, *show;
	const char *first_shown, *second_shown;
} settings[] = {
	{ "application_name", "one", "two", "SHOW application_name", "one", "two" },
	{ "application_name", "it's \\ a \"name\"", "", "SHOW application_name", "it's \\ a \"name\"", "" },
	{ "work_mem", "5MB", "6MB", "SHOW work_mem", "5MB", "6MB" },
	{ "search_path", "s1, public", "\"$user\", \"odd \"\" name\"", "SHOW search_path", "s1, public",
	  "\"$user\", \"odd \"\" name\"" },
	{ "DateStyle", "German", "SQL, DMY", "SELECT date '2020-01-31'", "31.01.2020", "31/01/2020" },
	{ "datestyle", "German", "ISO", "SELECT date '2020-01-31'", "31.01.2020", "2020-01-31" },
	{ "TimeZone", "Asia/Tokyo", "America/Lima", "SELECT timestamptz '2020-01-01 00:00+00'",
	  "2020-01-01 09:00:00+09", "2019-12-31 19:00:00-05" },
	{ "IntervalStyle", "iso_8601", "sql_standard", "SELECT interval '1 day 2 hours'", "P1DT2H", "1 2:00:00" },
	{ "extra_float_digits", "-3", "1", "SELECT 1.0::float8 / 3", "0.333333333333", "0.3333333333333333" },
	{ "client_encoding", "LATIN1", "UTF8", "SELECT chr(228)", "\xe4", "\xc3\xa4" },
	{ "standard_conforming_strings", "off", "on", "SELECT length('a\\\\b')", "3", "4" },
	{ "statement_timeout", "12345", "54321", "SHOW statement_timeout", "12345ms", "54321ms" },
	{ "options", "-c work_mem=5MB", "--work-mem=6MB", "SHOW work_mem", "5MB", "6MB" },
	{ "options", "-c search_path=a,\\ b -cgeqo=off", "-c geqo=on", "SHOW geqo", "off", "on" },
	{ "my.own", "a value", "another", "SHOW my.own", "a value", "another" },
};

static void take_turns(const char *mode, int workers)
{
	char more[64];

	snprintf(more, sizeof(more), "workers = %d;", workers);
	stage_start(mode, 1, more);
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		struct wire first, second;
		connect_with(&first, (const char *[]){ settings[i].name, settings[i].first, NULL });
		connect_with(&second, (const char *[]){ settings[i].name, settings[i].second, NULL });
		for (int turn = 0; turn < 3; turn++) {
			ck_assert_str_eq(wire_value(&first, settings[i].show), settings[i].first_shown);
			ck_assert_str_eq(wire_value(&second, settings[i].show), settings[i].second_shown);
		}
		wire_close(&first);
		wire_close(&second);
	}
	/* Nobody's settings stay for a client without any. */
	struct wire plain;
	connect_with(&plain, NULL);
	ck_assert_str_eq(wire_value(&plain, "SHOW work_mem"), sql_value(stage.super, "SHOW work_mem"));
	ck_assert_str_eq(wire_value(&plain, "SHOW application_name"), "");
	ck_assert_str_eq(wire_value(&plain, "SELECT date '2020-01-31'"), "2020-01-31");
	ck_assert_str_eq(wire_value(&plain, "SELECT chr(228)"), "\xc3\xa4");
	wire_close(&plain);
}

START_TEST(two_clients_with_their_own_take_turns_on_one_server)
{
	take_turns("transaction", _i ? 3 : 1);
}
END_TEST

START_TEST(statement_mode_too)
{
	take_turns("statement", 1);
}
END_TEST

START_TEST(session_mode_has_them_from_the_first_query)
{
	stage_start("session", 1, "");
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		struct wire wire;
		connect_with(&wire, (const char *[]){ settings[i].name, settings[i].first, NULL });
		ck_assert_str_eq(wire_value(&wire, settings[i].show), settings[i].first_shown);
		wire_close(&wire);
	}
}
END_TEST

/* The values that the client's driver relies on. */
START_TEST(the_welcome_reports_what_was_asked_for)
{
	stage_start("transaction", 1, "");
	for (int round = 0; round < 2; round++) {
		ck_assert_str_eq(status_in_welcome("DateStyle", (const char *[]){ "DateStyle", "German", NULL }),
				 "German, DMY");
		ck_assert_str_eq(status_in_welcome("DateStyle", (const char *[]){ NULL }), "ISO, MDY");
		ck_assert_str_eq(status_in_welcome("TimeZone",
						   (const char *[]){ "options", "-c timezone=asia/tokyo", NULL }),
				 "Asia/Tokyo");
		ck_assert_str_eq(status_in_welcome("client_encoding",
						   (const char *[]){ "client_encoding", "latin1", NULL }),
				 "LATIN1");
		ck_assert_str_eq(
			status_in_welcome("application_name", (const char *[]){ "application_name", "", NULL }), "");
		ck_assert_str_eq(
			status_in_welcome("standard_conforming_strings",
					  (const char *[]){ "options", "-c standard_conforming_strings=off", NULL }),
			"off");
	}
}
END_TEST

/* Trap 37 too: the complaint is for the client that asked, and for nobody else. */
START_TEST(a_bad_value_is_refused_with_the_servers_words)
{
	static const struct {
		const char *name, *value, *expected;
	} bad[] = {
		{ "DateStyle", "nonsense", "DateStyle" },
		{ "work_mem", "lots", "work_mem" },
		{ "no_such_setting", "1", "no_such_setting" },
		{ "log_statement", "all", "log_statement" },
		{ "shared_buffers", "1GB", "shared_buffers" },
		{ "client_encoding", "KLINGON", "client_encoding" },
		{ "options", "-c", "-c" },
		{ "options", "--work_mem", "work_mem" },
	};
	struct wire good;

	stage_start("transaction", 1, "");
	connect_with(&good, (const char *[]){ "work_mem", "5MB", NULL });
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct wire wire;
		struct pg_buffer out = PG_BUFFER_EMPTY;
		wire_open(&wire, stage.weir.port);
		wire_put_startup(&out, 3u << 16,
				 (const char *[]){ "user", "joe", "database", "app", bad[i].name, bad[i].value, NULL });
		wire_send(&wire, &out);
		wire_types_until_closed(&wire);
		ck_assert_msg(wire.sqlstate[0] != '\0', "%s = %s was taken", bad[i].name, bad[i].value);
		ck_assert_msg(strstr(wire.message, bad[i].expected) != NULL, "%s = %s: %s", bad[i].name, bad[i].value,
			      wire.message);
		wire_close(&wire);
		ck_assert_str_eq(wire_value(&good, "SHOW work_mem"), "5MB");
	}
	wire_close(&good);
}
END_TEST

/* What the server reports when a client changes it is that client's from then on. */
START_TEST(a_reported_setting_follows_its_client)
{
	stage_start("transaction", 1, "");
	PGconn *one = weir_client(&stage.weir), *two = weir_client(&stage.weir);

	sql_exec(one, "SET application_name = 'one''s'; SET TimeZone = 'Asia/Tokyo'");
	ck_assert_str_eq(PQparameterStatus(one, "application_name"), "one's");
	ck_assert_str_eq(sql_value(two, "SHOW application_name"), "");
	ck_assert_str_ne(sql_value(two, "SHOW TimeZone"), "Asia/Tokyo");
	ck_assert_str_eq(sql_value(one, "SHOW application_name"), "one's");
	ck_assert_str_eq(sql_value(one, "SHOW TimeZone"), "Asia/Tokyo");
	ck_assert_str_eq(PQparameterStatus(two, "application_name"), "");

	/* Trap 61: it was never so. */
	sql_exec(one, "BEGIN; SET TimeZone = 'America/Lima'; ROLLBACK");
	sql_exec(two, "SELECT 1");
	ck_assert_str_eq(sql_value(one, "SHOW TimeZone"), "Asia/Tokyo");
	ck_assert_str_eq(PQparameterStatus(one, "TimeZone"), "Asia/Tokyo");
	sql_exec(one, "BEGIN; SAVEPOINT s; SET TimeZone = 'America/Lima'; ROLLBACK TO s; COMMIT");
	sql_exec(two, "SELECT 1");
	ck_assert_str_eq(sql_value(one, "SHOW TimeZone"), "Asia/Tokyo");
	/* Trap 62. */
	sql_exec(one, "BEGIN; SET LOCAL TimeZone = 'America/Lima'; COMMIT");
	sql_exec(two, "SELECT 1");
	ck_assert_str_eq(sql_value(one, "SHOW TimeZone"), "Asia/Tokyo");
	/* Trap 63. */
	sql_exec(one, "BEGIN; SELECT 1; SET TimeZone = 'America/Lima'; SELECT 2; COMMIT");
	sql_exec(two, "SELECT 1");
	ck_assert_str_eq(sql_value(one, "SHOW TimeZone"), "America/Lima");
	/* Trap 64. */
	sql_exec(one, "SELECT set_config('TimeZone', 'Europe/Oslo', false)");
	sql_exec(two, "SELECT 1");
	ck_assert_str_eq(sql_value(one, "SHOW TimeZone"), "Europe/Oslo");
	sql_exec(one, "RESET TimeZone");
	ck_assert_str_eq(sql_value(two, "SHOW TimeZone"), sql_value(one, "SHOW TimeZone"));
	PQfinish(one);
	PQfinish(two);
}
END_TEST

/* A client's DISCARD ALL or RESET takes away what we had set for it, so it must be set again for the next. */
START_TEST(a_reset_by_one_client_does_not_reach_the_next)
{
	static const char *const resets[] = { "DISCARD ALL", "RESET ALL", "SET work_mem TO DEFAULT",
					      "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; RESET ALL" };
	struct wire one, two;

	stage_start("transaction", 1, "");
	connect_with(&one, (const char *[]){ "work_mem", "5MB", "application_name", "same", NULL });
	connect_with(&two, (const char *[]){ "work_mem", "5MB", "application_name", "same", NULL });
	for (size_t i = 0; i < sizeof(resets) / sizeof(*resets); i++) {
		ck_assert_str_eq(wire_value(&one, "SHOW work_mem"), "5MB");
		wire_query(&one, resets[i]);
		wire_types_until_ready(&one);
		ck_assert_str_eq(wire_value(&two, "SHOW work_mem"), "5MB");
		ck_assert_str_eq(wire_value(&two, "SHOW application_name"), "same");
	}
	wire_close(&one);
	wire_close(&two);
}
END_TEST

/* Trap 65: two clients that want the same cost no query of ours. */
START_TEST(nothing_is_sent_when_nothing_differs)
{
	stage_start("transaction", 1, "");
	PGconn *one = weir_connect(&stage.weir, "dbname=app user=joe application_name=same options='-c datestyle=iso'");
	PGconn *two =
		weir_connect(&stage.weir, "dbname=app user=joe application_name=same options='-c DateStyle=ISO,MDY'");

	sql_exec(one, "SELECT 1");
	sql_exec(two, "SELECT 1");
	PGconn *super = cluster_connect(&stage.cluster, stage.database);
	/* Each statement is one transaction to PostgreSQL, ours would be too. */
	int64_t before =
		sql_number(super, "SELECT xact_commit FROM pg_stat_database WHERE datname = '%s'", stage.database);
	for (int i = 0; i < 200; i++) {
		sql_exec(one, "SELECT 1");
		sql_exec(two, "SELECT 1");
	}
	/* Statistics come to be known when a session ends. */
	stage_stop();
	int64_t after = 0;
	for (int tries = 0; tries < 400 && after - before < 400; tries++) {
		sql_exec(super, "SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)");
		after = sql_number(super, "SELECT xact_commit FROM pg_stat_database WHERE datname = '%s'",
				   stage.database);
	}
	PQfinish(super);
	PQfinish(one);
	PQfinish(two);
	ck_assert_int_ge(after - before, 400);
	ck_assert_int_lt(after - before, 600);
}
END_TEST

START_TEST(settings_that_pgweir_is_told_to_ignore)
{
	struct wire wire;

	stage_start("transaction", 1, "ignore_startup_parameters = [ \"no_such_setting\", \"work_mem\" ];");
	connect_with(&wire, (const char *[]){ "no_such_setting", "1", "work_mem", "5MB", NULL });
	ck_assert_str_eq(wire_value(&wire, "SHOW work_mem"), sql_value(stage.super, "SHOW work_mem"));
	wire_close(&wire);
}
END_TEST

START_TEST(the_hosts_address_behind_the_applications_name)
{
	stage_start("transaction", 1, "application_name_add_host = true;");
	PGconn *client = weir_connect(&stage.weir, "dbname=app user=joe application_name=billing");
	const char *name = sql_value(client, "SHOW application_name");
	ck_assert_msg(strstr(name, "billing") && strstr(name, "127.0.0.1"), "%s", name);
	PQfinish(client);
}
END_TEST

Suite *params_suite(void)
{
	Suite *suite = suite_create("params");
	TCase *tcase = stage_case("params", 60);

	tcase_add_loop_test(tcase, two_clients_with_their_own_take_turns_on_one_server, 0, 2);
	tcase_add_test(tcase, statement_mode_too);
	tcase_add_test(tcase, session_mode_has_them_from_the_first_query);
	tcase_add_test(tcase, the_welcome_reports_what_was_asked_for);
	tcase_add_test(tcase, a_bad_value_is_refused_with_the_servers_words);
	tcase_add_test(tcase, a_reported_setting_follows_its_client);
	tcase_add_test(tcase, a_reset_by_one_client_does_not_reach_the_next);
	tcase_add_test(tcase, nothing_is_sent_when_nothing_differs);
	tcase_add_test(tcase, settings_that_pgweir_is_told_to_ignore);
	tcase_add_test(tcase, the_hosts_address_behind_the_applications_name);
	suite_add_tcase(suite, tcase);
	return suite;
}
