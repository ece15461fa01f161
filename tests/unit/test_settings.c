/* Values of settings, the table that describes them, and what counts for a pool. */
#define _GNU_SOURCE /* nftw */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/pool.h"
#include "pooler/settings.h"
#include "pooler/settings_table.h"
#include "tests/unit/temporary.h"

Suite *settings_suite(void);

#define SECOND 1000000ull
#define MILLISECOND 1000ull

static char reason[256];
static char error[CONFIG_ERROR_BYTES];

/* A configuration of these lines and one database. */
static struct config *load(const char *lines)
{
	char text[4096];
	struct config *config;

	snprintf(text, sizeof(text), "auth_type = \"trust\";\n%s\ndatabases = ( { name = \"app\"; } );\n", lines);
	temporary_write("pgweir.conf", text);
	config = config_load(temporary_path("pgweir.conf"), NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s: %s", lines, error);
	return config;
}

/* ---- durations, trap 83 ---- */

static const struct {
	const char *name;
	size_t offset;
	uint64_t unit_us; /* of a bare number */
} durations[] = {
	{ "query_wait_timeout", offsetof(struct settings, query_wait_timeout_us), SECOND },
	{ "client_login_timeout", offsetof(struct settings, client_login_timeout_us), SECOND },
	{ "cancel_wait_timeout", offsetof(struct settings, cancel_wait_timeout_us), SECOND },
	{ "server_connect_timeout", offsetof(struct settings, server_connect_timeout_us), SECOND },
	{ "server_idle_timeout", offsetof(struct settings, server_idle_timeout_us), SECOND },
	{ "server_lifetime", offsetof(struct settings, server_lifetime_us), SECOND },
	{ "server_login_retry", offsetof(struct settings, server_login_retry_us), SECOND },
	{ "server_reset_timeout", offsetof(struct settings, server_reset_timeout_us), SECOND },
	{ "dns_max_ttl", offsetof(struct settings, dns_max_ttl_us), SECOND },
	{ "dns_nxdomain_ttl", offsetof(struct settings, dns_nxdomain_ttl_us), SECOND },
	{ "tcp_keepidle", offsetof(struct settings, tcp_keepidle_us), SECOND },
	{ "tcp_keepintvl", offsetof(struct settings, tcp_keepintvl_us), SECOND },
	{ "tcp_user_timeout", offsetof(struct settings, tcp_user_timeout_us), MILLISECOND },
	{ "stats_period", offsetof(struct settings, stats_period_us), SECOND },
};
#define DURATIONS ((int)(sizeof(durations) / sizeof(durations[0])))

static uint64_t load_duration(int which, const char *value)
{
	char line[128];
	struct config *config;
	uint64_t duration_us;

	snprintf(line, sizeof(line), "%s = %s;", durations[which].name, value);
	config = load(line);
	memcpy(&duration_us, (const char *)&config->settings + durations[which].offset, sizeof(duration_us));
	config_drop(config);
	return duration_us;
}

START_TEST(every_duration_has_its_unit)
{
	ck_assert_uint_eq(load_duration(_i, "7"), 7 * durations[_i].unit_us);
	ck_assert_uint_eq(load_duration(_i, "\"7\""), 7 * durations[_i].unit_us);
	ck_assert_uint_eq(load_duration(_i, "7.0"), 7 * durations[_i].unit_us);
	ck_assert_uint_eq(load_duration(_i, "\"7s\""), 7 * SECOND);
	ck_assert_uint_eq(load_duration(_i, "\"7000ms\""), 7 * SECOND);
	ck_assert_uint_eq(load_duration(_i, "\"2min\""), 120 * SECOND);
	ck_assert_uint_eq(load_duration(_i, "\"2h\""), 7200 * SECOND);
	ck_assert_uint_eq(load_duration(_i, "\"0.5min\""), 30 * SECOND);
}
END_TEST

START_TEST(no_duration_is_left_out)
{
	int count = 0;

	for (size_t i = 0; i < settings_count; i++) {
		if (settings_table[i].type == SETTING_DURATION && (settings_table[i].where & SETTING_GLOBAL))
			count++;
		/* The own values have the same unit, being the same entry. */
		if (settings_table[i].type == SETTING_DURATION)
			ck_assert(settings_table[i].where & SETTING_GLOBAL);
	}
	ck_assert_int_eq(count, DURATIONS);
}
END_TEST

START_TEST(own_durations_are_seconds)
{
	struct config *config;
	const struct database *database;

	temporary_write("pgweir.conf", "auth_type = \"trust\"; databases = ( { name = \"app\"; query_wait_timeout = 1;"
				       " server_idle_timeout = \"2s\"; server_lifetime = 3.5; } );");
	config = config_load(temporary_path("pgweir.conf"), NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	database = config_find_database(config, "app");
	ck_assert_uint_eq(database->own.query_wait_timeout_us, 1 * SECOND);
	ck_assert_uint_eq(database->own.server_idle_timeout_us, 2 * SECOND);
	ck_assert_uint_eq(database->own.server_lifetime_us, 3500000);
	ck_assert_uint_eq(database->own.given, OWN_QUERY_WAIT_TIMEOUT | OWN_SERVER_IDLE_TIMEOUT | OWN_SERVER_LIFETIME);
	config_drop(config);
}
END_TEST

static const struct setting *find(const char *name)
{
	const struct setting *setting = setting_find(name, SETTING_GLOBAL);

	ck_assert_msg(setting != NULL, "%s", name);
	return setting;
}

START_TEST(durations_in_text)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = {
		{ "0", 0 },
		{ "0s", 0 },
		{ "0.0d", 0 },
		{ "250ms", 250 * MILLISECOND },
		{ "0.25", 250 * MILLISECOND },
		{ "0.000001", 1 },
		{ "1us", 1 },
		{ "1.", SECOND },
		{ "1d", 86400 * SECOND },
		{ "3650d", 3650 * 86400 * SECOND },
		{ "5 min", 300 * SECOND },
		{ "1.5h", 5400 * SECOND },
		{ "0.1", 100 * MILLISECOND },
		{ "315359999.999999", 315359999999999ull },
	};
	static const char *const bad[] = { "",      "s",
					   "-1",    "+1",
					   " 1",    "1m",
					   "1S",    "1sec",
					   ".5",    "1e3",
					   "0x10",  "inf",
					   "nan",   "1,5",
					   "1.5.5", "1 2",
					   "5mins", "1h30min",
					   "3651d", "0.0000001",
					   "0.4us", "99999999999999999999999999d" };
	uint64_t us;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		us = 12345;
		ck_assert_msg(setting_parse(find("query_wait_timeout"), good[i].text, &us, reason, sizeof(reason)),
			      "%s: %s", good[i].text, reason);
		ck_assert_msg(us == good[i].us, "%s: %llu", good[i].text, (unsigned long long)us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		us = 12345;
		ck_assert_msg(!setting_parse(find("query_wait_timeout"), bad[i], &us, reason, sizeof(reason)),
			      "accepted: \"%s\"", bad[i]);
		ck_assert_uint_eq(us, 12345);
	}
}
END_TEST

START_TEST(the_kernels_durations_are_whole)
{
	uint64_t us;

	ck_assert(!setting_parse(find("tcp_keepidle"), "1.5", &us, reason, sizeof(reason)));
	ck_assert_str_eq(reason, "must be a multiple of 1s");
	ck_assert(!setting_parse(find("tcp_keepintvl"), "100ms", &us, reason, sizeof(reason)));
	ck_assert(!setting_parse(find("tcp_user_timeout"), "0.5", &us, reason, sizeof(reason)));
	ck_assert_str_eq(reason, "must be a multiple of 1ms");
	ck_assert(!setting_parse(find("tcp_keepidle"), "32768", &us, reason, sizeof(reason)));
	ck_assert_str_eq(reason, "must be between 0 and 32767s");
}
END_TEST

START_TEST(durations_in_words)
{
	char text[DURATION_PRINT_BYTES];
	static const struct {
		uint64_t us;
		const char *text;
	} words[] = { { 0, "0" },
		      { 1, "1us" },
		      { 250000, "250ms" },
		      { 90 * SECOND, "90s" },
		      { 120 * SECOND, "2min" },
		      { 3600 * SECOND, "1h" },
		      { 86400 * SECOND, "1d" },
		      { SECOND + 1, "1000001us" } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		duration_print(words[i].us, text, sizeof(text));
		ck_assert_str_eq(text, words[i].text);
	}
}
END_TEST

/* ---- the other types ---- */

static void check_refused(const char *name, const char *text, const char *words)
{
	union {
		bool flag;
		uint32_t number;
		struct string_list list;
		char *string;
	} field;

	memset(&field, 0, sizeof(field));
	ck_assert_msg(!setting_parse(find(name), text, &field, reason, sizeof(reason)), "%s = %s: accepted", name,
		      text);
	ck_assert_msg(strstr(reason, words) != NULL, "%s = %s: %s", name, text, reason);
}

START_TEST(booleans)
{
	static const char *const yes[] = { "1", "true", "TRUE", "on", "Yes" };
	static const char *const no[] = { "0", "false", "off", "OFF", "no" };
	bool flag;

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		flag = false;
		ck_assert(setting_parse(find("log_stats"), yes[i], &flag, reason, sizeof(reason)) && flag);
		flag = true;
		ck_assert(setting_parse(find("log_stats"), no[i], &flag, reason, sizeof(reason)) && !flag);
	}
	check_refused("log_stats", "2", "true or false");
	check_refused("log_stats", "", "true or false");
	check_refused("log_stats", "tru", "true or false");
}
END_TEST

