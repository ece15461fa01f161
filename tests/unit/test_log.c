#define _GNU_SOURCE 1 /* pipe2 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/log.h"

Suite *log_suite(void);

#define CAPTURE_BYTES (1024u * 1024u)

/* Stderr is a pipe of the test's while one runs. */
static int captured;        /* its reading end */
static int original_stderr; /* where Check and the sanitizers write */

static void capture_open(void)
{
	int ends[2];

	original_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	captured = ends[0];
}

static void capture_close(void)
{
	dup2(original_stderr, STDERR_FILENO);
	close(original_stderr);
	if (captured >= 0)
		close(captured);
}

/* All that comes until the writing end is closed; the caller frees it. */
static char *capture_read_all(void)
{
	char *text = malloc(CAPTURE_BYTES);
	size_t bytes = 0;
	ssize_t count;

	while ((count = read(captured, text + bytes, CAPTURE_BYTES - 1 - bytes)) > 0)
		bytes += (size_t)count;
	text[bytes] = 0;
	return text;
}

/* Ends the writing: from now on the reader comes to an end. */
static char *capture_finish(void)
{
	dup2(original_stderr, STDERR_FILENO);
	return capture_read_all();
}

static void *capture_thread(void *unused)
{
	(void)unused;
	return capture_read_all();
}

static int count_in(const char *text, const char *wanted)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, wanted)); at += strlen(wanted))
		count++;
	return count;
}

/* The sum of what the lines about lost lines say. */
static uint64_t lost_lines_told(const char *text)
{
	static const char words[] = "WARNING the log lost ";
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, words));) {
		at += sizeof(words) - 1;
		sum += strtoull(at, NULL, 10);
	}
	return sum;
}

START_TEST(line_has_time_pid_level_and_text)
{
	regex_t line;
	char pattern[256];

	snprintf(pattern, sizeof(pattern),
		 "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} UTC \\[%ld\\] WARNING seven 7\n$",
		 (long)getpid());
	ck_assert_int_eq(regcomp(&line, pattern, REG_EXTENDED | REG_NOSUB), 0);
	log_warning("seven %d", 7);
	char *text = capture_finish();
	ck_assert_msg(regexec(&line, text, 0, NULL, 0) == 0, "not the form of a line: %s", text);
	regfree(&line);
	free(text);
}
END_TEST

/* The head shows UTC whatever TZ is. */
START_TEST(time_is_utc)
{
	char hour_before[8];
	char hour_after[8];
	time_t now = time(NULL);
	struct tm utc;

	setenv("TZ", "Asia/Kolkata", 1);
	tzset();
	strftime(hour_before, sizeof(hour_before), " %H:%M:", gmtime_r(&now, &utc));
	log_info("now");
	now = time(NULL);
	strftime(hour_after, sizeof(hour_after), " %H:%M:", gmtime_r(&now, &utc));
	char *text = capture_finish();
	ck_assert_msg(strstr(text, hour_before) || strstr(text, hour_after), "not UTC: %s", text);
	free(text);
}
END_TEST

START_TEST(verbosity_selects_levels)
{
	log_set_verbosity(-1);
	log_info("quiet log");
	log_warning("quiet warning");
	log_set_verbosity(0);
	log_info("plain log");
	log_debug("plain debug");
	log_set_verbosity(1);
	log_debug("verbose debug");
	log_noise("verbose noise");
	log_set_verbosity(7);
	log_noise("most noise");
	log_set_verbosity(0);
	char *text = capture_finish();
	ck_assert_ptr_null(strstr(text, "quiet log"));
	ck_assert_ptr_nonnull(strstr(text, "quiet warning"));
	ck_assert_ptr_nonnull(strstr(text, "plain log"));
	ck_assert_ptr_null(strstr(text, "plain debug"));
	ck_assert_ptr_nonnull(strstr(text, "DEBUG verbose debug"));
	ck_assert_ptr_null(strstr(text, "verbose noise"));
	ck_assert_ptr_nonnull(strstr(text, "NOISE most noise"));
	free(text);
}
END_TEST

START_TEST(control_characters_are_shown_as_question_marks)
{
	log_info("user \"%s\"", "a\nFATAL b\x1b[2J\x7f\t\302\2330m \xc3\xa9\xe4\xbd\xa0");
	char *text = capture_finish();
	ck_assert_ptr_nonnull(strstr(text, "user \"a?FATAL b?[2J?\?\?\?0m \xc3\xa9\xe4\xbd\xa0\"\n"));
	ck_assert_int_eq(count_in(text, "\n"), 1);
	free(text);
}
END_TEST

