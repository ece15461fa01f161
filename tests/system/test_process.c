/* The process: signals, reload, limits, the command line, one URL and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/clock.h"
#include "tests/support/directory.h"
#include "tests/support/stage.h"

Suite *process_suite(void);

static void send_signal(int number)
{
	child_signal(&stage.weir.process, number);
}

static void must_have_ended_well(void)
{
	int status = weir_ended(&stage.weir);

	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* No new client gets in. */
static bool is_closed(void)
{
	PGconn *connection =
		sql_try_connect("host=127.0.0.1 port=%u dbname=app user=app_user connect_timeout=2", stage.weir.port);
	bool closed = PQstatus(connection) != CONNECTION_OK;

	PQfinish(connection);
	return closed;
}

START_TEST(term_waits_for_clients_to_leave)
{
	stage_start("transaction", 2, "");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "SELECT 1");
	send_signal(SIGTERM);
	ck_assert(eventually(is_closed()));
	/* It goes on for who is there, over several transactions. */
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(sql_number(client, "SELECT 7"), 7);
	ck_assert(child_is_running(&stage.weir.process));
	PQfinish(client);
	must_have_ended_well();
}
END_TEST

START_TEST(a_second_term_ends_at_once)
{
	stage_start("transaction", 2, "");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "BEGIN");
	send_signal(SIGTERM);
	ck_assert(eventually(is_closed()));
	send_signal(SIGTERM);
	must_have_ended_well();
	ck_assert(sql_is_lost(client));
	ck_assert_ptr_nonnull(strstr(PQerrorMessage(client), "shutting down"));
	PQfinish(client);
}
END_TEST

START_TEST(int_lets_transactions_end)
{
	stage_start("transaction", 2, "");
	PGconn *busy = weir_client(&stage.weir), *idle = weir_client(&stage.weir);
	sql_exec(busy, "CREATE TABLE t (a int)");
	sql_exec(busy, "BEGIN; INSERT INTO t VALUES (1)");
	send_signal(SIGINT);
	ck_assert(eventually(is_closed()));
	ck_assert(eventually(sql_is_lost(idle)));
	sql_exec(busy, "INSERT INTO t VALUES (2)");
	sql_exec(busy, "COMMIT");
	must_have_ended_well();
	ck_assert(sql_is_lost(busy));
	PGconn *direct = stage_direct();
	ck_assert_int_eq(sql_number(direct, "SELECT count(*) FROM t"), 2);
	PQfinish(direct);
	PQfinish(busy);
	PQfinish(idle);
}
END_TEST

START_TEST(int_in_session_mode_lets_transactions_end)
{
	stage_start("session", 2, "");
	PGconn *busy = weir_client(&stage.weir), *idle = weir_client(&stage.weir);
	sql_exec(idle, "SELECT 1");
	sql_exec(busy, "BEGIN");
	send_signal(SIGINT);
	ck_assert(eventually(sql_is_lost(idle)));
	sql_exec(busy, "SELECT 2");
	sql_exec(busy, "COMMIT");
	must_have_ended_well();
	PQfinish(busy);
	PQfinish(idle);
}
END_TEST

START_TEST(quit_ends_at_once)
{
	stage_start("transaction", 2, "");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "BEGIN");
	send_signal(SIGQUIT);
	must_have_ended_well();
	ck_assert(sql_is_lost(client));
	PQfinish(client);
}
END_TEST

/* Nothing of a server stays behind, whatever was under way. */
START_TEST(servers_are_gone_after_the_end)
{
	stage_start("transaction", 3, "");
	PGconn *client = weir_client(&stage.weir);
	sql_exec(client, "SELECT 1");
	send_signal(SIGQUIT);
	must_have_ended_well();
	PQfinish(client);
	ck_assert(eventually(cluster_count_backends(stage.super, stage.database, NULL) == 0));
}
END_TEST

/* Puts a line behind what the configuration holds. */
static char *append_to_config(const char *line)
{
	char *before = file_text(stage.weir.config);
	size_t bytes = strlen(before) + strlen(line) + 2;
	char *after = malloc(bytes);

	snprintf(after, bytes, "%s%s\n", before, line);
	file_write(stage.weir.config, after);
	free(after);
	return before;
}