START_TEST(numbers)
{
	uint32_t number;

	ck_assert(setting_parse(find("listen_port"), "65535", &number, reason, sizeof(reason)));
	ck_assert_uint_eq(number, 65535);
	check_refused("listen_port", "0", "between 1 and 65535");
	check_refused("listen_port", "65536", "between 1 and 65535");
	check_refused("listen_port", "-5", "between 1 and 65535");
	check_refused("listen_port", "4294973728", "between 1 and 65535"); /* 6432 + 2^32 */
	check_refused("listen_port", "18446744073709558048", "between");   /* 6432 + 2^64 */
	check_refused("listen_port", "0x10", "whole number");
	check_refused("listen_port", "5.5", "whole number");
	check_refused("listen_port", "", "whole number");
	check_refused("listen_port", " 5", "whole number");
	check_refused("listen_port", "+5", "whole number");
	check_refused("listen_port", "five", "whole number");
	check_refused("workers", "17", "between 1 and 16");
	check_refused("workers", "0", "between 1 and 16");
	ck_assert(setting_parse(find("unix_socket_mode"), "0750", &number, reason, sizeof(reason)));
	ck_assert_uint_eq(number, 0750);
	ck_assert(setting_parse(find("unix_socket_mode"), "700", &number, reason, sizeof(reason)));
	ck_assert_uint_eq(number, 0700);
	check_refused("unix_socket_mode", "1777", "between 0000 and 0777");
	check_refused("unix_socket_mode", "778", "whole number in octal");
}
END_TEST

