/* Files, the environment and URLs: what they make, and what is refused. */
#define _GNU_SOURCE /* nftw */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pooler/settings.h"
#include "tests/unit/seed.h"
#include "tests/unit/temporary.h"

Suite *settings_load_suite(void);

#define TRUST "auth_type = \"trust\"; "
#define DATABASE "databases = ( { name = \"app\"; } ); "

static char error[CONFIG_ERROR_BYTES];

static struct config *try_load(const char *text, char *const *env)
{
	struct config *config;

	temporary_write("pgweir.conf", text);
	error[0] = '\0';
	config = config_load(temporary_path("pgweir.conf"), env, error, sizeof(error));
	ck_assert_msg((config == NULL) == (error[0] != '\0'), "%s", error);
	return config;
}

static struct config *load(const char *text)
{
	struct config *config = try_load(text, NULL);

	ck_assert_msg(config != NULL, "%s: %s", text, error);
	return config;
}

/* Refused with these lines, in which each "FILE" stands for the file's name. */
static void refuse_with(const char *text, char *const *env, const char *lines)
{
	char wanted[CONFIG_ERROR_BYTES] = "";
	const char *file = "FILE", *at, *from = lines;
	struct config *config = try_load(text, env);

	ck_assert_msg(config == NULL, "accepted: %s", text);
	for (at = strstr(from, file); at; from = at + strlen(file), at = strstr(from, file)) {
		strncat(wanted, from, (size_t)(at - from));
		strcat(wanted, temporary_path("pgweir.conf"));
	}
	strcat(wanted, from);
	ck_assert_str_eq(error, wanted);
}

static void refuse(const char *text, const char *lines)
{
	refuse_with(text, NULL, lines);
}

/* ---- what a file may say ---- */

START_TEST(values_in_their_ways)
{
	struct config *config = load(TRUST DATABASE
				     "listen_addr = [ \"10.0.0.1\", \"::1\" ];\n"
				     "listen_port = \"7000\"; workers = 2L; scram_iterations = 0x2000;\n"
				     "unix_socket_dir = ( \"/run/a\", \"@b\" ); unix_socket_mode = 0750;\n"
				     "admin_users = \"joe, ann\"; stats_users = \"\";\n"
				     "tcp_keepalive = false; log_stats = 0; log_connections = \"off\";\n"
				     "log_disconnections = TRUE; query_wait_timeout = 0.25;\n"
				     "server_lifetime = \"1d\"; server_idle_timeout = 1e2;\n"
				     "server_reset_query = \"SELECT \\\"a\\\"\\n;\" \" -- \\x41\";\n");
	const struct settings *settings = &config->settings;

	ck_assert_uint_eq(settings->listen_addr.count, 2);
	ck_assert_str_eq(settings->listen_addr.items[1], "::1");
	ck_assert_uint_eq(settings->listen_port, 7000);
	ck_assert_uint_eq(settings->workers, 2);
	ck_assert_uint_eq(settings->scram_iterations, 8192);
	ck_assert_uint_eq(settings->unix_socket_dir.count, 2);
	ck_assert_uint_eq(settings->unix_socket_mode, 0750);
	ck_assert(config_user_is_admin(config, "joe") && config_user_is_admin(config, "ann"));
	ck_assert(!config_user_is_admin(config, "Joe") && !config_user_is_stats(config, "joe"));
	ck_assert(!settings->tcp_keepalive && !settings->log_stats && !settings->log_connections);
	ck_assert(settings->log_disconnections);
	ck_assert_uint_eq(settings->query_wait_timeout_us, 250000);
	ck_assert_uint_eq(settings->server_lifetime_us, 86400000000ull);
	ck_assert_uint_eq(settings->server_idle_timeout_us, 100000000ull);
	ck_assert_str_eq(settings->server_reset_query, "SELECT \"a\"\n; -- A");
	config_drop(config);
}
END_TEST