START_TEST(hup_reloads)
{
	stage_start("transaction", 2, "");
	PGconn *console = weir_console(&stage.weir);
	free(append_to_config("query_wait_timeout = 7;"));
	send_signal(SIGHUP);
	ck_assert(eventually(strcmp(weir_show(console, "CONFIG", "key", "query_wait_timeout", "value"), "7") == 0));
	PQfinish(console);
}
END_TEST

/* Trap 86: a bad file changes nothing, and says why, with file and line. */
START_TEST(trap_86_a_bad_file_changes_nothing)
{
	stage_start("transaction", 2, "");
	PGconn *console = weir_console(&stage.weir);
	PGconn *client = weir_client(&stage.weir);
	free(append_to_config("query_wait_timeout = 7; query_wait_timeuot = 8;"));
	send_signal(SIGHUP);
	ck_assert(eventually(weir_log_contains(&stage.weir, "query_wait_timeuot")));
	ck_assert_str_eq(weir_show(console, "CONFIG", "key", "query_wait_timeout", "value"), "120");
	PGresult *result = sql_result(console, "RELOAD");
	ck_assert_int_eq(PQresultStatus(result), PGRES_FATAL_ERROR);
	ck_assert_ptr_nonnull(strstr(PQresultErrorMessage(result), "pgweir.conf:"));
	PQclear(result);
	ck_assert_int_eq(sql_number(client, "SELECT 1"), 1);
	PQfinish(client);
	PQfinish(console);
}
END_TEST

/* A removed database takes no new clients, and who is in finishes what it does. */
START_TEST(a_removed_database_drains)
{
	stage_start("transaction", 2, "");
	PGconn *client = weir_client(&stage.weir);
	PGconn *console = weir_console(&stage.weir);
	sql_exec(client, "BEGIN");
	char *before = append_to_config("");
	char *entry = strstr(before, "name = \"app\"");
	ck_assert_ptr_nonnull(entry);
	memcpy(entry, "name = \"now\"", 12);
	file_write(stage.weir.config, before);
	free(before);
	sql_exec(console, "RELOAD");
	sql_exec(client, "SELECT 1");
	sql_exec(client, "COMMIT");
	sql_refused("does not exist", "host=127.0.0.1 port=%u dbname=app user=app_user", stage.weir.port);
	sql_fails(client, "3D000", "SELECT 1");
	PQfinish(weir_connect(&stage.weir, "dbname=now user=app_user"));
	PQfinish(client);
	PQfinish(console);
}
END_TEST

START_TEST(max_client_conn_refuses_with_the_figure)
{
	stage_start("transaction", 2, "");
	PGconn *console = weir_console(&stage.weir);
	sql_exec(console, "SET max_client_conn = 3");
	PGconn *first = weir_client(&stage.weir), *second = weir_client(&stage.weir);
	sql_refused("max_client_conn is 3", "host=127.0.0.1 port=%u dbname=app user=app_user", stage.weir.port);
	PQfinish(second);
	ck_assert(eventually(!is_closed()));
	PQfinish(first);
	PQfinish(console);
}
END_TEST

/* More clients than descriptors: refused at the start, with what to do. */
START_TEST(too_few_descriptors_are_told_at_the_start)
{
	struct rlimit limit, low = { 200, 200 };

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	weir_prepare(&stage.weir);
	weir_configure(&stage.weir, "max_client_conn = 500; auth_type = \"trust\"; "
				    "databases = ( { name = \"app\"; conninfo = \"host=127.0.0.1\"; } );");
	/* A test runs in a process of its own, so the limit goes with it. */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	ck_assert(!weir_launch(&stage.weir));
	ck_assert(weir_log_contains(&stage.weir, "max_client_conn 500"));
	ck_assert(weir_log_contains(&stage.weir, "LimitNOFILE"));
	ck_assert(WEXITSTATUS(weir_ended(&stage.weir)) == 1);
}
END_TEST

/* ---- the command line ---- */

static const char *program(void)
{
	static char path[4200];

	snprintf(path, sizeof(path), "%s/pgweir", build_directory());
	return path;
}