START_TEST(long_line_is_cut_and_marked)
{
	char *longest = malloc(100000);

	memset(longest, 'x', 99999);
	longest[99999] = 0;
	log_info("%s", longest);
	log_info("next");
	char *text = capture_finish();
	char *end = strchr(text, '\n');
	ck_assert_ptr_nonnull(end);
	ck_assert_uint_eq((size_t)(end + 1 - text), LOG_LINE_BYTES);
	ck_assert_int_eq(strncmp(end - 4, "x...\n", 5), 0);
	ck_assert_ptr_nonnull(strstr(end, "LOG next\n"));
	free(text);
	free(longest);
}
END_TEST

START_TEST(errno_is_left_alone)
{
	errno = ENOENT;
	log_info("%m");
	ck_assert_int_eq(errno, ENOENT);
	char *text = capture_finish();
	ck_assert_ptr_nonnull(strstr(text, strerror(ENOENT)));
	free(text);
}
END_TEST

START_TEST(queued_lines_come_out_in_order_at_close)
{
	ck_assert(log_open());
	for (int i = 0; i < 500; i++)
		log_info("line %d.", i);
	log_close(5 * USEC_PER_SEC);
	log_fatal("after the close");
	char *text = capture_finish();
	const char *at = text;
	for (int i = 0; i < 500; i++) {
		char wanted[32];
		snprintf(wanted, sizeof(wanted), "LOG line %d.\n", i);
		at = strstr(at, wanted);
		ck_assert_msg(at, "line %d is missing or out of order", i);
	}
	ck_assert_ptr_nonnull(strstr(at, "FATAL after the close\n"));
	ck_assert_uint_eq(log_dropped(), 0);
	free(text);
}
END_TEST

#define WRITERS 4
#define LINES_EACH 4000

static void *writer_run(void *name)
{
	for (int i = 0; i < LINES_EACH; i++)
		log_info("%s says %d", (const char *)name, i);
	return NULL;
}

/* More than the ring holds, from several threads, with a reader: every line is either whole in the output or counted. */
START_TEST(lines_of_many_threads_stay_whole)
{
	static const char *const names[WRITERS] = { "anna", "bert", "cora", "dirk" };
	pthread_t writers[WRITERS];
	pthread_t reader;
	void *text;

	ck_assert(log_open());
	pthread_create(&reader, NULL, capture_thread, NULL);
	for (int i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, writer_run, (void *)(uintptr_t)names[i]);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	log_close(10 * USEC_PER_SEC);
	dup2(original_stderr, STDERR_FILENO);
	pthread_join(reader, &text);
	uint64_t told = lost_lines_told(text);
	int lines = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = 0;
		if (strstr(line, "the log lost"))
			continue;
		lines++;
		ck_assert_msg(strstr(line, " UTC [") == line + 23 && strstr(line, " says "), "broken: %s", line);
	}
	ck_assert_uint_eq((uint64_t)lines + log_dropped(), WRITERS * LINES_EACH);
	ck_assert_uint_eq(told, log_dropped());
	free(text);
}
END_TEST

/* Trap 90. */
START_TEST(full_pipe_never_blocks_a_caller)
{
	uint64_t slowest_us = 0;
	pthread_t reader;
	void *text;

	ck_assert(log_open());
	for (int i = 0; i < 20000; i++) {
		uint64_t start_us = clock_now_us();
		log_info("line %d of many that nobody reads", i);
		uint64_t took_us = clock_now_us() - start_us;
		slowest_us = took_us > slowest_us ? took_us : slowest_us;
	}
	/* A caller that waited for the pipe would wait for ever; the limit leaves room for a busy machine. */
	ck_assert_msg(slowest_us < 500 * USEC_PER_MS, "log_write took %llu us", (unsigned long long)slowest_us);
	uint64_t dropped = log_dropped();
	ck_assert_uint_gt(dropped, 10000);
	pthread_create(&reader, NULL, capture_thread, NULL);
	log_close(10 * USEC_PER_SEC);
	dup2(original_stderr, STDERR_FILENO);
	pthread_join(reader, &text);
	/* Drained: everything that was queued, and then how many are missing. */
	ck_assert_uint_eq(log_dropped(), dropped);
	ck_assert_uint_eq(lost_lines_told(text), dropped);
	ck_assert_int_eq(count_in(text, "of many that nobody reads\n") + (int)dropped, 20000);
	free(text);
}
END_TEST

START_TEST(lost_lines_are_told_before_the_next_line)
{
	char half[64 * 1024];

	ck_assert(log_open());
	while (log_dropped() == 0)
		log_info("filler");
	log_info("certainly lost");
	/* Makes room, with the writer still far from an empty queue. */
	size_t freed = 0;
	while (freed < sizeof(half)) {
		ssize_t count = read(captured, half, sizeof(half) - freed);
		ck_assert_int_gt(count, 0);
		freed += (size_t)count;
	}
	/* The writer needs a moment to use the room. */
	uint64_t dropped;
	do {
		dropped = log_dropped();
		usleep(1000);
		log_info("first again");
	} while (log_dropped() != dropped);
	pthread_t reader;
	void *text;
	pthread_create(&reader, NULL, capture_thread, NULL);
	log_close(10 * USEC_PER_SEC);
	dup2(original_stderr, STDERR_FILENO);
	pthread_join(reader, &text);
	char *told = strstr(text, "the log lost");
	ck_assert_ptr_nonnull(told);
	ck_assert_ptr_nonnull(strstr(told, "LOG first again\n"));
	ck_assert_int_eq(count_in(text, "first again\n"), 1);
	ck_assert_ptr_null(strstr(told, "filler"));
	ck_assert_int_eq(count_in(text, "the log lost"), 1);
	free(text);
}
END_TEST