START_TEST(modes_of_files)
{
	static const struct {
		const char *text;
		uint32_t mode;
	} modes[] = { { "0777", 0777 }, { "777", 0777 }, { "\"0700\"", 0700 }, { "0x1c0", 0700 }, { "0", 0 } };
	char text[128];

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		snprintf(text, sizeof(text), TRUST DATABASE "unix_socket_mode = %s;", modes[i].text);
		struct config *config = load(text);
		ck_assert_uint_eq(config->settings.unix_socket_mode, modes[i].mode);
		config_drop(config);
	}
}
END_TEST

START_TEST(databases)
{
	struct config *config = load(
		TRUST
		"databases = (\n"
		"  { name = \"app\"; conninfo = \"host=a,b dbname=real user=joe password=x\";"
		"    connect_query = \"SELECT 1\"; disabled = true; },\n"
		"  { name = \"parts\"; host = \"c\"; port = 5433; dbname = \"d\"; user = \"u\"; password = \"p\"; },\n"
		"  { name = \"ports\"; host = \"c,d\"; port = \"1,2\"; },\n"
		"  { name = \"*\"; conninfo = \"postgres://h\"; } );");
	const struct database *app = config_find_database(config, "app");
	const struct database *parts = config_find_database(config, "parts");
	const struct database *ports = config_find_database(config, "ports");
	const struct database *other = config_find_database(config, "whatever");

	ck_assert_uint_eq(config->database_count, 4);
	ck_assert_ptr_eq(app, &config->databases[0]);
	ck_assert_uint_eq(app->conninfo.host_count, 2);
	ck_assert_str_eq(app->conninfo.user, "joe");
	ck_assert_str_eq(app->own.connect_query, "SELECT 1");
	ck_assert(app->own.disabled);
	ck_assert_str_eq(database_dbname(app, "app"), "real");
	ck_assert_str_eq(parts->conninfo.hosts[0].host, "c");
	ck_assert_uint_eq(parts->conninfo.hosts[0].port, 5433);
	ck_assert_str_eq(parts->conninfo.dbname, "d");
	ck_assert_str_eq(parts->conninfo.user, "u");
	ck_assert_str_eq(parts->conninfo.password, "p");
	ck_assert(!parts->own.disabled && !parts->own.connect_query && parts->own.given == 0);
	ck_assert_uint_eq(ports->conninfo.hosts[1].port, 2);
	ck_assert_str_eq(other->name, "*");
	ck_assert_str_eq(database_dbname(other, "whatever"), "whatever");
	config_drop(config);

	config = load(TRUST DATABASE);
	ck_assert_ptr_null(config_find_database(config, "whatever"));
	ck_assert_ptr_null(config_find_database(config, "*"));
	config_drop(config);
}
END_TEST

