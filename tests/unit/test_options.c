#define _GNU_SOURCE /* nftw */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pooler/options.h"
#include "pooler/settings.h"
#include "pooler/version.h"
#include "tests/unit/temporary.h"

Suite *options_suite(void);

#define WORDS_MAX 8

/* A command line that may be written to, as a real one. */
static char words[WORDS_MAX][128];
static char *arguments[WORDS_MAX + 1];
static char error[OPTIONS_ERROR_BYTES];

/* `line` has blanks between its words. */
static bool parse(struct options *options, const char *line)
{
	char copy[512];
	int count = 0;

	snprintf(copy, sizeof(copy), "pgweir %s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		ck_assert_int_lt(count, WORDS_MAX);
		snprintf(words[count], sizeof(words[count]), "%s", word);
		arguments[count] = words[count];
		count++;
	}
	arguments[count] = NULL;
	error[0] = '\0';
	return options_parse(options, count, arguments, error, sizeof(error));
}

static struct options parse_good(const char *line)
{
	struct options options;

	ck_assert_msg(parse(&options, line), "%s: %s", line, error);
	return options;
}

START_TEST(a_file)
{
	struct options options = parse_good("pgweir.conf");

	ck_assert_int_eq(options.action, OPTIONS_RUN);
	ck_assert_str_eq(options.path, "pgweir.conf");
	ck_assert_ptr_null(options.url);
	ck_assert_int_eq(options.verbosity, 0);
	ck_assert(!options.daemonize);
	ck_assert_ptr_null(options.user);
	options_clear(&options);
	ck_assert_ptr_null(options.path);
}
END_TEST

START_TEST(letters)
{
	struct options options = parse_good("-d -vv -u nobody a.conf");

	ck_assert(options.daemonize);
	ck_assert_int_eq(options.verbosity, 2);
	ck_assert_str_eq(options.user, "nobody");
	options_clear(&options);
	options = parse_good("a.conf -dqunobody");
	ck_assert(options.daemonize);
	ck_assert_int_eq(options.verbosity, -1);
	ck_assert_str_eq(options.user, "nobody");
	ck_assert_str_eq(options.path, "a.conf");
	options_clear(&options);
	options = parse_good("--daemon --verbose --user=x -- -strange.conf");
	ck_assert_str_eq(options.path, "-strange.conf");
	ck_assert_str_eq(options.user, "x");
	options_clear(&options);
}
END_TEST

START_TEST(actions)
{
	static const struct {
		const char *line;
		enum options_action action;
	} lines[] = {
		{ "--check a", OPTIONS_CHECK },
		{ "a --print-config", OPTIONS_PRINT_CONFIG },
		{ "-V", OPTIONS_VERSION },
		{ "--version", OPTIONS_VERSION },
		{ "-h", OPTIONS_HELP },
		{ "--help a b", OPTIONS_HELP },
		{ "--help-settings=markdown", OPTIONS_HELP_MARKDOWN },
		{ "--help-settings man", OPTIONS_HELP_MAN },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct options options = parse_good(lines[i].line);
		ck_assert_int_eq(options.action, lines[i].action);
		options_clear(&options);
	}
}
END_TEST

START_TEST(what_is_refused)
{
	static const struct {
		const char *line;
		const char *error;
	} lines[] = {
		{ "", "a configuration is needed: pgweir CONFIG, or pgweir postgres://user:password@host/database" },
		{ "-d", "a configuration is needed: pgweir CONFIG, or pgweir postgres://user:password@host/database" },
		{ "--check",
		  "a configuration is needed: pgweir CONFIG, or pgweir postgres://user:password@host/database" },
		{ "a b", "only one configuration can be given" },
		{ "-R a", "unknown option -R" },
		{ "-dxv a", "unknown option -x" },
		{ "--reboot a", "unknown option --reboot" },
		{ "--check=yes a", "unknown option --check=yes" },
		{ "a -u", "the option -u needs a value" },
		{ "a --user", "the option --user needs a value" },
		{ "--help-settings=html", "unknown option --help-settings=html" },
	};
	struct options options;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_msg(!parse(&options, lines[i].line), "%s", lines[i].line);
		ck_assert_str_eq(error, lines[i].error);
		ck_assert_ptr_null(options.path);
		ck_assert_ptr_null(options.url);
	}
}
END_TEST