static int run_pgweir(const char *const *argv, const char *const *extra, char *output, size_t output_bytes)
{
	char file[] = "/tmp/pgweir-test-XXXXXX";
	int fd = mkstemp(file);

	ck_assert_int_ge(fd, 0);
	close(fd);
	int status = child_run(argv, extra, file, PATIENCE_MS);
	char *text = file_text(file);
	snprintf(output, output_bytes, "%s", text);
	free(text);
	unlink(file);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(check_and_print_config)
{
	char output[8192];
	stage_start("transaction", 2, "");

	ck_assert_int_eq(run_pgweir((const char *const[]){ program(), "--check", stage.weir.config, NULL }, NULL,
				    output, sizeof(output)),
			 0);
	ck_assert_int_eq(run_pgweir((const char *const[]){ program(), "--print-config", stage.weir.config, NULL },
				    (const char *const[]){ "PGWEIR_QUERY_WAIT_TIMEOUT=33", NULL }, output,
				    sizeof(output)),
			 0);
	ck_assert_ptr_nonnull(strstr(output, "33"));
	ck_assert_int_eq(run_pgweir((const char *const[]){ program(), "--check", "/nonexistent.conf", NULL }, NULL,
				    output, sizeof(output)),
			 1);
	ck_assert_ptr_nonnull(strstr(output, "/nonexistent.conf"));
	ck_assert_int_eq(run_pgweir((const char *const[]){ program(), "-V", NULL }, NULL, output, sizeof(output)), 0);
	ck_assert_ptr_nonnull(strstr(output, "pgweir 0."));
	ck_assert_int_ne(run_pgweir((const char *const[]){ program(), NULL }, NULL, output, sizeof(output)), 0);
}
END_TEST

/* With nothing but a URL: its user and password at both ends, loopback and a unix socket only. */
START_TEST(one_url_is_enough)
{
	struct child pgweir;
	char url[300], port[32], log[] = "/tmp/pgweir-test-XXXXXX";
	uint16_t listen_port = free_port();
	PGconn *client = NULL;

	close(mkstemp(log));
	snprintf(url, sizeof(url), "postgres://app:app@127.0.0.1:%u/%s", stage.cluster.port, stage.database);
	snprintf(port, sizeof(port), "PGWEIR_LISTEN_PORT=%u", listen_port);
	child_start(&pgweir, (const char *const[]){ program(), url, NULL },
		    &(struct child_options){ .output = log, .extra = (const char *const[]){ port, NULL } });
	ck_assert(eventually(file_contains(log, "application: psql")));
	ck_assert(file_contains(log, "dbname=pgweir"));
	ck_assert(!file_contains(log, "app:app"));
	client = sql_connect("host=127.0.0.1 port=%u dbname=%s user=app password=app", listen_port, stage.database);
	ck_assert_str_eq(sql_value(client, "SELECT current_user"), "app");
	sql_refused("password authentication failed", "host=127.0.0.1 port=%u dbname=%s user=app password=wrong",
		    listen_port, stage.database);
	PQfinish(client);
	client = sql_connect("host=/tmp port=%u dbname=%s user=app password=app", listen_port, stage.database);
	PQfinish(client);
	child_signal(&pgweir, SIGTERM);
	ck_assert(child_wait(&pgweir, PATIENCE_MS) && child_succeeded(&pgweir));
	unlink(log);
}
END_TEST

Suite *process_suite(void)
{
	Suite *suite = suite_create("process");
	TCase *tcase = stage_case("process", 60);

	tcase_add_test(tcase, term_waits_for_clients_to_leave);
	tcase_add_test(tcase, a_second_term_ends_at_once);
	tcase_add_test(tcase, int_lets_transactions_end);
	tcase_add_test(tcase, int_in_session_mode_lets_transactions_end);
	tcase_add_test(tcase, quit_ends_at_once);
	tcase_add_test(tcase, servers_are_gone_after_the_end);
	tcase_add_test(tcase, hup_reloads);
	tcase_add_test(tcase, trap_86_a_bad_file_changes_nothing);
	tcase_add_test(tcase, a_removed_database_drains);
	tcase_add_test(tcase, max_client_conn_refuses_with_the_figure);
	tcase_add_test(tcase, too_few_descriptors_are_told_at_the_start);
	tcase_add_test(tcase, check_and_print_config);
	tcase_add_test(tcase, one_url_is_enough);
	suite_add_tcase(suite, tcase);
	return suite;
}
