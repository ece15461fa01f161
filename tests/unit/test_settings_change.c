/* From one snapshot to the next: reload, SET, SHOW CONFIG, printing, and how long a snapshot lives. */
#define _GNU_SOURCE /* nftw */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/settings.h"
#include "tests/unit/temporary.h"

Suite *settings_change_suite(void);

#define DATABASE "databases = ( { name = \"app\"; conninfo = \"host=a password=hunter2\"; } );"

static char error[CONFIG_ERROR_BYTES];
static char restart[1024];

static struct config *load(const char *text)
{
	struct config *config;

	temporary_write("pgweir.conf", text);
	config = config_load(temporary_path("pgweir.conf"), NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	return config;
}

static struct config *reload(const struct config *running, const char *text)
{
	temporary_write("pgweir.conf", text);
	return config_reload(running, NULL, restart, sizeof(restart), error, sizeof(error));
}

/* ---- reload ---- */

/* Trap 86. */
START_TEST(a_bad_file_keeps_the_old)
{
	struct config *config = load("auth_type = \"trust\"; default_pool_size = 7;" DATABASE);

	ck_assert_ptr_null(reload(config, "auth_type = \"trust\"; default_pool_size = 8; workerz = 1;" DATABASE));
	ck_assert_ptr_nonnull(strstr(error, ":1: workerz: unknown setting"));
	ck_assert_uint_eq(config->settings.default_pool_size, 7);
	ck_assert_str_eq(config_find_database(config, "app")->conninfo.hosts[0].host, "a");
	remove(temporary_path("pgweir.conf"));
	ck_assert_ptr_null(config_reload(config, NULL, restart, sizeof(restart), error, sizeof(error)));
	ck_assert_ptr_nonnull(strstr(error, "No such file"));
	config_drop(config);
}
END_TEST

START_TEST(a_bad_auth_file_keeps_the_old)
{
	struct config *config;

	temporary_write("users.txt", "\"joe\" \"1\"\n");
	config = load("auth_file = \"users.txt\";" DATABASE);
	temporary_write("users.txt", "\"joe\" \"2\"\nann\n");
	ck_assert_ptr_null(reload(config, "auth_file = \"users.txt\";" DATABASE));
	ck_assert_ptr_nonnull(strstr(error, "users.txt:2: auth_file: expected"));
	ck_assert_str_eq(users_find(config->users, "joe")->secret, "1");
	temporary_write("users.txt", "\"joe\" \"2\"\n");
	struct config *fresh = reload(config, "auth_file = \"users.txt\";" DATABASE);
	ck_assert_str_eq(users_find(fresh->users, "joe")->secret, "2");
	config_drop(config);
	config_drop(fresh);
}
END_TEST

START_TEST(a_reload_changes_what_it_may)
{
	struct config *config =
		load("auth_type = \"trust\"; listen_port = 7000; workers = 2; unix_socket_dir = \"/a,/b\";"
		     "default_pool_size = 7; unix_socket_group = \"x\";" DATABASE);
	struct config *fresh =
		reload(config, "auth_type = \"trust\"; listen_port = 7001; unix_socket_dir = \"/b\"; workers = 2;"
			       "default_pool_size = 8; databases = ( { name = \"other\"; } );");

	ck_assert_msg(fresh != NULL, "%s", error);
	ck_assert_str_eq(restart, "listen_port, unix_socket_dir, unix_socket_group");
	ck_assert_uint_eq(fresh->settings.listen_port, 7000);
	ck_assert_uint_eq(fresh->settings.unix_socket_dir.count, 2);
	ck_assert_str_eq(fresh->settings.unix_socket_dir.items[1], "/b");
	ck_assert_str_eq(fresh->settings.unix_socket_group, "x");
	ck_assert_uint_eq(fresh->settings.default_pool_size, 8);
	ck_assert_ptr_null(config_find_database(fresh, "app"));
	ck_assert_ptr_nonnull(config_find_database(config, "app"));
	config_drop(config);
	ck_assert_uint_eq(fresh->settings.unix_socket_dir.count, 2);
	config_drop(fresh);
}
END_TEST

START_TEST(a_reload_that_changes_nothing_names_nothing)
{
	const char *text = "auth_type = \"trust\"; listen_port = 7000;" DATABASE;
	struct config *config = load(text), *fresh = reload(config, text);

	ck_assert_msg(fresh != NULL, "%s", error);
	ck_assert_str_eq(restart, "");
	ck_assert(conninfo_equal(&config->databases[0].conninfo, &fresh->databases[0].conninfo));
	config_drop(fresh);
	fresh = reload(config, "auth_type = \"trust\"; listen_port = 7000;"
			       "databases = ( { name = \"app\"; conninfo = \"host=b password=hunter2\"; } );");
	ck_assert(!conninfo_equal(&config->databases[0].conninfo, &fresh->databases[0].conninfo));
	config_drop(fresh);
	config_drop(config);
}
END_TEST

START_TEST(a_url_reloads_too)
{
	struct config *config = config_from_url("postgres://joe:hunter2@h/app", NULL, error, sizeof(error));
	struct config *changed = config_with_setting(config, "default_pool_size", "3", error, sizeof(error));
	struct config *fresh = config_reload(changed, NULL, restart, sizeof(restart), error, sizeof(error));

	ck_assert_msg(fresh != NULL, "%s", error);
	ck_assert_str_eq(restart, "");
	ck_assert_uint_eq(fresh->settings.default_pool_size, 20);
	ck_assert_str_eq(users_find(fresh->users, "joe")->secret, "hunter2");
	config_drop(config);
	config_drop(changed);
	config_drop(fresh);
}
END_TEST

/* ---- SET ---- */

START_TEST(set_changes_one)
{
	struct config *config = load("auth_type = \"trust\"; min_pool_size = 2;" DATABASE);
	struct config *one = config_with_setting(config, "server_lifetime", "5min", error, sizeof(error));
	struct config *two = config_with_setting(one, "admin_users", "joe,ann", error, sizeof(error));

	ck_assert(one && two);
	ck_assert_uint_eq(config->settings.server_lifetime_us, 3600000000ull);
	ck_assert_uint_eq(one->settings.server_lifetime_us, 300000000ull);
	ck_assert_uint_eq(two->settings.server_lifetime_us, 300000000ull);
	ck_assert_uint_eq(two->settings.min_pool_size, 2);
	ck_assert(!config_user_is_admin(one, "joe"));
	ck_assert(config_user_is_admin(two, "joe"));
	/* What it shares outlives the snapshots before it. */
	config_drop(config);
	config_drop(one);
	ck_assert_str_eq(config_find_database(two, "app")->conninfo.password, "hunter2");
	ck_assert_uint_eq(users_count(two->users), 0);
	config_drop(two);
}
END_TEST

START_TEST(set_refuses)
{
	static const struct {
		const char *name;
		const char *value;
		const char *error;
	} bad[] = {
		{ "listen_port", "7000", "listen_port: can only be changed by a restart" },
		{ "workers", "2", "workers: can only be changed by a restart" },
		{ "auth_file", "/tmp/x", "auth_file: can only be changed in the file, by RELOAD" },
		{ "default_pool_sice", "2", "default_pool_sice: unknown setting; did you mean \"default_pool_size\"?" },
		{ "default_pool_size", "0", "default_pool_size: must be between 1 and 100000" },
		{ "default_pool_size", "many", "default_pool_size: must be a whole number" },
		{ "pool_size", "2", "pool_size: cannot stand here, only in an entry of databases or users" },
		{ "pool_mode", "none", "pool_mode: must be one of \"session\", \"transaction\", \"statement\"" },
		{ "min_pool_size", "21", "min_pool_size: must not be larger than default_pool_size, which is 20" },
		{ "default_pool_size", "1", "min_pool_size: must not be larger than default_pool_size, which is 1" },
		{ "auth_type", "md5", "auth_type: \"md5\" needs an auth_file with the users and their secrets" },
	};
	struct config *config = load("auth_type = \"trust\"; min_pool_size = 2;" DATABASE);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(!config_with_setting(config, bad[i].name, bad[i].value, error, sizeof(error)), "%s = %s",
			      bad[i].name, bad[i].value);
		ck_assert_str_eq(error, bad[i].error);
	}
	config_drop(config);
}
END_TEST

