/*
 * The process lacks something: room for its log, descriptors, places in the accept queue.
 */
#define _GNU_SOURCE 1 /* prlimit */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/scene.h"
#include "tests/faults/throng.h"
#include "tests/support/clock.h"
#include "tests/support/directory.h"

Suite *process_suite(void);

#define CLIENTS 12

/* ---- the log ---- */

/* Many lines, and with each client that comes and goes there are more. */
#define MUCH_LOG "verbose = 2; "

START_TEST(the_disk_of_the_log_is_full)
{
	scene_start(&(struct scene_options){
		.fault = "log's disk is full", .clients = CLIENTS, .more = MUCH_LOG, .log = "/dev/full" });
	for (int i = 0; i < 50; i++)
		ck_assert(scene_is_served());
	scene_recovers();
	scene_end();
}
END_TEST

static bool is_full(int fd)
{
	struct pollfd poller = { fd, POLLOUT, 0 };

	return poll(&poller, 1, 0) == 0;
}

/* For a sanitizer's word, which must not be lost in it. */
static bool says_sanitizer(int fd)
{
	char bytes[4096 + 1];
	bool found = false;

	for (ssize_t count; (count = read(fd, bytes, sizeof(bytes) - 1)) > 0;) {
		bytes[count] = '\0';
		found |= strstr(bytes, "Sanitizer") != NULL || strstr(bytes, "runtime error") != NULL;
	}
	return found;
}

START_TEST(nobody_reads_the_log)
{
	char directory[200], pipe[256];

	directory_create(directory, sizeof(directory), "pipe");
	snprintf(pipe, sizeof(pipe), "%s/fifo", directory);
	ck_assert_int_eq(mkfifo(pipe, 0600), 0);
	int fd = open(pipe, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	ck_assert_int_ge(fd, 0);
	scene_start(&(struct scene_options){
		.fault = "nobody reads the log", .clients = CLIENTS, .more = MUCH_LOG, .log = pipe });
	/* More than the pipe and pgweir's own queue hold. */
	ck_assert(eventually(scene_is_served() && is_full(fd)));
	ck_assert(ledger_goes_on(scene.ledger, all_faults() ? 200 : 20, PATIENCE_MS));
	scene_recovers();
	scene_end();
	/* It must also end in front of the full pipe. */
	snprintf(stage.weir.log, sizeof(stage.weir.log), "/dev/null");
	stage_stop();
	ck_assert(!says_sanitizer(fd));
	close(fd);
	directory_remove(directory);
}
END_TEST

/* ---- descriptors ---- */

static void limit_descriptors(rlim_t limit)
{
	struct rlimit limits;

	ck_assert_int_eq(prlimit(stage.weir.process.pid, RLIMIT_NOFILE, NULL, &limits), 0);
	limits.rlim_cur = limit;
	ck_assert_msg(prlimit(stage.weir.process.pid, RLIMIT_NOFILE, &limits, NULL) == 0, "prlimit: %s",
		      strerror(errno));
}

static rlim_t descriptor_limit(void)
{
	struct rlimit limits;

	ck_assert_int_eq(prlimit(stage.weir.process.pid, RLIMIT_NOFILE, NULL, &limits), 0);
	return limits.rlim_cur;
}

/* Loop: none is left, or a few are. */
START_TEST(there_are_no_descriptors)
{
	struct throng throng;

	scene_start(
		&(struct scene_options){ .fault = _i == 0 ? "no descriptors" : "few descriptors", .clients = CLIENTS });
	rlim_t before = descriptor_limit();
	limit_descriptors(_i == 0 ? 8 : (rlim_t)process_descriptors(stage.weir.process.pid) + 3);
	throng_open(&throng, stage.weir.port, 40);
	throng_run(&throng, 1000);
	ck_assert_uint_lt(throng_count(&throng, THRONG_SERVED), 10);
	/* Those who are there are served as ever. */
	struct ledger_counts counts = ledger_count(scene.ledger);
	ck_assert(ledger_goes_on(scene.ledger, 5, PATIENCE_MS));
	ck_assert_uint_eq(ledger_count(scene.ledger).connects, counts.connects);
	limit_descriptors(before);
	scene_recovers();
	/* Who waited at the door comes in; who was refused knows. */
	throng_run(&throng, PATIENCE_MS);
	ck_assert_uint_eq(throng_count(&throng, THRONG_SERVED) + throng_count(&throng, THRONG_REFUSED), 40);
	throng_close(&throng);
	scene_end();
}
END_TEST

/* Servers are lost and cannot be opened again: their clients wait or are told, and nobody else is harmed. */
START_TEST(there_are_no_descriptors_for_servers)
{
	scene_start(&(struct scene_options){ .fault = "no descriptors for servers", .clients = CLIENTS, .back = true });
	rlim_t before = descriptor_limit();
	limit_descriptors(8);
	middle_end(scene.back, 1, MIDDLE_RESET);
	uint64_t refused = ledger_count(scene.ledger).refused;
	ck_assert(eventually(ledger_count(scene.ledger).refused > refused));
	limit_descriptors(before);
	scene_recovers();
	scene_end();
}
END_TEST

/* In clock ticks. */
static unsigned long cpu_used(void)
{
	char path[64];
	unsigned long user = 0, system = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)stage.weir.process.pid);
	char *text = file_text(path);
	const char *fields = strrchr(text, ')');
	ck_assert_ptr_nonnull(fields);
	ck_assert_int_eq(sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	free(text);
	return user + system;
}