/* ps shows argv to everybody. */
START_TEST(a_password_is_covered_in_argv)
{
	static const struct {
		const char *url;
		const char *shown;
	} urls[] = {
		{ "postgres://joe:hunter2@db/app", "postgres://joe@db/app" },
		{ "postgresql://joe:hunter2@db/app?x=a:b@c", "postgresql://joe@db/app?x=a:b@c" },
		{ "postgres://joe:hun/te@r2@db/app", "postgres://joe@db/app" },
		{ "postgres://joe@db/app?password=hunter2&port=1", "postgres://joe@db/app?password=&port=1" },
		{ "postgres://joe@db:5432/app", "postgres://joe@db:5432/app" },
		{ "postgres://db:5432/app", "postgres://db:5432/app" },
		{ "postgres://", "postgres://" },
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct options options = parse_good(urls[i].url);
		ck_assert_str_eq(options.url, urls[i].url);
		ck_assert_ptr_null(options.path);
		ck_assert_str_eq(words[1], urls[i].shown);
		for (size_t at = strlen(words[1]); at < strlen(urls[i].url); at++)
			ck_assert_int_eq(words[1][at], 0);
		options_clear(&options);
	}
}
END_TEST

/* Runs options_inform with stdout and stderr in files. */
static int inform(const char *line, char *out, char *errors, size_t bytes)
{
	struct options options = parse_good(line);
	int saved_out = dup(1), saved_errors = dup(2), status;
	int fd_out = open(temporary_path("out"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	int fd_errors = open(temporary_path("errors"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	fflush(stdout);
	dup2(fd_out, 1);
	dup2(fd_errors, 2);
	status = options_inform(&options, NULL);
	fflush(stdout);
	dup2(saved_out, 1);
	dup2(saved_errors, 2);
	memset(out, 0, bytes);
	memset(errors, 0, bytes);
	ck_assert_int_ge(pread(fd_out, out, bytes - 1, 0), 0);
	ck_assert_int_ge(pread(fd_errors, errors, bytes - 1, 0), 0);
	close(fd_out);
	close(fd_errors);
	options_clear(&options);
	return status;
}

static char out[16384];
static char errors[16384];

START_TEST(version_and_help)
{
	ck_assert_int_eq(inform("-V", out, errors, sizeof(out)), 0);
	ck_assert_str_eq(out, "pgweir " PGWEIR_VERSION "\n");
	ck_assert_int_eq(inform("-h", out, errors, sizeof(out)), 0);
	ck_assert_ptr_nonnull(strstr(out, "--print-config"));
	/* The hidden one stays hidden. */
	ck_assert_ptr_null(strstr(out, "help-settings"));
}
END_TEST

START_TEST(checking)
{
	char line[512];

	temporary_write("good.conf", "auth_type = \"trust\"; databases = ( { name = \"app\"; } );");
	snprintf(line, sizeof(line), "--check %s", temporary_path("good.conf"));
	ck_assert_int_eq(inform(line, out, errors, sizeof(out)), 0);
	ck_assert_ptr_nonnull(strstr(out, "good.conf: the configuration is good\n"));
	ck_assert_str_eq(errors, "");
	snprintf(line, sizeof(line), "-q --check %s", temporary_path("good.conf"));
	ck_assert_int_eq(inform(line, out, errors, sizeof(out)), 0);
	ck_assert_str_eq(out, "");

	temporary_write("bad.conf", "auth_type = \"trust\";\nlisten_port = 0;");
	snprintf(line, sizeof(line), "--check %s", temporary_path("bad.conf"));
	ck_assert_int_eq(inform(line, out, errors, sizeof(out)), OPTIONS_EXIT_FAILURE);
	ck_assert_str_eq(out, "");
	ck_assert_ptr_nonnull(strstr(errors, "bad.conf:2: listen_port: must be between 1 and 65535\n"));
	ck_assert_ptr_nonnull(strstr(errors, "bad.conf: databases: there must be at least one\n"));
}
END_TEST

START_TEST(printing)
{
	ck_assert_int_eq(inform("--print-config postgres://joe:hunter2@db/app", out, errors, sizeof(out)), 0);
	ck_assert_ptr_nonnull(
		strstr(out, "name = \"app\"; conninfo = \"host=db port=5432 dbname=app user=joe password=***\""));
	ck_assert_ptr_null(strstr(out, "hunter2"));
	ck_assert_int_eq(inform("--check postgres://joe:hunter2@db/app", out, errors, sizeof(out)), 0);
	ck_assert_str_eq(out, "URL: the configuration is good\n");
	ck_assert_int_eq(inform("--check postgres://joe:hunter2@db/app?sslmode=require", out, errors, sizeof(out)), 1);
	ck_assert_ptr_null(strstr(errors, "hunter2"));
}
END_TEST

Suite *options_suite(void)
{
	Suite *suite = suite_create("options");
	TCase *cases = tcase_create("options");

	tcase_add_checked_fixture(cases, temporary_setup, temporary_teardown);
	tcase_add_test(cases, a_file);
	tcase_add_test(cases, letters);
	tcase_add_test(cases, actions);
	tcase_add_test(cases, what_is_refused);
	tcase_add_test(cases, a_password_is_covered_in_argv);
	tcase_add_test(cases, version_and_help);
	tcase_add_test(cases, checking);
	tcase_add_test(cases, printing);
	suite_add_tcase(suite, cases);
	return suite;
}