START_TEST(a_reload_undoes_set)
{
	struct config *config = load("auth_type = \"trust\";" DATABASE);
	struct config *changed = config_with_setting(config, "default_pool_size", "3", error, sizeof(error));
	struct config *fresh = config_reload(changed, NULL, restart, sizeof(restart), error, sizeof(error));

	ck_assert_uint_eq(changed->settings.default_pool_size, 3);
	ck_assert_uint_eq(fresh->settings.default_pool_size, 20);
	config_drop(config);
	config_drop(changed);
	config_drop(fresh);
}
END_TEST

START_TEST(holders)
{
	struct config *config = load("auth_type = \"trust\";" DATABASE);
	const struct config *held = config_hold(config);

	ck_assert_ptr_eq(held, config);
	config_drop(config);
	ck_assert_ptr_nonnull(config_find_database(held, "app"));
	config_drop(held);
	config_drop(NULL);
}
END_TEST

/* ---- SHOW CONFIG ---- */

struct rows {
	char text[8192];
	char last[64];
	unsigned count;
};

static void take_row(void *context, const char *key, const char *value, const char *standard, bool changeable)
{
	struct rows *rows = context;
	size_t used = strlen(rows->text);

	ck_assert_msg(strcmp(rows->last, key) < 0, "%s before %s", rows->last, key);
	snprintf(rows->last, sizeof(rows->last), "%s", key);
	snprintf(rows->text + used, sizeof(rows->text) - used, "\n%s|%s|%s|%s\n", key, value, standard,
		 changeable ? "yes" : "no");
	rows->count++;
}