START_TEST(close_in_front_of_a_full_pipe_ends_in_time)
{
	ck_assert(log_open());
	while (log_dropped() == 0)
		log_info("filler");
	uint64_t start_us = clock_now_us();
	log_close(200 * USEC_PER_MS);
	uint64_t took_us = clock_now_us() - start_us;
	ck_assert_msg(took_us >= 150 * USEC_PER_MS && took_us < 2 * USEC_PER_SEC, "log_close took %llu us",
		      (unsigned long long)took_us);
	/* What could not be written is lost, and counted. */
	ck_assert_uint_gt(log_dropped(), 1000);
}
END_TEST

START_TEST(direct_line_in_front_of_a_full_pipe_is_dropped)
{
	char zeros[4096] = { 0 };

	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	while (write(STDERR_FILENO, zeros, sizeof(zeros)) > 0)
		continue;
	fcntl(STDERR_FILENO, F_SETFL, 0);
	log_fatal("nobody reads this");
	ck_assert_uint_eq(log_dropped(), 1);
}
END_TEST

static double cpu_seconds(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* What the log does when stderr refuses every line: `lines` of them are counted, the process lives and rests. */
static void log_to_nowhere(void)
{
	ck_assert(log_open());
	for (int i = 0; i < 100; i++)
		log_info("to nowhere");
	while (log_dropped() < 100)
		usleep(1000); /* the test's time-out is the limit */
	double before = cpu_seconds();
	usleep(300000);
	ck_assert_msg(cpu_seconds() - before < 0.1, "the writer spins");
	uint64_t dropped = log_dropped();
	log_close(USEC_PER_SEC);
	ck_assert_uint_eq(log_dropped(), dropped);
	log_fatal("directly to nowhere");
	ck_assert_uint_eq(log_dropped(), dropped + 1);
}

START_TEST(reader_that_has_gone_kills_nothing)
{
	signal(SIGPIPE, SIG_DFL);
	close(captured);
	captured = -1;
	log_to_nowhere();
}
END_TEST

START_TEST(closed_stderr_kills_nothing)
{
	close(STDERR_FILENO);
	log_to_nowhere();
}
END_TEST

/* A terminal's or a parent's descriptor may be non-blocking. */
START_TEST(non_blocking_stderr_loses_nothing)
{
	pthread_t reader;
	void *text;

	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	ck_assert(log_open());
	for (int i = 0; i < 3000; i++)
		log_info("line %d to a slow reader", i);
	usleep(100000);
	pthread_create(&reader, NULL, capture_thread, NULL);
	log_close(10 * USEC_PER_SEC);
	dup2(original_stderr, STDERR_FILENO);
	pthread_join(reader, &text);
	ck_assert_int_eq(count_in(text, "to a slow reader\n"), 3000);
	ck_assert_uint_eq(log_dropped(), 0);
	free(text);
}
END_TEST

/* Each test runs in a process of its own (Check forks), so that the counters start at nothing. */
Suite *log_suite(void)
{
	Suite *suite = suite_create("log");
	TCase *cases = tcase_create("log");

	tcase_set_timeout(cases, 30);
	tcase_add_checked_fixture(cases, capture_open, capture_close);
	tcase_add_test(cases, line_has_time_pid_level_and_text);
	tcase_add_test(cases, time_is_utc);
	tcase_add_test(cases, verbosity_selects_levels);
	tcase_add_test(cases, control_characters_are_shown_as_question_marks);
	tcase_add_test(cases, long_line_is_cut_and_marked);
	tcase_add_test(cases, errno_is_left_alone);
	tcase_add_test(cases, queued_lines_come_out_in_order_at_close);
	tcase_add_test(cases, lines_of_many_threads_stay_whole);
	tcase_add_test(cases, full_pipe_never_blocks_a_caller);
	tcase_add_test(cases, lost_lines_are_told_before_the_next_line);
	tcase_add_test(cases, close_in_front_of_a_full_pipe_ends_in_time);
	tcase_add_test(cases, direct_line_in_front_of_a_full_pipe_is_dropped);
	tcase_add_test(cases, reader_that_has_gone_kills_nothing);
	tcase_add_test(cases, closed_stderr_kills_nothing);
	tcase_add_test(cases, non_blocking_stderr_loses_nothing);
	suite_add_tcase(suite, cases);
	return suite;
}
