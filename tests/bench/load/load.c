/*
 * A load of many clients, for what pgbench cannot do: thousands of clients with their latencies, clients that leak
 * transactions, idle clients, rows by the megabyte.
 *
 *	load [OPTIONS] QUERY
 *
 *	--host H --port N --user U --database D    where to; H is an IPv4 address or the directory of a unix socket
 *	--clients N --protocol simple|extended|prepared
 *	--range N            ":id" in the query is a random number from 1 to N
 *	--reconnect          after each transaction; then its time is with connecting and logging in
 *	--together           all clients begin at the same moment, and again when the last is done
 *	--password P         for SCRAM-SHA-256
 *	--leakers N          so many of the clients open a transaction and never end it
 *	--warm-up S --seconds S    the load goes on until the program is ended; what is in this time is measured
 *	--transactions N     of each client; then the program ends by itself
 *	--ticks              says every 20 ms how far it is
 *	--idle               reads numbers from stdin, and has as many clients, each of which has asked once and rests
 *	--bulk --rows N --row-bytes N    one client that moves rows by SELECT or COPY
 *	--limit S            ends with an error after this time, whatever happens
 *
 * Lines on stdout, each as it happens: "connected N", "begin", "at TIME N" (TIME since 1970, N transactions or bytes),
 * "result {...}".
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/load/bulk.h"
#include "tests/bench/load/crowd.h"

#define TICK_NS 20000000u

struct options {
	const char *host, *user, *database, *password, *protocol, *query;
	uint64_t port, clients, leakers, range, transactions, rows, row_bytes;
	double warm_up_s, seconds, limit_s;
	bool ticks, idle, bulk, reconnect, together;
};

/* ---- the command line ---- */

static void usage(const char *why, const char *what)
{
	fprintf(stderr, "load: %s: %s; see the beginning of tests/bench/load/load.c\n", what, why);
	exit(2);
}

static enum script_protocol protocol_of(const char *name)
{
	static const char *const names[] = { "simple", "extended", "prepared" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum script_protocol)i;
	usage("no such protocol", name);
	return SCRIPT_SIMPLE;
}

struct option_row {
	const char *name;
	enum { TEXT, COUNT, SECONDS, FLAG } type;
	void *into;
};

static void set_option(const struct option_row *row, const char *value)
{
	char *end = NULL;

	switch (row->type) {
	case TEXT:
		*(const char **)row->into = value;
		return;
	case COUNT:
		*(uint64_t *)row->into = strtoull(value, &end, 10);
		break;
	case SECONDS:
		*(double *)row->into = strtod(value, &end);
		break;
	case FLAG:
		*(bool *)row->into = true;
		return;
	}
	if (*end != '\0')
		usage("not a number", value);
}

static void read_options(struct options *options, char **argv)
{
	const struct option_row rows[] = {
		{ "--host", TEXT, &options->host },           { "--port", COUNT, &options->port },
		{ "--user", TEXT, &options->user },           { "--database", TEXT, &options->database },
		{ "--password", TEXT, &options->password },   { "--clients", COUNT, &options->clients },
		{ "--protocol", TEXT, &options->protocol },   { "--range", COUNT, &options->range },
		{ "--leakers", COUNT, &options->leakers },    { "--warm-up", SECONDS, &options->warm_up_s },
		{ "--seconds", SECONDS, &options->seconds },  { "--transactions", COUNT, &options->transactions },
		{ "--rows", COUNT, &options->rows },          { "--row-bytes", COUNT, &options->row_bytes },
		{ "--limit", SECONDS, &options->limit_s },    { "--ticks", FLAG, &options->ticks },
		{ "--idle", FLAG, &options->idle },           { "--bulk", FLAG, &options->bulk },
		{ "--reconnect", FLAG, &options->reconnect }, { "--together", FLAG, &options->together },
	};
	size_t count = sizeof(rows) / sizeof(rows[0]);

	while (*++argv && strncmp(*argv, "--", 2) == 0) {
		size_t i = 0;
		while (i < count && strcmp(rows[i].name, *argv) != 0)
			i++;
		if (i == count || (rows[i].type != FLAG && !argv[1]))
			usage("unknown, or without its value", *argv);
		set_option(&rows[i], rows[i].type == FLAG ? NULL : *++argv);
	}
	if (!*argv || argv[1])
		usage("exactly one is needed", "QUERY");
	options->query = *argv;
}