START_TEST(rows_as_pgbouncer_shows_them)
{
	static const char *const wanted[] = {
		"\nadmin_users|joe,ann||yes\n",
		"\nlisten_port|6432|6432|no\n",
		"\nlisten_addr|*,::1|127.0.0.1|no\n",
		"\nunix_socket_mode|0700|0777|no\n",
		"\nquery_wait_timeout|0.25|120|yes\n",
		"\nserver_lifetime|7200|3600|yes\n",
		"\ntcp_user_timeout|1500|0|yes\n",
		"\ntcp_keepalive|0|1|yes\n",
		"\npool_mode|session|transaction|yes\n",
		"\nserver_reset_query|DISCARD ALL|DISCARD ALL|yes\n",
		"\nauth_file|||yes\n",
	};
	struct rows *rows = calloc(1, sizeof(*rows));
	struct config *config =
		load("auth_type = \"trust\"; admin_users = \"joe, ann\"; listen_addr = \"*,::1\";"
		     "unix_socket_mode = 0700; query_wait_timeout = \"250ms\"; server_lifetime = \"2h\";"
		     "tcp_user_timeout = \"1.5s\"; tcp_keepalive = false; pool_mode = \"session\";" DATABASE);

	config_each_setting(config, take_row, rows);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		ck_assert_msg(strstr(rows->text, wanted[i]) != NULL, "%s", wanted[i]);
	ck_assert_uint_gt(rows->count, 35);
	ck_assert_ptr_null(strstr(rows->text, "\nconninfo|"));
	ck_assert_ptr_null(strstr(rows->text, "hunter2"));
	config_drop(config);
	free(rows);
}
END_TEST

/* Every row can be given to SET, or to a file, as it is shown. */
static void set_row(void *context, const char *key, const char *value, const char *standard, bool changeable)
{
	struct config *config = context, *same;

	(void)standard;
	if (!changeable || strcmp(key, "auth_file") == 0)
		return;
	same = config_with_setting(config, key, value, error, sizeof(error));
	ck_assert_msg(same != NULL, "%s", error);
	config_drop(same);
}

