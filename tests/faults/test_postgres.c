/*
 * PostgreSQL dies, is restarted, stands still or cannot be reached.
 */
#define _GNU_SOURCE 1 /* accept4 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/faults/scene.h"
#include "tests/support/clock.h"

Suite *postgres_suite(void);

#define CLIENTS 12

static void start(const char *fault, bool back)
{
	scene_start(&(struct scene_options){ .fault = fault, .clients = CLIENTS, .back = back });
}

/* ---- backends ---- */

#define BACKENDS_OF_PGWEIR "FROM pg_stat_activity WHERE usename = 'u_trust' AND datname = '%s'"

START_TEST(backends_are_terminated)
{
	start("backends terminated", false);
	for (int64_t deadline = now_ms() + (all_faults() ? 4000 : 1500); now_ms() < deadline; pause_ms(20))
		sql_exec(stage.super,
			 "SELECT pg_terminate_backend(pid) " BACKENDS_OF_PGWEIR " ORDER BY random() LIMIT 2",
			 stage.database);
	scene_recovers();
	scene_end();
}
END_TEST

/* The query ends, the session lives on. */
START_TEST(queries_are_canceled)
{
	start("queries canceled", false);
	for (int64_t deadline = now_ms() + 3000; now_ms() < deadline; pause_ms(5))
		sql_exec(stage.super, "SELECT pg_cancel_backend(pid) " BACKENDS_OF_PGWEIR " ORDER BY random() LIMIT 4",
			 stage.database);
	scene_recovers();
	scene_end();
}
END_TEST

static PGconn *connect_super(void)
{
	return sql_try_connect("host=%s port=%u user=postgres dbname=postgres", stage.cluster.host, stage.cluster.port);
}

static bool is_super_back(void)
{
	PQfinish(stage.super);
	stage.super = connect_super();
	return PQstatus(stage.super) == CONNECTION_OK;
}

/* The postmaster ends all others, and recovers as after a crash. */
START_TEST(backends_are_killed)
{
	start("a backend killed", false);
	for (int i = 0; i < (all_faults() ? 4 : 1); i++) {
		ck_assert(eventually(is_super_back()));
		pid_t pid = (pid_t)sql_number(
			stage.super, "SELECT pid " BACKENDS_OF_PGWEIR " ORDER BY random() LIMIT 1", stage.database);
		ck_assert_int_gt(pid, 1);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert(eventually(sql_is_lost(stage.super)));
		scene_recovers();
	}
	ck_assert(eventually(is_super_back()));
	scene_end();
}
END_TEST

/* ---- the postmaster ---- */

static void leave_super(void)
{
	PQfinish(stage.super);
	stage.super = NULL;
}

/* Loop: SIGINT is a fast restart, SIGQUIT an immediate one. */
START_TEST(postgresql_is_restarted)
{
	static const int signals[] = { SIGQUIT, SIGINT };

	start(_i == 0 ? "immediate restarts" : "fast restarts", false);
	leave_super();
	for (int i = 0; i < (all_faults() ? 3 : 1); i++) {
		cluster_stop(&stage.cluster, signals[_i]);
		cluster_start_again(&stage.cluster);
		scene_recovers();
	}
	scene_end();
}
END_TEST

START_TEST(its_port_refuses)
{
	start("port refuses for 3 s", false);
	leave_super();
	cluster_stop(&stage.cluster, SIGINT);
	pause_ms(3000);
	cluster_start_again(&stage.cluster);
	scene_recovers();
	scene_end();
}
END_TEST

static pid_t find_postmaster(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/data/postmaster.pid", stage.cluster.directory);
	char *text = file_text(path);
	pid_t pid = (pid_t)atoi(text);
	free(text);
	ck_assert_int_gt(pid, 1);
	return pid;
}