static void check_options(const struct options *options)
{
	if (options->port == 0 || options->port > UINT16_MAX)
		usage("is needed", "--port");
	if (options->clients == 0 || options->clients > 1000000 || options->leakers > options->clients)
		usage("out of bounds", "--clients, --leakers");
	if (strstr(options->query, ":id") && options->range == 0)
		usage("is needed", "--range");
}

/* ---- what is said ---- */

static double since_1970(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void say_result(const struct crowd_counts *counts, double seconds)
{
	const struct histogram *latency = &counts->latency_ns;

	printf("result {\"seconds\": %.6f, \"transactions\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", \"login_errors\": %" PRIu64 ", \"reconnects\": %" PRIu64 ", \"evicted\": %" PRIu64,
	       seconds, counts->transactions, counts->errors, counts->lost, counts->login_errors, counts->reconnects,
	       counts->evicted);
	printf(", \"mean_us\": %.1f, \"p50_us\": %.1f, \"p95_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f"
	       ", \"max_us\": %.1f, \"codes\": {",
	       histogram_mean(latency) / 1e3, (double)histogram_percentile(latency, 0.50) / 1e3,
	       (double)histogram_percentile(latency, 0.95) / 1e3, (double)histogram_percentile(latency, 0.99) / 1e3,
	       (double)histogram_percentile(latency, 0.999) / 1e3, (double)latency->largest / 1e3);
	for (unsigned i = 0; i < CROWD_CODES && counts->codes[i].count > 0; i++)
		printf("%s\"%s\": %" PRIu64, i > 0 ? ", " : "", counts->codes[i].sqlstate, counts->codes[i].count);
	printf("}}\n");
}

/* When the time that is measured begins and ends, and how far the run is. */
struct schedule {
	const struct options *options;
	struct crowd *crowd;
	uint64_t begin_ns, end_ns, tick_ns;
	uint64_t bytes_at_begin;
	enum { WARMING, MEASURING, OVER } phase;
};

static void schedule_start(struct schedule *schedule, uint64_t now)
{
	schedule->begin_ns = now + (uint64_t)(schedule->options->warm_up_s * 1e9);
	schedule->end_ns = schedule->begin_ns + (uint64_t)(schedule->options->seconds * 1e9);
}

/* True at the moment in which a phase begins. */
static bool schedule_moves(struct schedule *schedule, uint64_t now)
{
	bool moves = (schedule->phase == WARMING && now >= schedule->begin_ns) ||
		     (schedule->phase == MEASURING && now >= schedule->end_ns);

	if (moves && schedule->phase == WARMING) {
		schedule->phase = MEASURING;
		schedule->end_ns = now + (schedule->end_ns - schedule->begin_ns);
		schedule->begin_ns = now;
		printf("begin\n");
	} else if (moves) {
		schedule->phase = OVER;
	}
	return moves;
}

static void schedule_tick(struct schedule *schedule, uint64_t now, uint64_t count)
{
	if (!schedule->options->ticks || now < schedule->tick_ns)
		return;
	schedule->tick_ns = now + TICK_NS;
	printf("at %.6f %" PRIu64 "\n", since_1970(), count);
}

/* ---- the kinds of load ---- */

static void connect_all(struct crowd *crowd)
{
	crowd_want(crowd, crowd->count);
	while (crowd->ready < crowd->count)
		crowd_serve(crowd, 100);
	printf("connected %u\n", crowd->count);
}

static void run_transactions(struct crowd *crowd)
{
	uint64_t begin = now_ns();

	crowd_run(crowd);
	while (crowd->finished < crowd->count)
		crowd_serve(crowd, 100);
	say_result(&crowd->counts, (double)(now_ns() - begin) / 1e9);
}

static _Noreturn void run_for_ever(struct crowd *crowd, const struct options *options)
{
	struct schedule schedule = { .options = options, .crowd = crowd };

	crowd_run(crowd);
	schedule_start(&schedule, now_ns());
	for (;;) {
		crowd_serve(crowd, 5);
		uint64_t now = now_ns();
		schedule_tick(&schedule, now, crowd->counts.transactions);
		if (!schedule_moves(&schedule, now))
			continue;
		if (schedule.phase == OVER)
			say_result(&crowd->counts, (double)(now - schedule.begin_ns) / 1e9);
		else
			memset(&crowd->counts, 0, sizeof(crowd->counts));
	}
}

static void run_idle(struct crowd *crowd)
{
	char line[64];

	crowd->limit = 1;
	crowd->calm = true;
	crowd->running = true;
	while (fgets(line, sizeof(line), stdin)) {
		uint32_t wanted = (uint32_t)atol(line);
		crowd_want(crowd, wanted);
		while (crowd->finished < crowd->wanted)
			crowd_serve(crowd, 100);
		printf("connected %u\n", crowd->wanted);
		if (crowd->counts.errors + crowd->counts.lost + crowd->counts.login_errors > 0)
			say_result(&crowd->counts, 0);
	}
}

static void bulk_progress(void *argument, uint64_t now, uint64_t bytes)
{
	struct schedule *schedule = argument;

	schedule_tick(schedule, now, bytes);
	if (!schedule_moves(schedule, now))
		return;
	if (schedule->phase == MEASURING)
		schedule->bytes_at_begin = bytes;
	else
		printf("result {\"seconds\": %.6f, \"bytes\": %" PRIu64 "}\n", (double)(now - schedule->begin_ns) / 1e9,
		       bytes - schedule->bytes_at_begin);
}

static _Noreturn void run_bulk(struct crowd *crowd, const struct options *options)
{
	struct schedule schedule = { .options = options, .crowd = crowd };
	struct bulk bulk = {
		.crowd = crowd,
		.query = options->query,
		.rows = options->rows,
		.row_bytes = (uint32_t)options->row_bytes,
		.progress = bulk_progress,
		.argument = &schedule,
	};

	printf("connected 1\n");
	schedule_start(&schedule, now_ns());
	bulk_run(&bulk);
}

static void raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void make_crowd(struct crowd *crowd, const struct options *options)
{
	script_init(&crowd->script, protocol_of(options->protocol), options->query, options->range);
	crowd->limit = options->transactions;
	crowd->reconnect = options->reconnect;
	crowd->together = options->together;
	crowd->password.text = options->password;
	crowd_init(crowd, options->host, (uint16_t)options->port, options->user, options->database,
		   (uint32_t)options->clients, (uint32_t)options->leakers);
}

int main(int argc, char **argv)
{
	struct options options = { .host = "127.0.0.1",
				   .user = "postgres",
				   .database = "postgres",
				   .protocol = "simple",
				   .clients = 1,
				   .seconds = 1,
				   .limit_s = 600 };
	static struct crowd crowd;

	(void)argc;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(&options, argv);
	check_options(&options);
	alarm((unsigned)options.limit_s + 1);
	raise_descriptors();
	make_crowd(&crowd, &options);
	if (options.bulk)
		run_bulk(&crowd, &options);
	if (options.idle) {
		run_idle(&crowd);
	} else {
		connect_all(&crowd);
		if (options.transactions == 0)
			run_for_ever(&crowd, &options);
		run_transactions(&crowd);
	}
	crowd_clear(&crowd);
	script_clear(&crowd.script);
	return 0;
}