START_TEST(rows_can_be_set)
{
	struct config *config =
		load("auth_type = \"trust\"; query_wait_timeout = \"1us\"; admin_users = \"a,b\";" DATABASE);

	config_each_setting(config, set_row, config);
	config_drop(config);
}
END_TEST

/* ---- printing ---- */

static char *print(const struct config *config)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	ck_assert(config_print(config, out));
	fclose(out);
	return text;
}

static void check_own_equal(const struct own_settings *a, const struct own_settings *b)
{
	ck_assert_uint_eq(a->given, b->given);
	ck_assert_int_eq(a->pool_mode, b->pool_mode);
	ck_assert_uint_eq(a->pool_size, b->pool_size);
	ck_assert_uint_eq(a->min_pool_size, b->min_pool_size);
	ck_assert_uint_eq(a->query_wait_timeout_us, b->query_wait_timeout_us);
	ck_assert_uint_eq(a->server_idle_timeout_us, b->server_idle_timeout_us);
	ck_assert_uint_eq(a->server_lifetime_us, b->server_lifetime_us);
	ck_assert_pstr_eq(a->connect_query, b->connect_query);
	ck_assert(a->disabled == b->disabled);
}

static void check_equal(const struct config *a, const struct config *b)
{
	struct rows *rows_a = calloc(1, sizeof(*rows_a)), *rows_b = calloc(1, sizeof(*rows_b));

	config_each_setting(a, take_row, rows_a);
	config_each_setting(b, take_row, rows_b);
	ck_assert_str_eq(rows_a->text, rows_b->text);
	free(rows_a);
	free(rows_b);
	ck_assert_uint_eq(a->database_count, b->database_count);
	for (size_t i = 0; i < a->database_count; i++) {
		ck_assert_str_eq(a->databases[i].name, b->databases[i].name);
		ck_assert(conninfo_equal(&a->databases[i].conninfo, &b->databases[i].conninfo));
		check_own_equal(&a->databases[i].own, &b->databases[i].own);
	}
	ck_assert_uint_eq(a->user_settings_count, b->user_settings_count);
	for (size_t i = 0; i < a->user_settings_count; i++) {
		ck_assert_str_eq(a->user_settings[i].name, b->user_settings[i].name);
		check_own_equal(&a->user_settings[i].own, &b->user_settings[i].own);
	}
}

START_TEST(printed_it_loads_again)
{
	static const char *const texts[] = {
		"auth_type = \"trust\"; databases = ( { name = \"*\"; } );",
		"auth_file = \"users.txt\"; listen_addr = []; unix_socket_dir = [ \"/a\", \"@b\" ]; unix_socket_mode = 0640;\n"
		"admin_users = [ \"a b\", \"c\\\"d\\\\e\", \"\\x01\\x7f\\xc3\\xa4\" ]; server_reset_query = \"\\\"\\n\\t\\\\\";\n"
		"query_wait_timeout = \"1us\"; server_lifetime = \"3650d\"; server_idle_timeout = 0.5; tcp_user_timeout = 1;\n"
		"tcp_keepidle = \"9h\"; log_stats = false; verbose = 2; auth_type = \"md5\"; workers = 16; stats_period = 1;\n"
		"databases = (\n"
		"  { name = \"a\\\"b\"; conninfo = \"host=a,/b hostaddr=10.0.0.1, port=1,2 user='x y' options='-c a=\\\\\\\\ b'\";\n"
		"    pool_size = 3; min_pool_size = 2; pool_mode = \"statement\"; connect_query = \"SELECT 'x'\\n\";\n"
		"    disabled = true; query_wait_timeout = 0; server_lifetime = 0.000001; server_idle_timeout = 1; },\n"
		"  { name = \"c\"; conninfo = \"postgres://x@h:7/d?connect_timeout=3&client_encoding=UTF8&application_name=z\"; },\n"
		"  { name = \"*\"; disabled = false; } );\n"
		"users = ( { name = \"j'oe\"; pool_mode = \"session\"; pool_size = 4; }, { name = \"b\"; min_pool_size = 1; } );",
	};

	temporary_write("users.txt", "\"joe\" \"x\"\n");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config *config = load(texts[i]);
		char *printed = print(config);
		struct config *again = load(printed);
		char *printed_again = print(again);
		check_equal(config, again);
		free(printed);
		free(printed_again);
		config_drop(config);
		config_drop(again);
	}
}
END_TEST