START_TEST(enums)
{
	enum pool_mode mode;
	enum auth_type type;

	for (unsigned i = POOL_MODE_SESSION; i <= POOL_MODE_STATEMENT; i++) {
		ck_assert(setting_parse(find("pool_mode"), pool_mode_name((enum pool_mode)i), &mode, reason,
					sizeof(reason)));
		ck_assert_uint_eq(mode, i);
	}
	for (unsigned i = AUTH_TYPE_TRUST; i <= AUTH_TYPE_SCRAM; i++) {
		ck_assert(setting_parse(find("auth_type"), auth_type_name((enum auth_type)i), &type, reason,
					sizeof(reason)));
		ck_assert_uint_eq(type, i);
	}
	ck_assert_str_eq(pool_mode_name(POOL_MODE_TRANSACTION), "transaction");
	ck_assert_str_eq(auth_type_name(AUTH_TYPE_SCRAM), "scram-sha-256");
	ck_assert(setting_parse(find("pool_mode"), "Session", &mode, reason, sizeof(reason)));
	ck_assert_int_eq(mode, POOL_MODE_SESSION);
	check_refused("pool_mode", "sessions", "\"session\", \"transaction\", \"statement\"");
	check_refused("pool_mode", "", "must be one of");
	check_refused("auth_type", "any", "\"trust\", \"plain\", \"md5\", \"scram-sha-256\"");
}
END_TEST