/* A listener whose next connection cannot be taken is always readable: a trap for loops. */
START_TEST(waiting_for_descriptors_is_cheap)
{
	struct throng throng;

	scene_start(&(struct scene_options){ .fault = "no descriptors, no load" });
	rlim_t before = descriptor_limit();
	limit_descriptors(8);
	throng_open(&throng, stage.weir.port, 20);
	throng_run(&throng, 200);
	unsigned long begin = cpu_used();
	pause_ms(1000);
	ck_assert_uint_lt(cpu_used() - begin, (unsigned long)sysconf(_SC_CLK_TCK) / 5);
	limit_descriptors(before);
	throng_run(&throng, PATIENCE_MS);
	ck_assert_uint_eq(throng_count(&throng, THRONG_SERVED) + throng_count(&throng, THRONG_REFUSED), 20);
	throng_close(&throng);
	scene_recovers();
	scene_end();
}
END_TEST

/* ---- the accept queue ---- */

#define MANY 2000
/* Whoever the kernel drops at a full queue would try again after 1, 3, 7, 15 and 31 s. */
#define INSIST_MS 60000
#define PATIENCE_AT_THE_DOOR_MS 2000

/* It takes none for a while: the kernel's queue is full, and it answers no handshake any more until there is room again. */
START_TEST(the_accept_queue_is_full)
{
	struct throng throng;

	scene_start(&(struct scene_options){
		.fault = "accept queue is full", .clients = CLIENTS, .more = "listen_backlog = 16;" });
	child_signal(&stage.weir.process, SIGSTOP);
	throng_open(&throng, stage.weir.port, MANY);
	throng_run(&throng, 300);
	ck_assert_uint_eq(throng_count(&throng, THRONG_SERVED), 0);
	child_signal(&stage.weir.process, SIGCONT);
	throng_insist(&throng, INSIST_MS, PATIENCE_AT_THE_DOOR_MS);
	ck_assert_uint_eq(throng_count(&throng, THRONG_SERVED), MANY);
	throng_close(&throng);
	scene_recovers();
	scene_end();
}
END_TEST

/* All at once, and it is awake. */
START_TEST(a_burst_of_clients)
{
	struct throng throng;

	scene_start(&(struct scene_options){
		.fault = "burst of 2000 clients", .clients = CLIENTS, .more = "listen_backlog = 16;" });
	throng_open(&throng, stage.weir.port, MANY);
	throng_insist(&throng, INSIST_MS, PATIENCE_AT_THE_DOOR_MS);
	ck_assert_uint_eq(throng_count(&throng, THRONG_SERVED), MANY);
	throng_close(&throng);
	scene_recovers();
	scene_end();
}
END_TEST

Suite *process_suite(void)
{
	Suite *suite = suite_create("process");
	TCase *tcase = stage_case("process", 180);

	tcase_add_test(tcase, nobody_reads_the_log);
	tcase_add_loop_test(tcase, there_are_no_descriptors, 0, all_faults() ? 2 : 1);
	if (all_faults()) {
		tcase_add_test(tcase, the_disk_of_the_log_is_full);
		tcase_add_test(tcase, there_are_no_descriptors_for_servers);
		tcase_add_test(tcase, waiting_for_descriptors_is_cheap);
		tcase_add_test(tcase, the_accept_queue_is_full);
		tcase_add_test(tcase, a_burst_of_clients);
	}
	suite_add_tcase(suite, tcase);
	return suite;
}