START_TEST(printed_it_hides_passwords)
{
	struct config *config = load("auth_type = \"trust\"; databases = (\n"
				     "{ name = \"a\"; conninfo = \"host=x password=hunter2\"; },\n"
				     "{ name = \"b\"; password = \"hunter2\"; },\n"
				     "{ name = \"c\"; conninfo = \"postgres://u:hunter2@h\"; } );");
	char *printed = print(config);

	ck_assert_ptr_null(strstr(printed, "hunter2"));
	ck_assert_ptr_nonnull(strstr(printed, "password=***"));
	free(printed);
	config_drop(config);

	config = config_from_url("postgres://u:hunter2@h/d", NULL, error, sizeof(error));
	printed = print(config);
	ck_assert_ptr_null(strstr(printed, "hunter2"));
	free(printed);
	config_drop(config);
}
END_TEST

START_TEST(printed_it_says_where_values_come_from)
{
	static char *const env[] = { "PGWEIR_WORKERS=3", NULL };
	struct config *config, *changed;
	char *printed;

	temporary_write("pgweir.conf", "auth_type = \"trust\"; listen_port = 7000;" DATABASE);
	config = config_load(temporary_path("pgweir.conf"), env, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	changed = config_with_setting(config, "default_pool_size", "3", error, sizeof(error));
	printed = print(changed);
	ck_assert_ptr_nonnull(strstr(printed, "\nlisten_port = 7000;\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\nworkers = 3;  # from the environment\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\nverbose = 0;  # default\n"));
	ck_assert_ptr_nonnull(strstr(printed, "\ndefault_pool_size = 3;  # by SET\n"));
	free(printed);
	config_drop(config);
	config_drop(changed);
}
END_TEST

START_TEST(the_sample_is_good)
{
	char path[512];
	struct config *config;

	snprintf(path, sizeof(path), "%s/etc/pgweir.conf", SOURCE_DIRECTORY);
	config = config_load(path, NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_uint_eq(config_find_database(config, "app")->conninfo.host_count, 2);
	config_drop(config);
}
END_TEST

Suite *settings_change_suite(void)
{
	Suite *suite = suite_create("settings_change");
	TCase *cases = tcase_create("settings_change");

	tcase_add_checked_fixture(cases, temporary_setup, temporary_teardown);
	tcase_add_test(cases, a_bad_file_keeps_the_old);
	tcase_add_test(cases, a_bad_auth_file_keeps_the_old);
	tcase_add_test(cases, a_reload_changes_what_it_may);
	tcase_add_test(cases, a_reload_that_changes_nothing_names_nothing);
	tcase_add_test(cases, a_url_reloads_too);
	tcase_add_test(cases, set_changes_one);
	tcase_add_test(cases, set_refuses);
	tcase_add_test(cases, a_reload_undoes_set);
	tcase_add_test(cases, holders);
	tcase_add_test(cases, rows_as_pgbouncer_shows_them);
	tcase_add_test(cases, rows_can_be_set);
	tcase_add_test(cases, printed_it_loads_again);
	tcase_add_test(cases, printed_it_hides_passwords);
	tcase_add_test(cases, printed_it_says_where_values_come_from);
	tcase_add_test(cases, the_sample_is_good);
	suite_add_tcase(suite, cases);
	return suite;
}