START_TEST(lists)
{
	struct string_list list = { NULL, 0 };

	ck_assert(setting_parse(find("admin_users"), " joe, ann ,bob\t", &list, reason, sizeof(reason)));
	ck_assert_uint_eq(list.count, 3);
	ck_assert_str_eq(list.items[0], "joe");
	ck_assert_str_eq(list.items[1], "ann");
	ck_assert_str_eq(list.items[2], "bob");
	ck_assert(string_list_contains(&list, "ANN"));
	ck_assert(!string_list_contains(&list, "an"));
	ck_assert(setting_parse(find("admin_users"), "", &list, reason, sizeof(reason)));
	ck_assert_uint_eq(list.count, 0);
	ck_assert(!string_list_contains(&list, ""));
	check_refused("admin_users", "joe,,ann", "empty");
	check_refused("admin_users", ",", "empty");
	check_refused("admin_users", "0123456789012345678901234567890123456789012345678901234567890123", "63 bytes");
	check_refused("listen_addr", "127.0.0.1 ::1", "addresses");
	check_refused("listen_addr", "/tmp", "addresses");
	check_refused("unix_socket_dir", "tmp", "begin with '/'");
	ck_assert(setting_parse(find("listen_addr"), "*", &list, reason, sizeof(reason)));
	ck_assert(setting_parse(find("listen_addr"), "::1,localhost", &list, reason, sizeof(reason)));
	setting_clear(find("listen_addr"), &list);
}
END_TEST

/* ---- the table ---- */

START_TEST(the_table_is_whole)
{
	struct settings settings;

	memset(&settings, 0, sizeof(settings));
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		const char *name = setting->name;
		size_t length = strlen(setting->help);
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(name, settings_table[j].name);
		ck_assert_msg(setting->where != 0 && setting->section && setting->help, "%s", name);
		ck_assert_msg(setting->help[length - 1] == '.' && !strchr(setting->help, '|'), "%s", name);
		ck_assert_msg(!(setting->where & SETTING_GLOBAL) == !setting->standard, "%s", name);
		ck_assert_msg(!(setting->where & SETTING_GLOBAL) == (setting->global_offset == SETTING_NO_FIELD), "%s",
			      name);
		ck_assert_msg(!setting->own_bit == (setting->own_offset == SETTING_NO_FIELD), "%s", name);
		ck_assert_msg((setting->type == SETTING_ENUM) == (setting->choices != NULL), "%s", name);
		ck_assert_msg(setting->type != SETTING_DURATION || (setting->unit_us && setting->step_us), "%s", name);
		ck_assert_uint_eq(setting_index(setting), i);
	}
	ck_assert(settings_init(&settings));
	settings_clear(&settings);
}
END_TEST