/* New connections are taken by the kernel, and nobody speaks on them. */
START_TEST(the_postmaster_stands_still)
{
	start("postmaster stopped for 3 s", false);
	pid_t postmaster = find_postmaster();
	ck_assert_int_eq(kill(postmaster, SIGSTOP), 0);
	sql_exec(stage.super, "SELECT pg_terminate_backend(pid) " BACKENDS_OF_PGWEIR, stage.database);
	pause_ms(3000);
	ck_assert_int_eq(kill(postmaster, SIGCONT), 0);
	scene_recovers();
	scene_end();
}
END_TEST

START_TEST(backends_stand_still)
{
	pid_t pids[64];
	int count = 0;

	start("backends stopped for 3 s", false);
	PGresult *result = sql_result(stage.super, "SELECT pid " BACKENDS_OF_PGWEIR, stage.database);
	for (int i = 0; i < PQntuples(result) && i < 64; i++)
		pids[count++] = (pid_t)atoi(PQgetvalue(result, i, 0));
	PQclear(result);
	ck_assert_int_gt(count, 0);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(kill(pids[i], SIGSTOP), 0);
	pause_ms(3000);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(kill(pids[i], SIGCONT), 0);
	scene_recovers();
	scene_end();
}
END_TEST

/* ---- hosts that say nothing ---- */

/* In line or in a login, a client is told by server_connect_timeout or query_wait_timeout, and not much later. */
static void nobody_waits_for_ever(void)
{
	int64_t begin = now_ms();

	ck_assert(!scene_is_served());
	ck_assert_int_lt(now_ms() - begin, 9000);
}

START_TEST(the_host_is_a_black_hole)
{
	start("a black hole", true);
	middle_set_door(scene.back, MIDDLE_BLACK_HOLE);
	middle_end(scene.back, 1, MIDDLE_RESET);
	nobody_waits_for_ever();
	middle_set_door(scene.back, MIDDLE_OPEN);
	scene_recovers();
	scene_end();
}
END_TEST

#define FILLERS 4

struct dead_end {
	int listener;
	int fillers[FILLERS];
};

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Somebody listens and never accepts, and the queue is full: not even a handshake is answered. */
static void open_dead_end(struct dead_end *dead_end, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	dead_end->listener = open_socket();
	setsockopt(dead_end->listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	ck_assert_int_eq(bind(dead_end->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(dead_end->listener, 0), 0);
	for (int i = 0; i < FILLERS; i++) {
		dead_end->fillers[i] = open_socket();
		(void)!connect(dead_end->fillers[i], (struct sockaddr *)&address, sizeof(address));
	}
}

static void close_dead_end(struct dead_end *dead_end)
{
	for (int i = 0; i < FILLERS; i++)
		close(dead_end->fillers[i]);
	close(dead_end->listener);
}

START_TEST(the_host_answers_no_handshake)
{
	struct dead_end dead_end;

	start("no handshake", false);
	leave_super();
	cluster_stop(&stage.cluster, SIGINT);
	open_dead_end(&dead_end, stage.cluster.port);
	nobody_waits_for_ever();
	close_dead_end(&dead_end);
	cluster_start_again(&stage.cluster);
	scene_recovers();
	scene_end();
}
END_TEST

Suite *postgres_suite(void)
{
	Suite *suite = suite_create("postgres");
	TCase *shared = stage_case("backends", 120), *own = stage_case_with_own_cluster("postmaster", 180);

	tcase_add_test(shared, backends_are_terminated);
	if (all_faults()) {
		tcase_add_test(shared, queries_are_canceled);
		tcase_add_test(shared, backends_stand_still);
		tcase_add_test(shared, the_host_is_a_black_hole);
	}
	suite_add_tcase(suite, shared);

	tcase_add_test(own, backends_are_killed);
	tcase_add_loop_test(own, postgresql_is_restarted, 0, all_faults() ? 2 : 1);
	if (all_faults()) {
		tcase_add_test(own, its_port_refuses);
		tcase_add_test(own, the_postmaster_stands_still);
		tcase_add_test(own, the_host_answers_no_handshake);
	}
	suite_add_tcase(suite, own);
	return suite;
}
