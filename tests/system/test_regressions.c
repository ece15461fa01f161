/* Mistakes that were made once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "protocol/build.h"
#include "tests/support/clock.h"
#include "tests/support/stage.h"
#include "tests/support/wire.h"

Suite *regressions_suite(void);

/* Clients that hand the servers from one to the next without a pause, for as long as their pgweir is there. */
static void start_crowd(struct child *crowd)
{
	char program[300], port[16], script[256];

	snprintf(program, sizeof(program), "%s/pgbench", stage.cluster.program);
	snprintf(port, sizeof(port), "%u", stage.weir.port);
	snprintf(script, sizeof(script), "%s/script", stage.weir.directory);
	file_write(script, "SELECT 1;\n");
	child_start(crowd,
		    (const char *[]){ program, "-n", "-h", "127.0.0.1", "-p", port, "-U", "bench", "-c", "24", "-T",
				      "60", "-f", script, "app", NULL },
		    &(struct child_options){ .output = "/dev/null" });
}

static bool is_crowded(PGconn *console)
{
	return atol(weir_show(console, "STATS", "database", "app", "total_query_count")) > 200;
}

/* A server on its way to another worker belonged to nobody, and was still in its pool when the pools were freed. */
START_TEST(an_end_with_servers_between_workers)
{
	for (int round = 0; round < 8; round++) {
		struct child crowd;
		stage_start("transaction", 2, "workers = 4;");
		PGconn *console = weir_console(&stage.weir);
		start_crowd(&crowd);
		ck_assert(eventually(is_crowded(console)));
		child_signal(&stage.weir.process, SIGQUIT);
		int status = weir_ended(&stage.weir);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		PQfinish(console);
		child_kill(&crowd);
	}
}
END_TEST

/* A client that went while its parameters were being put in force left them to the next one. */
START_TEST(parameters_of_a_client_that_left_too_early)
{
	static const char *const pairs[] = { "search_path", "pg_temp", NULL };
	struct wire leaving, next;

	stage_start("transaction", 1, "");
	wire_connect(&next, &stage.weir);
	for (int round = 0; round < 50; round++) {
		wire_open(&leaving, stage.weir.port);
		wire_login(&leaving, "app_user", "app", NULL, pairs);
		ck_assert_str_eq(wire_value(&next, "SHOW search_path"), "\"$user\", public");
		wire_query(&leaving, "SELECT 1");
		wire_close(&leaving);
		ck_assert_str_eq(wire_value(&next, "SHOW search_path"), "\"$user\", public");
	}
	wire_close(&next);
}
END_TEST

/* How long it takes until a wrong password is refused. */
static int64_t refusal_ms(const char *user, const char *password)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct wire wire;
	int64_t before = now_ms();

	wire_open(&wire, stage.weir.port);
	wire_put_startup(&out, 3u << 16, (const char *[]){ "user", user, "database", "app", NULL });
	pg_build_password(&out, password);
	wire_send(&wire, &out);
	wire_types_until_closed(&wire);
	ck_assert_str_eq(wire.sqlstate, "28P01");
	wire_close(&wire);
	return now_ms() - before;
}

/* An unknown user's plain password was refused at once, a known one's after its keys had been derived. */
START_TEST(a_plain_password_takes_its_time_for_an_unknown_user)
{
	char list[300];
	int64_t known = INT64_MAX, unknown = INT64_MAX;

	weir_prepare(&stage.weir);
	snprintf(list, sizeof(list), "%s/users", stage.weir.directory);
	file_write(list,
		   "\"known\" \"SCRAM-SHA-256$300000:MDEyMzQ1Njc4OWFiY2RlZg==$"
		   "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n");
	weir_configure(&stage.weir,
		       "auth_type = \"plain\"; auth_file = \"%s\"; scram_iterations = 300000;"
		       "databases = ({ name = \"app\"; conninfo = \"host=127.0.0.1\"; });",
		       list);
	ck_assert(weir_launch(&stage.weir));
	for (int i = 0; i < 3; i++) {
		char password[32];
		snprintf(password, sizeof(password), "wrong %d", i);
		int64_t ms = refusal_ms("known", password);
		known = ms < known ? ms : known;
		snprintf(password, sizeof(password), "as wrong %d", i);
		ms = refusal_ms("stranger", password);
		unknown = ms < unknown ? ms : unknown;
	}
	ck_assert_int_gt(unknown, known / 4);
}
END_TEST

Suite *regressions_suite(void)
{
	Suite *suite = suite_create("regressions");
	TCase *tcase = stage_case("regressions", 120);

	tcase_add_test(tcase, an_end_with_servers_between_workers);
	tcase_add_test(tcase, parameters_of_a_client_that_left_too_early);
	tcase_add_test(tcase, a_plain_password_takes_its_time_for_an_unknown_user);
	suite_add_tcase(suite, tcase);
	return suite;
}