/* No two settings in one field, and none of the fields is forgotten. */
START_TEST(every_field_has_one_setting)
{
	static const size_t sizes[] = { [SETTING_BOOL] = sizeof(bool),
					[SETTING_INT] = sizeof(uint32_t),
					[SETTING_MODE] = sizeof(uint32_t),
					[SETTING_DURATION] = sizeof(uint64_t),
					[SETTING_ENUM] = sizeof(uint32_t),
					[SETTING_STRING] = sizeof(char *),
					[SETTING_LIST] = sizeof(struct string_list) };
	unsigned char used[sizeof(struct settings)] = { 0 };
	size_t bytes = 0;

	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if (!(setting->where & SETTING_GLOBAL))
			continue;
		for (size_t at = 0; at < sizes[setting->type]; at++) {
			ck_assert_msg(!used[setting->global_offset + at], "%s", setting->name);
			used[setting->global_offset + at] = 1;
		}
		bytes += sizes[setting->type];
	}
	/* What is left over is padding: less than a word for each change of size, of which there are few. */
	ck_assert_uint_lt(sizeof(struct settings) - bytes, 12 * sizeof(void *));
}
END_TEST

START_TEST(defaults)
{
	struct config *config = load("");
	const struct settings *settings = &config->settings;

	ck_assert_uint_eq(settings->listen_addr.count, 1);
	ck_assert_str_eq(settings->listen_addr.items[0], "127.0.0.1");
	ck_assert_uint_eq(settings->listen_port, 6432);
	ck_assert_str_eq(settings->unix_socket_dir.items[0], "/tmp");
	ck_assert_uint_eq(settings->unix_socket_mode, 0777);
	ck_assert_uint_eq(settings->workers, 1);
	ck_assert_int_eq(settings->pool_mode, POOL_MODE_TRANSACTION);
	ck_assert_uint_eq(settings->default_pool_size, 20);
	ck_assert_uint_eq(settings->max_client_conn, 1000);
	ck_assert_str_eq(settings->server_reset_query, "DISCARD ALL");
	ck_assert(!settings->server_reset_query_always);
	ck_assert(string_list_contains(&settings->track_extra_parameters, "intervalstyle"));
	ck_assert_uint_eq(settings->query_wait_timeout_us, 120 * SECOND);
	ck_assert_uint_eq(settings->client_login_timeout_us, 60 * SECOND);
	ck_assert_uint_eq(settings->cancel_wait_timeout_us, 10 * SECOND);
	ck_assert_uint_eq(settings->server_connect_timeout_us, 15 * SECOND);
	ck_assert_uint_eq(settings->server_idle_timeout_us, 600 * SECOND);
	ck_assert_uint_eq(settings->server_lifetime_us, 3600 * SECOND);
	ck_assert_uint_eq(settings->server_login_retry_us, 15 * SECOND);
	ck_assert_uint_eq(settings->server_reset_timeout_us, 10 * SECOND);
	ck_assert_uint_eq(settings->stats_period_us, 60 * SECOND);
	ck_assert(settings->log_connections && settings->log_stats && settings->tcp_keepalive);
	config_drop(config);
}
END_TEST

START_TEST(unknown_names_get_a_suggestion)
{
	static const struct {
		const char *name;
		unsigned where;
		const char *reason;
	} names[] = {
		{ "default_pool_sizes", SETTING_GLOBAL, "unknown setting; did you mean \"default_pool_size\"?" },
		{ "defualt_pool_size", SETTING_GLOBAL, "unknown setting; did you mean \"default_pool_size\"?" },
		{ "listen-port", SETTING_GLOBAL, "unknown setting; did you mean \"listen_port\"?" },
		{ "Listen_Port", SETTING_GLOBAL, "unknown setting; did you mean \"listen_port\"?" },
		{ "prot", SETTING_DATABASE, "unknown setting; did you mean \"port\"?" },
		{ "pool_size", SETTING_GLOBAL, "cannot stand here, only in an entry of databases or users" },
		{ "conninfo", SETTING_USER, "cannot stand here, only in an entry of databases" },
		{ "listen_port", SETTING_DATABASE, "cannot stand here, only for all, outside of any entry" },
		{ "client_tls_sslmode", SETTING_GLOBAL,
		  "a setting of PgBouncer's that this version of pgweir does not have" },
		{ "xyzzy", SETTING_GLOBAL, "unknown setting" },
		{ "", SETTING_GLOBAL, "unknown setting" },
		{ "a_name_that_is_longer_than_any_setting_may_be_and_therefore_resembles_none_at_all", SETTING_GLOBAL,
		  "unknown setting" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setting_explain_unknown(names[i].name, names[i].where, reason, sizeof(reason));
		ck_assert_str_eq(reason, names[i].reason);
	}
}
END_TEST

/* ---- the documents ---- */

static char *read_document(const char *path)
{
	char full[512];
	char *text = calloc(1, 1 << 20);
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", SOURCE_DIRECTORY, path);
	file = fopen(full, "r");
	ck_assert_msg(file != NULL, "%s", full);
	ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, file), 0);
	fclose(file);
	return text;
}