START_TEST(many_databases_are_found)
{
	static char text[400000];
	size_t used = (size_t)snprintf(text, sizeof(text), TRUST "databases = (");
	struct config *config;

	for (int i = 0; i < 5000; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s{ name = \"db%d\"; dbname = \"real%d\"; }", i > 0 ? "," : "", i, i);
	snprintf(text + used, sizeof(text) - used, ");");
	config = load(text);
	for (int i = 0; i < 5000; i++) {
		char name[16], real[16];
		snprintf(name, sizeof(name), "db%d", i);
		snprintf(real, sizeof(real), "real%d", i);
		ck_assert_str_eq(config_find_database(config, name)->conninfo.dbname, real);
	}
	config_drop(config);
}
END_TEST

START_TEST(included_files)
{
	struct config *config;
	char text[512];

	temporary_write("more.conf", "listen_port = 7001;\n");
	config = load(TRUST "\n@include \"more.conf\"\n" DATABASE);
	ck_assert_uint_eq(config->settings.listen_port, 7001);
	config_drop(config);

	snprintf(text, sizeof(text), TRUST "\n@include \"%s\"\n" DATABASE, temporary_path("more.conf"));
	config = load(text);
	ck_assert_uint_eq(config->settings.listen_port, 7001);
	config_drop(config);

	/* Faults name the file in which they are. */
	temporary_write("more.conf", "\nmin_pool_size = 30;\n");
	ck_assert_ptr_null(try_load(TRUST "\n@include \"more.conf\"\n" DATABASE, NULL));
	ck_assert_ptr_nonnull(strstr(error, "more.conf:2: min_pool_size: must not be larger"));
	temporary_write("more.conf", "\n\nlisten_port = 4294973728;\n");
	ck_assert_ptr_null(try_load(TRUST "\n@include \"more.conf\"\n" DATABASE, NULL));
	ck_assert_ptr_nonnull(strstr(error, "more.conf:3: a number is too large"));
}
END_TEST

START_TEST(auth_file_lies_beside_the_file)
{
	struct config *config;

	temporary_write("users.txt", "\"joe\" \"hunter2\"\n");
	config = load("auth_file = \"users.txt\"; " DATABASE);
	ck_assert_str_eq(users_find(config->users, "joe")->secret, "hunter2");
	ck_assert_str_eq(config->settings.auth_file, temporary_path("users.txt"));
	ck_assert_int_eq(config->settings.auth_type, AUTH_TYPE_SCRAM);
	config_drop(config);

	/* From somewhere else, as after daemonizing. */
	ck_assert_int_eq(chdir(temporary_directory), 0);
	config = config_load("pgweir.conf", NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_int_eq(chdir("/"), 0);
	char restart[256];
	struct config *again = config_reload(config, NULL, restart, sizeof(restart), error, sizeof(error));
	ck_assert_msg(again != NULL, "%s", error);
	config_drop(again);
	config_drop(config);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(faults_name_file_line_and_setting)
{
	refuse(TRUST DATABASE "\n\nlisten_prot = 1;",
	       "FILE:3: listen_prot: unknown setting; did you mean \"listen_port\"?");
	refuse(TRUST DATABASE "\nlisten_port = 70000;", "FILE:2: listen_port: must be between 1 and 65535");
	refuse(TRUST DATABASE "\nlisten_port = 5.5;", "FILE:2: listen_port: must be a whole number");
	refuse(TRUST DATABASE "\nlisten_port = true;", "FILE:2: listen_port: must be a whole number");
	refuse(TRUST DATABASE "\nauth_file = 5;", "FILE:2: auth_file: must be a string, in double quotes");
	refuse(TRUST DATABASE "\nlog_stats = 2;",
	       "FILE:2: log_stats: must be true or false (also 1 or 0, \"on\" or \"off\")");
	refuse(TRUST DATABASE "\nlog_stats = 1.0;", "FILE:2: log_stats: must be true or false");
	refuse(TRUST DATABASE "\nserver_lifetime = true;",
	       "FILE:2: server_lifetime: must be a number of seconds, or a string such as \"30s\"");
	refuse(TRUST DATABASE "\nserver_lifetime = -1;",
	       "FILE:2: server_lifetime: must be a duration: a number of seconds, or with a unit \"250ms\", \"30s\", \"5min\", "
	       "\"1h\", \"1d\"");
	refuse(TRUST DATABASE "\nadmin_users = [ 1 ];",
	       "FILE:2: admin_users: must be a list of strings: [ \"a\", \"b\" ], or \"a, b\"");
	refuse(TRUST DATABASE "\nadmin_users = [ \"\" ];", "FILE:2: admin_users: an item of the list is empty");
	refuse(TRUST DATABASE "\nlisten_port = { };", "FILE:2: listen_port: must be a whole number");
	refuse(TRUST DATABASE "\npool_mode = [ \"session\" ];",
	       "FILE:2: pool_mode: must be a string, in double quotes");
	refuse(TRUST DATABASE "\nclient_tls_sslmode = \"require\";",
	       "FILE:2: client_tls_sslmode: a setting of PgBouncer's that this version of pgweir does not have");
	refuse(TRUST "\ndatabases = ( { name = \"a\";\n pool_sise = 5; } );",
	       "FILE:3: database \"a\": pool_sise: unknown setting; did you mean \"pool_size\"?");
	refuse(TRUST "\ndatabases = ( { name = \"a\";\n conninfo = \"host=b sslmode=require\"; } );",
	       "FILE:3: database \"a\": conninfo: of the option sslmode this version of pgweir supports only disable, allow, "
	       "prefer");
	refuse(TRUST DATABASE "\nusers = ( { name = \"joe\";\n pool_mode = \"none\"; } );",
	       "FILE:3: user \"joe\": pool_mode: must be one of \"session\", \"transaction\", \"statement\"");
}
END_TEST

START_TEST(syntax_faults)
{
	refuse("a = 1;\nb = ;", "FILE:2: syntax error");
	refuse(TRUST DATABASE "\nlisten_port = 1;\nlisten_port = 2;", "FILE:3: duplicate setting name");
	refuse("\na = \"x\n", "FILE:2: a string that begins here is not closed");
	refuse("a = 1;\n/* b\nc", "FILE:2: a comment that begins here is not closed");
	ck_assert_ptr_null(try_load("\n@include \"x\n", NULL));
	ck_assert_ptr_nonnull(strstr(error, "pgweir.conf:2: expected @include \"FILE\""));
	refuse("\n@include \"missing.conf\"\n", "FILE:2: cannot open include file");
}
END_TEST

START_TEST(an_ini_file_is_told_from_a_bad_one)
{
	temporary_write("pgbouncer.ini", "[databases]\napp = host=a\n");
	ck_assert_ptr_null(config_load(temporary_path("pgbouncer.ini"), NULL, error, sizeof(error)));
	ck_assert_ptr_nonnull(strstr(error, "does not read PgBouncer's .ini files"));
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
	ck_assert_ptr_null(config_load(temporary_path("missing.conf"), NULL, error, sizeof(error)));
	ck_assert_ptr_nonnull(strstr(error, "missing.conf: cannot be read: No such file or directory"));
	ck_assert_ptr_null(config_load(temporary_directory, NULL, error, sizeof(error)));
	ck_assert_ptr_nonnull(strstr(error, ": cannot be read: Is a directory"));
	ck_assert_ptr_null(try_load("auth_file = \"missing.txt\"; " DATABASE, NULL));
	ck_assert_ptr_nonnull(strstr(error, "missing.txt: auth_file: cannot be read: No such file or directory"));
}
END_TEST

/* libconfig reads 4294973728 as 6432, without a word. */
START_TEST(numbers_are_not_cut)
{
	static const char *const numbers[] = { "4294973728",           "-4294960864",          "2147483648",
					       "0x100001920",          "99999999999999999999", "99999999999999999999L",
					       "18446744073709558048L" };
	char text[128];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		snprintf(text, sizeof(text), TRUST DATABASE "# 99999999999\n/* 99999999999\n*/ listen_port = %s;",
			 numbers[i]);
		refuse(text, "FILE:3: a number is too large");
	}
	/* In a string, in a name and with a fraction they are none of libconfig's whole numbers. */
	config_drop(load(
		TRUST
		"databases = ( { name = \"99999999999\"; } ); server_lifetime = 86400.00000000000001; // 99999999999"));
}
END_TEST

START_TEST(zero_bytes_are_refused)
{
	static const char text[] = TRUST DATABASE "\nserver_reset_query = \"a\0b\";";

	temporary_write_bytes("pgweir.conf", text, sizeof(text) - 1);
	ck_assert_ptr_null(config_load(temporary_path("pgweir.conf"), NULL, error, sizeof(error)));
	ck_assert_ptr_nonnull(strstr(error, "pgweir.conf:2: there is a zero byte in the file"));
	refuse(TRUST DATABASE "\nserver_reset_query = \"a\\x00b\";", "FILE:2: a string cannot hold a zero byte");
	config_drop(load(TRUST DATABASE "server_reset_query = \"a\\\\x00b\";"));
}
END_TEST

START_TEST(entries_are_checked)
{
	refuse(TRUST, "FILE: databases: there must be at least one");
	refuse(TRUST "databases = ();", "FILE: databases: there must be at least one");
	refuse(TRUST "databases = { a = { }; };",
	       "FILE:1: databases: must be a list of groups: ( { name = \"...\"; ... }, { ... } )");
	refuse(TRUST "databases = ( 5 );", "FILE:1: database 1: must be a group: { name = \"...\"; ... }");
	refuse(TRUST "databases = ( { host = \"a\"; } );", "FILE:1: database 1: has no name: { name = \"...\"; ... }");
	refuse(TRUST "databases = ( { name = 5; } );", "FILE:1: database 1: has no name: { name = \"...\"; ... }");
	refuse(TRUST "databases = ( { name = \"\"; } );", "FILE:1: database \"\": name: a name has 1 to 63 bytes");
	refuse(TRUST "databases = (\n{ name = \"a\"; },\n{ name = \"b\"; },\n{ name = \"a\"; } );",
	       "FILE:4: database \"a\": there is another one of that name");
	refuse(TRUST "databases = ( { name = \"pgweir\"; } );",
	       "FILE:1: database \"pgweir\": this name is the console's");
	refuse(TRUST "databases = ( { name = \"pgbouncer\"; } );",
	       "FILE:1: database \"pgbouncer\": this name is the console's");
	refuse(TRUST DATABASE "users = (\n{ name = \"a\"; },\n{ name = \"a\"; } );",
	       "FILE:3: user \"a\": there is another one of that name");
	refuse(TRUST DATABASE "users = ( { name = \"a\"; disabled = true; } );",
	       "FILE:1: user \"a\": disabled: cannot stand here, only in an entry of databases");
	/* Two "*" are two of one name; one beside others is not. */
	refuse(TRUST "databases = ( { name = \"*\"; }, { name = \"*\"; } );",
	       "FILE:1: database \"*\": there is another one of that name");
	config_drop(load(TRUST "databases = ( { name = \"*\"; }, { name = \"a\"; } );"));
}
END_TEST

START_TEST(relations_are_checked)
{
	refuse(TRUST DATABASE "default_pool_size = 5;\nmin_pool_size = 6;",
	       "FILE:2: min_pool_size: must not be larger than default_pool_size, which is 5");
	refuse(TRUST "default_pool_size = 5; databases = ( { name = \"a\"; pool_size = 3;\nmin_pool_size = 4; } );",
	       "FILE:2: database \"a\": min_pool_size: must not be larger than pool_size, which is 3");
	refuse(TRUST "databases = ( { name = \"a\";\nmin_pool_size = 6; } );\ndefault_pool_size = 5;",
	       "FILE:2: database \"a\": min_pool_size: must not be larger than default_pool_size, which is 5");
	config_drop(load(TRUST "min_pool_size = 4; databases = ( { name = \"a\"; pool_size = 3; } );"));
	refuse(DATABASE, "auth_type: \"scram-sha-256\" needs an auth_file with the users and their secrets");
	refuse(DATABASE "\nauth_type = \"md5\";",
	       "FILE:2: auth_type: \"md5\" needs an auth_file with the users and their secrets");
	refuse(TRUST DATABASE "unix_socket_dir = \"\";\nlisten_addr = \"\";",
	       "FILE:2: listen_addr: is empty, and so is unix_socket_dir: nobody could connect");
	config_drop(load(TRUST DATABASE "listen_addr = [ ];"));
}
END_TEST

START_TEST(all_faults_are_told_up_to_a_bound)
{
	char text[8192] = "", lines[CONFIG_ERROR_BYTES] = "";

	refuse("a = 1;\nlisten_port = 0;\ndatabases = ( { name = \"x\";\n y = 1;\n pool_size = 0; } );\n",
	       "FILE:1: a: unknown setting\n"
	       "FILE:2: listen_port: must be between 1 and 65535\n"
	       "FILE:4: database \"x\": y: unknown setting\n"
	       "FILE:5: database \"x\": pool_size: must be between 1 and 100000");
	for (int i = 1; i <= 50; i++) {
		snprintf(text + strlen(text), 32, "xyzzy%d = 1;\n", i);
		if (i <= CONFIG_ERRORS_MAX)
			snprintf(lines + strlen(lines), 64, "FILE:%d: xyzzy%d: unknown setting\n", i, i);
	}
	strcat(lines, "... and more");
	refuse(text, lines);
}
END_TEST

START_TEST(the_longest_faults_fit)
{
	static char text[30000];

	for (int i = 0; i < 30; i++) {
		size_t used = strlen(text);
		text[used++] = (char)('a' + i % 26);
		text[used++] = i < 26 ? 'a' : 'b';
		memset(text + used, 'x', 600);
		strcpy(text + used + 600, " = 1;\n");
	}
	ck_assert_ptr_null(try_load(text, NULL));
	ck_assert_uint_gt(strlen(error), 2000);
	ck_assert_ptr_nonnull(strstr(error, "\n... and more"));
	/* And a caller with less room gets whole lines. */
	ck_assert_ptr_null(config_load(temporary_path("pgweir.conf"), NULL, error, 300));
	ck_assert_uint_lt(strlen(error), 300);
	ck_assert_uint_gt(strlen(error), 100);
	ck_assert_ptr_nonnull(strstr(error, ": unknown setting\n... and more"));
}
END_TEST

START_TEST(faults_hold_no_control_characters)
{
	refuse(TRUST "databases = ( { name = \"a\\nb\\x1b\"; x = 1; } );",
	       "FILE:1: database \"a?b?\": x: unknown setting");
}
END_TEST

START_TEST(faults_hold_no_password)
{
	ck_assert_ptr_null(
		try_load(TRUST "databases = ( { name = \"a\"; conninfo = \"password=hunter 2\"; } );", NULL));
	ck_assert_ptr_null(strstr(error, "hunter"));
	ck_assert_ptr_null(
		try_load(TRUST "databases = ( { name = \"a\"; password = \"hunter2\"; port = 0; } );", NULL));
	ck_assert_ptr_null(strstr(error, "hunter"));
	ck_assert_ptr_null(config_from_url("postgres://joe:hunter/2@h/d", NULL, error, sizeof(error)));
	ck_assert_ptr_null(strstr(error, "hunter"));
	temporary_write("users.txt", "\"joe\" \"hunter2\n\"ann\" hunter2\n");
	ck_assert_ptr_null(try_load("auth_file = \"users.txt\"; " DATABASE, NULL));
	ck_assert_ptr_nonnull(strstr(error, "users.txt:2: auth_file: expected a secret"));
	ck_assert_ptr_null(strstr(error, "hunter"));
}
END_TEST

/* ---- the environment ---- */

START_TEST(the_environment_wins)
{
	static char *const env[] = { "PATH=/bin",
				     "PGWEIR_LISTEN_PORT=7000",
				     "PGWEIR_ADMIN_USERS=joe,ann",
				     "PGWEIR_QUERY_WAIT_TIMEOUT=250ms",
				     "PGWEIR_SERVER_RESET_QUERY=",
				     NULL };
	struct config *config = try_load(TRUST DATABASE "listen_port = 6000; query_wait_timeout = 5;", env);

	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_uint_eq(config->settings.listen_port, 7000);
	ck_assert_uint_eq(config->settings.query_wait_timeout_us, 250000);
	ck_assert_str_eq(config->settings.server_reset_query, "");
	ck_assert(config_user_is_admin(config, "ann"));
	config_drop(config);
}
END_TEST

START_TEST(faults_of_the_environment)
{
	static char *const env[] = { "PGWEIR_LISTEN_PROT=7000", "PGWEIR_WORKERS=99", "PGWEIR_POOL_SIZE=5", NULL };

	refuse_with(TRUST DATABASE, env,
		    "environment: listen_prot: unknown setting; did you mean \"listen_port\"?\n"
		    "environment: workers: must be between 1 and 16\n"
		    "environment: pool_size: cannot stand here, only in an entry of databases or users");
}
END_TEST

/* Kubernetes' variables for a service called pgweir. */
START_TEST(foreign_variables_are_left_alone)
{
	static char *const env[] = { "PGWEIR_SERVICE_HOST=10.0.0.1",
				     "PGWEIR_SERVICE_PORT=6432",
				     "PGWEIR_PORT=tcp://10.0.0.1:6432",
				     "PGWEIR_PORT_6432_TCP_ADDR=10.0.0.1",
				     "PGWEIR_VERSION=1",
				     "PGWEIR_",
				     "PGWEIR_=x",
				     NULL };
	struct config *config = try_load(TRUST DATABASE, env);

	ck_assert_msg(config != NULL, "%s", error);
	config_drop(config);
}
END_TEST

/* ---- a URL ---- */

START_TEST(one_url)
{
	static char *const env[] = { "PGWEIR_LISTEN_PORT=7000", NULL };
	struct config *config = config_from_url("postgres://joe:hunter2@db1:5433/app", env, error, sizeof(error));
	const struct database *app;

	ck_assert_msg(config != NULL, "%s", error);
	app = config_find_database(config, "app");
	ck_assert_uint_eq(config->database_count, 1);
	ck_assert_ptr_null(config_find_database(config, "other"));
	ck_assert_str_eq(app->conninfo.user, "joe");
	ck_assert_str_eq(app->conninfo.password, "hunter2");
	ck_assert_uint_eq(app->conninfo.hosts[0].port, 5433);
	ck_assert_int_eq(config->settings.auth_type, AUTH_TYPE_SCRAM);
	ck_assert_int_eq(users_find(config->users, "joe")->kind, USER_SECRET_PLAIN);
	ck_assert_str_eq(users_find(config->users, "joe")->secret, "hunter2");
	ck_assert_uint_eq(users_count(config->users), 1);
	ck_assert(config_user_is_admin(config, "joe"));
	ck_assert_uint_eq(config->settings.listen_port, 7000);
	ck_assert_str_eq(config->settings.listen_addr.items[0], "127.0.0.1");
	ck_assert_str_eq(config->settings.unix_socket_dir.items[0], "/tmp");
	config_drop(config);
}
END_TEST

START_TEST(a_url_without_a_password_trusts)
{
	struct config *config = config_from_url("postgresql://joe@db1", NULL, error, sizeof(error));

	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_int_eq(config->settings.auth_type, AUTH_TYPE_TRUST);
	ck_assert_int_eq(users_find(config->users, "joe")->kind, USER_SECRET_NONE);
	/* As for libpq, the database is called as the user. */
	ck_assert_str_eq(config_find_database(config, "joe")->conninfo.dbname, "joe");
	config_drop(config);

	config = config_from_url("postgres:///app", NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_ptr_nonnull(config_find_database(config, "app")->conninfo.user);
	config_drop(config);
}
END_TEST

START_TEST(a_password_that_looks_like_a_hash)
{
	struct config *config =
		config_from_url("postgres://joe:md5d41d8cd98f00b204e9800998ecf8427e@h/d", NULL, error, sizeof(error));

	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_int_eq(users_find(config->users, "joe")->kind, USER_SECRET_PLAIN);
	config_drop(config);
}
END_TEST

START_TEST(an_auth_file_beside_a_url)
{
	char variable[TEMPORARY_PATH_BYTES + 32];
	char *env[] = { variable, NULL };
	struct config *config;

	temporary_write("users.txt", "\"ann\" \"x\"\n\"joe\" \"other\"\n");
	snprintf(variable, sizeof(variable), "PGWEIR_AUTH_FILE=%s", temporary_path("users.txt"));
	config = config_from_url("postgres://joe:hunter2@h/d", env, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	ck_assert_str_eq(users_find(config->users, "joe")->secret, "other");
	ck_assert_str_eq(users_find(config->users, "ann")->secret, "x");
	config_drop(config);
}
END_TEST

START_TEST(urls_that_are_refused)
{
	static const struct {
		const char *url;
		const char *words;
	} urls[] = {
		{ "postgres://joe@h/pgweir", "URL: this name is the console's" },
		{ "postgres://joe@h/d?sslmode=require", "URL: of the option sslmode" },
		{ "postgres://joe@h:x/d", "URL: a port is not a number" },
		{ "postgres://joe:a@b@h/d", "URL: there is an '@' too many" },
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		ck_assert_ptr_null(config_from_url(urls[i].url, NULL, error, sizeof(error)));
		ck_assert_msg(strncmp(error, urls[i].words, strlen(urls[i].words)) == 0, "%s", error);
	}
	ck_assert(config_is_url("postgres://") && config_is_url("postgresql://x"));
	ck_assert(!config_is_url("/etc/postgres") && !config_is_url("postgres.conf") && !config_is_url("host=a"));
}
END_TEST

/* ---- damage ---- */

/* Whatever stands in a file: a snapshot or faults, never anything else. */
START_TEST(damaged_files)
{
	static const char good[] = TRUST
		"listen_port = 7000; admin_users = [ \"joe\", \"ann\" ]; server_lifetime = \"1h\"; # comment\n"
		"databases = ( { name = \"app\"; conninfo = \"host=a,b port=1,2 user='x y' password=p\"; pool_size = 3; },\n"
		"  { name = \"*\"; port = 5433; } ); users = ( { name = \"joe\"; pool_mode = \"session\"; } );\n";
	static const char letters[] = "\"{}()[];=,\\\n\t 0159.-xL#/*@a'\0";
	unsigned seed = seed_or(8261);
	unsigned loaded = 0;

	for (int round = 0; round < 4000; round++) {
		char text[sizeof(good)];
		memcpy(text, good, sizeof(text));
		for (int changes = rand_r(&seed) % 4; changes > 0; changes--)
			text[(size_t)rand_r(&seed) % (sizeof(good) - 1)] =
				letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
		temporary_write_bytes("pgweir.conf", text, sizeof(text) - 1);
		error[0] = '\0';
		struct config *config = config_load(temporary_path("pgweir.conf"), NULL, error, sizeof(error));
		ck_assert_msg((config == NULL) == (error[0] != '\0'), "%s", text);
		loaded += config ? 1 : 0;
		config_drop(config);
	}
	/* Both ways were taken. */
	ck_assert_uint_gt(loaded, 100);
	ck_assert_uint_lt(loaded, 3900);
}
END_TEST

Suite *settings_load_suite(void)
{
	Suite *suite = suite_create("settings_load");
	TCase *cases = tcase_create("settings_load");

	tcase_set_timeout(cases, 60);
	tcase_add_checked_fixture(cases, temporary_setup, temporary_teardown);
	tcase_add_test(cases, values_in_their_ways);
	tcase_add_test(cases, modes_of_files);
	tcase_add_test(cases, databases);
	tcase_add_test(cases, many_databases_are_found);
	tcase_add_test(cases, included_files);
	tcase_add_test(cases, auth_file_lies_beside_the_file);
	tcase_add_test(cases, faults_name_file_line_and_setting);
	tcase_add_test(cases, syntax_faults);
	tcase_add_test(cases, an_ini_file_is_told_from_a_bad_one);
	tcase_add_test(cases, files_that_cannot_be_read);
	tcase_add_test(cases, numbers_are_not_cut);
	tcase_add_test(cases, zero_bytes_are_refused);
	tcase_add_test(cases, entries_are_checked);
	tcase_add_test(cases, relations_are_checked);
	tcase_add_test(cases, all_faults_are_told_up_to_a_bound);
	tcase_add_test(cases, the_longest_faults_fit);
	tcase_add_test(cases, faults_hold_no_control_characters);
	tcase_add_test(cases, faults_hold_no_password);
	tcase_add_test(cases, the_environment_wins);
	tcase_add_test(cases, faults_of_the_environment);
	tcase_add_test(cases, foreign_variables_are_left_alone);
	tcase_add_test(cases, one_url);
	tcase_add_test(cases, a_url_without_a_password_trusts);
	tcase_add_test(cases, a_password_that_looks_like_a_hash);
	tcase_add_test(cases, an_auth_file_beside_a_url);
	tcase_add_test(cases, urls_that_are_refused);
	tcase_add_test(cases, damaged_files);
	suite_add_tcase(suite, cases);
	return suite;
}