static char *print_with(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	print(out);
	fclose(out);
	return text;
}

START_TEST(the_reference_page_is_up_to_date)
{
	char *written = read_document("docs/settings.md"), *wanted = print_with(settings_print_markdown);

	ck_assert_msg(strcmp(written, wanted) == 0, "docs/settings.md: pgweir --help-settings=markdown writes it");
	free(written);
	free(wanted);
}
END_TEST

START_TEST(the_man_page_is_up_to_date)
{
	char *written = read_document("docs/pgweir.1"), *wanted = print_with(settings_print_man);

	ck_assert_msg(strstr(written, wanted) != NULL, "docs/pgweir.1: pgweir --help-settings=man writes its settings");
	free(written);
	free(wanted);
}
END_TEST

/* ---- what counts for a pool ---- */

static struct config *load_levels(void)
{
	struct config *config;

	temporary_write(
		"pgweir.conf",
		"auth_type = \"trust\";\n"
		"pool_mode = \"transaction\"; default_pool_size = 10; min_pool_size = 1; query_wait_timeout = 100;\n"
		"server_lifetime = 101; server_idle_timeout = 102; server_login_retry = 103;\n"
		"databases = (\n"
		"  { name = \"plain\"; },\n"
		"  { name = \"own\"; pool_mode = \"session\"; pool_size = 20; min_pool_size = 2; query_wait_timeout = 200;\n"
		"    server_lifetime = 201; server_idle_timeout = 202; },\n"
		"  { name = \"small\"; pool_size = 1; },\n"
		"  { name = \"once\"; server_lifetime = 0; min_pool_size = 3; },\n"
		"  { name = \"zero\"; server_idle_timeout = 0; query_wait_timeout = 0; min_pool_size = 0; } );\n"
		"users = (\n"
		"  { name = \"joe\"; pool_mode = \"statement\"; pool_size = 30; min_pool_size = 3; query_wait_timeout = 300;\n"
		"    server_lifetime = 301; server_idle_timeout = 302; },\n"
		"  { name = \"half\"; min_pool_size = 9; } );\n");
	config = config_load(temporary_path("pgweir.conf"), NULL, error, sizeof(error));
	ck_assert_msg(config != NULL, "%s", error);
	return config;
}

static void check_policy(const struct config *config, const char *database, const char *user,
			 const struct pool_policy *wanted)
{
	struct pool_policy policy;

	memset(&policy, 0xff, sizeof(policy));
	config_pool_policy(config, config_find_database(config, database), user, &policy);
	ck_assert_uint_eq(policy.size, wanted->size);
	ck_assert_uint_eq(policy.min_size, wanted->min_size);
	ck_assert_uint_eq(policy.lifetime_us, wanted->lifetime_us);
	ck_assert_uint_eq(policy.idle_timeout_us, wanted->idle_timeout_us);
	ck_assert_uint_eq(policy.retry_us, 103 * SECOND);
}

START_TEST(user_over_database_over_global)
{
	struct config *config = load_levels();
	const struct database *plain = config_find_database(config, "plain");
	const struct database *own = config_find_database(config, "own");

	check_policy(config, "plain", "ann", &(struct pool_policy){ 10, 1, 101 * SECOND, 102 * SECOND, 0 });
	check_policy(config, "own", "ann", &(struct pool_policy){ 20, 2, 201 * SECOND, 202 * SECOND, 0 });
	check_policy(config, "own", "joe", &(struct pool_policy){ 30, 3, 301 * SECOND, 302 * SECOND, 0 });
	check_policy(config, "plain", "joe", &(struct pool_policy){ 30, 3, 301 * SECOND, 302 * SECOND, 0 });
	check_policy(config, "own", "half", &(struct pool_policy){ 20, 9, 201 * SECOND, 202 * SECOND, 0 });
	ck_assert_int_eq(config_pool_mode(config, plain, "ann"), POOL_MODE_TRANSACTION);
	ck_assert_int_eq(config_pool_mode(config, own, "ann"), POOL_MODE_SESSION);
	ck_assert_int_eq(config_pool_mode(config, own, "joe"), POOL_MODE_STATEMENT);
	ck_assert_int_eq(config_pool_mode(config, own, "half"), POOL_MODE_SESSION);
	ck_assert_uint_eq(config_query_wait_timeout_us(config, plain, "ann"), 100 * SECOND);
	ck_assert_uint_eq(config_query_wait_timeout_us(config, own, "ann"), 200 * SECOND);
	ck_assert_uint_eq(config_query_wait_timeout_us(config, own, "joe"), 300 * SECOND);
	config_drop(config);
}
END_TEST

START_TEST(zero_is_a_value_of_its_own)
{
	struct config *config = load_levels();
	const struct database *zero = config_find_database(config, "zero");

	check_policy(config, "zero", "ann", &(struct pool_policy){ 10, 0, 101 * SECOND, 0, 0 });
	ck_assert_uint_eq(config_query_wait_timeout_us(config, zero, "ann"), 0);
	config_drop(config);
}
END_TEST

/* PgBouncer's server_lifetime = 0 is "used once", the pool's 0 is "never". */
START_TEST(a_lifetime_of_zero_is_once)
{
	struct config *config = load_levels();

	check_policy(config, "once", "ann", &(struct pool_policy){ 10, 0, 1, 102 * SECOND, 0 });
	config_drop(config);
}
END_TEST

START_TEST(an_inherited_minimum_is_cut_to_the_size)
{
	struct config *config = load_levels();

	check_policy(config, "small", "ann", &(struct pool_policy){ 1, 1, 101 * SECOND, 102 * SECOND, 0 });
	check_policy(config, "small", "half", &(struct pool_policy){ 1, 1, 101 * SECOND, 102 * SECOND, 0 });
	config_drop(config);
}
END_TEST

Suite *settings_suite(void)
{
	Suite *suite = suite_create("settings");
	TCase *cases = tcase_create("settings");

	tcase_add_checked_fixture(cases, temporary_setup, temporary_teardown);
	tcase_add_loop_test(cases, every_duration_has_its_unit, 0, DURATIONS);
	tcase_add_test(cases, no_duration_is_left_out);
	tcase_add_test(cases, own_durations_are_seconds);
	tcase_add_test(cases, durations_in_text);
	tcase_add_test(cases, the_kernels_durations_are_whole);
	tcase_add_test(cases, durations_in_words);
	tcase_add_test(cases, booleans);
	tcase_add_test(cases, numbers);
	tcase_add_test(cases, enums);
	tcase_add_test(cases, lists);
	tcase_add_test(cases, the_table_is_whole);
	tcase_add_test(cases, every_field_has_one_setting);
	tcase_add_test(cases, defaults);
	tcase_add_test(cases, unknown_names_get_a_suggestion);
	tcase_add_test(cases, the_reference_page_is_up_to_date);
	tcase_add_test(cases, the_man_page_is_up_to_date);
	tcase_add_test(cases, user_over_database_over_global);
	tcase_add_test(cases, zero_is_a_value_of_its_own);
	tcase_add_test(cases, a_lifetime_of_zero_is_once);
	tcase_add_test(cases, an_inherited_minimum_is_cut_to_the_size);
	suite_add_tcase(suite, cases);
	return suite;
}
