#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/resolver.h"
#include "pooler/thread.h"

Suite *resolver_suite(void);

/* ---- a DNS server on loopback, in a thread ---- */

#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define RCODE_SERVFAIL 2
#define RCODE_NXDOMAIN 3

enum manner { ANSWERS, SILENT, SILENT_TO_AAAA, GARBAGE, CUT_OFF, FAILS, SLOW };

/* What the server knows; everything else does not exist. */
static struct zone {
	const char *name;
	int v4; /* A records: 192.0.2.1 and so on */
	int v6; /* AAAA records: 2001:db8::1 and so on */
	uint32_t ttl;
	enum manner manner;
	const char *cname;  /* the records are this name's, and the link to it has a TTL of 5 */
	atomic_bool hidden; /* as if it did not exist */
	atomic_int queries;
} zones[] = {
	{ .name = "four.test", .v4 = 1, .ttl = 60 },
	{ .name = "six.test", .v6 = 1, .ttl = 60 },
	{ .name = "both.test", .v4 = 2, .v6 = 2, .ttl = 60 },
	{ .name = "empty.test", .ttl = 60 },
	{ .name = "many.test", .v4 = 30, .ttl = 60 },
	{ .name = "alias.test", .v4 = 1, .ttl = 600, .cname = "canonical.test" },
	{ .name = "zero.test", .v4 = 1, .ttl = 0 },
	{ .name = "second.test", .v4 = 1, .ttl = 1 },
	{ .name = "day.test", .v4 = 1, .ttl = 86400 },
	{ .name = "largest.test", .v4 = 1, .ttl = 0x7fffffff },
	{ .name = "negative.test", .v4 = 1, .ttl = 0xffffffff },
	{ .name = "broken.test", .manner = FAILS },
	{ .name = "silent.test", .manner = SILENT },
	{ .name = "half.test", .v4 = 1, .ttl = 60, .manner = SILENT_TO_AAAA },
	{ .name = "garbage.test", .manner = GARBAGE },
	{ .name = "cut.test", .v4 = 1, .ttl = 60, .manner = CUT_OFF },
	{ .name = "slow.test", .v4 = 1, .ttl = 60, .manner = SLOW },
};
#define ZONES (sizeof(zones) / sizeof(zones[0]))

#define UDP_ANSWER_BYTES 512 /* what is longer is asked for again over TCP */

static int server_fd;
static int server_tcp_fd;
static pthread_t server_thread;
static pthread_t server_tcp_thread;
static atomic_int tcp_queries;
static char server_address[32];

struct packet {
	uint8_t bytes[1500];
	size_t length;
};

static void put(struct packet *packet, const void *data, size_t bytes)
{
	ck_assert_uint_le(packet->length + bytes, sizeof(packet->bytes));
	memcpy(packet->bytes + packet->length, data, bytes);
	packet->length += bytes;
}

static void put_16(struct packet *packet, unsigned value)
{
	uint16_t wire = htons((uint16_t)value);

	put(packet, &wire, sizeof(wire));
}

static void put_32(struct packet *packet, uint32_t value)
{
	uint32_t wire = htonl(value);

	put(packet, &wire, sizeof(wire));
}

static void put_name(struct packet *packet, const char *name)
{
	while (*name) {
		uint8_t label = (uint8_t)strcspn(name, ".");
		put(packet, &label, 1);
		put(packet, name, label);
		name += label + (name[label] == '.');
	}
	put(packet, "", 1);
}

static void put_record(struct packet *packet, const char *name, unsigned type, uint32_t ttl, const void *data,
		       size_t bytes)
{
	put_name(packet, name);
	put_16(packet, type);
	put_16(packet, 1);
	put_32(packet, ttl);
	put_16(packet, (unsigned)bytes);
	put(packet, data, bytes);
}

static void put_addresses(struct packet *packet, const struct zone *zone, unsigned type)
{
	const char *name = zone->cname ? zone->cname : zone->name;
	uint8_t v4[4] = { 192, 0, 2, 0 };
	uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8 };

	if (zone->cname) {
		struct packet target = { .length = 0 };
		put_name(&target, zone->cname);
		put_record(packet, zone->name, TYPE_CNAME, 5, target.bytes, target.length);
	}
	for (v4[3] = 1; type == TYPE_A && v4[3] <= zone->v4; v4[3]++)
		put_record(packet, name, TYPE_A, zone->ttl, v4, sizeof(v4));
	for (v6[15] = 1; type == TYPE_AAAA && v6[15] <= zone->v6; v6[15]++)
		put_record(packet, name, TYPE_AAAA, zone->ttl, v6, sizeof(v6));
}

/* The name and type asked for; `query` is left with its header and question only. False: not a question. */
static bool read_question(struct packet *query, char name[256], unsigned *type)
{
	size_t at = 12;
	size_t length = 0;

	while (at < query->length && query->bytes[at]) {
		size_t label = query->bytes[at++];
		if (at + label >= query->length || length + label + 2 > 256)
			return false;
		memcpy(name + length, query->bytes + at, label);
		at += label;
		length += label;
		name[length++] = '.';
	}
	if (at + 5 > query->length)
		return false;
	name[length ? length - 1 : 0] = 0; /* "" is the root */
	*type = (unsigned)(query->bytes[at + 1] << 8 | query->bytes[at + 2]);
	query->length = at + 5;
	return true;
}

static void put_header(struct packet *answer, const struct packet *query, unsigned rcode, unsigned records)
{
	put(answer, query->bytes, 2);
	put_16(answer, 0x8180 | rcode);
	put_16(answer, 1);
	put_16(answer, records);
	put_32(answer, 0);
	put(answer, query->bytes + 12, query->length - 12);
}

static struct zone *zone_find(const char *name)
{
	for (size_t i = 0; i < ZONES; i++) {
		if (strcasecmp(zones[i].name, name) == 0)
			return &zones[i];
	}
	return NULL;
}

/* False: no answer. */
static bool make_answer(struct packet *answer, const struct packet *query, struct zone *zone, unsigned type)
{
	static const char garbage[] = "\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc0\x0c\xc0\x0c these are not DNS";
	unsigned records = !zone ? 0 : (unsigned)(type == TYPE_A ? zone->v4 : zone->v6) + (zone->cname != NULL);
	enum manner manner = zone ? zone->manner : ANSWERS;

	if (manner == SILENT || (manner == SILENT_TO_AAAA && type == TYPE_AAAA))
		return false;
	if (manner == SLOW)
		usleep(150000);
	put_header(answer, query, !zone ? RCODE_NXDOMAIN : manner == FAILS ? RCODE_SERVFAIL : 0, records);
	if (zone)
		put_addresses(answer, zone, type);
	if (manner == CUT_OFF)
		answer->length -= 6;
	if (manner == GARBAGE) { /* the right id, so that somebody looks at it */
		answer->length = 2;
		put(answer, garbage + 2, sizeof(garbage) - 2);
	}
	return true;
}

/* Fills `answer`. False: there is none. */
static bool answer_query(struct packet *answer, struct packet *query)
{
	char name[256];
	unsigned type;

	answer->length = 0;
	if (!read_question(query, name, &type))
		return false;
	struct zone *zone = zone_find(name);
	if (zone && zone->hidden)
		zone = NULL;
	if (zone && type == TYPE_A)
		zone->queries++;
	return make_answer(answer, query, zone, type);
}

static void cut_for_udp(struct packet *answer)
{
	if (answer->length <= UDP_ANSWER_BYTES)
		return;
	answer->length = UDP_ANSWER_BYTES;
	answer->bytes[2] |= 0x02; /* TC */
}

/* Ends by a packet of one byte. */
static void *server_run(void *unused)
{
	struct sockaddr_in asker;
	struct packet query;
	struct packet answer;

	(void)unused;
	for (;;) {
		socklen_t length = sizeof(asker);
		ssize_t count =
			recvfrom(server_fd, query.bytes, sizeof(query.bytes), 0, (struct sockaddr *)&asker, &length);
		if (count <= 1)
			return NULL;
		query.length = (size_t)count;
		if (!answer_query(&answer, &query))
			continue;
		cut_for_udp(&answer);
		sendto(server_fd, answer.bytes, answer.length, 0, (struct sockaddr *)&asker, length);
	}
}

/* One query each connection, length in front; the answer comes byte by byte. Ends by a connection without a query. */
static void *server_tcp_run(void *unused)
{
	uint8_t wire[2 + sizeof(((struct packet *)0)->bytes)];
	struct packet query;
	struct packet answer;

	(void)unused;
	for (;;) {
		int fd = accept(server_tcp_fd, NULL, NULL);
		ssize_t count = recv(fd, wire, sizeof(wire), 0);
		if (count <= 2) {
			close(fd);
			return NULL;
		}
		tcp_queries++;
		query.length = (size_t)count - 2;
		memcpy(query.bytes, wire + 2, query.length);
		if (answer_query(&answer, &query)) {
			wire[0] = (uint8_t)(answer.length >> 8);
			wire[1] = (uint8_t)answer.length;
			memcpy(wire + 2, answer.bytes, answer.length);
			for (size_t i = 0; i < answer.length + 2; i++)
				send(fd, wire + i, 1, MSG_NOSIGNAL);
		}
		recv(fd, wire, sizeof(wire), 0); /* until the asker closes */
		close(fd);
	}
}

static struct sockaddr_in server_bound_to(void)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	ck_assert_int_eq(getsockname(server_fd, (struct sockaddr *)&address, &length), 0);
	return address;
}

/* UDP and TCP on the same port, which somebody else may have for one of them. False: so it was. */
static bool server_bind(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	address = server_bound_to();
	server_tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server_tcp_fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return true;
	close(server_fd);
	close(server_tcp_fd);
	return false;
}

static void server_open(void)
{
	int tries = 0;

	while (!server_bind())
		ck_assert_int_lt(++tries, 100);
	ck_assert_int_eq(listen(server_tcp_fd, 10), 0);
	snprintf(server_address, sizeof(server_address), "127.0.0.1:%u", ntohs(server_bound_to().sin_port));
	ck_assert(thread_start(&server_thread, server_run, NULL, "dns"));
	ck_assert(thread_start(&server_tcp_thread, server_tcp_run, NULL, "dns tcp"));
}

static void server_close(void)
{
	struct sockaddr_in address = server_bound_to();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sendto(server_fd, "", 1, 0, (struct sockaddr *)&address, sizeof(address));
	pthread_join(server_thread, NULL);
	connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	pthread_join(server_tcp_thread, NULL);
	close(server_fd);
	close(server_tcp_fd);
}

static int queries_for(const char *name)
{
	return zone_find(name)->queries;
}

/* ---- the asker ---- */

static struct ev_loop *loop;
static struct mailbox main_box; /* the resolver's */
static struct mailbox asker_box;
static struct resolver *resolver;
static struct resolver_job *answers[256];
static uint64_t answered_us[256];
static int answer_count;
static int wanted;

static void resolver_open(uint64_t max_ttl_us, uint64_t failure_ttl_us)
{
	struct resolver_config config = { max_ttl_us, failure_ttl_us, server_address };
	const char *error = NULL;

	resolver = resolver_create(loop, &main_box, &config, &error);
	ck_assert_msg(resolver, "resolver_create: %s", error);
}

static void asker_open(void)
{
	server_open();
	loop = ev_loop_new(EVFLAG_AUTO);
	mailbox_init(&main_box, loop, NULL);
	mailbox_init(&asker_box, loop, NULL);
	resolver_open(3600 * USEC_PER_SEC, 300 * USEC_PER_MS);
}

static void forget_answers(void)
{
	for (int i = 0; i < answer_count; i++)
		free(answers[i]);
	answer_count = 0;
}

static void asker_close(void)
{
	resolver_free(resolver);
	mailbox_clear(&main_box);
	mailbox_clear(&asker_box);
	forget_answers();
	ev_loop_destroy(loop);
	server_close();
}

static void take_answer(void *owner, struct mail *mail)
{
	(void)owner;
	ck_assert_int_lt(answer_count, 256);
	answered_us[answer_count] = clock_now_us();
	answers[answer_count++] = (struct resolver_job *)mail;
	if (answer_count == wanted)
		ev_break(loop, EVBREAK_ALL);
}

static void ask(const char *name, uint16_t port)
{
	struct resolver_job *job = calloc(1, sizeof(*job));

	snprintf(job->name, sizeof(job->name), "%s", name);
	job->port = port;
	job->slot = port;
	job->mail.deliver = take_answer;
	job->reply_to = &asker_box;
	resolver_ask(resolver, job);
}

static void wait_for_answers(int count)
{
	wanted = count;
	if (answer_count < count)
		ev_run(loop, 0);
	ck_assert_int_eq(answer_count, count);
}

/* Asks one name; the answer is borrowed until the next call. */
static const struct resolver_job *answer_to(const char *name)
{
	forget_answers();
	ask(name, 5432);
	wait_for_answers(1);
	ck_assert_str_eq(answers[0]->name, name);
	return answers[0];
}

static void run_until_asked(const char *name)
{
	while (queries_for(name) == 0) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(1000);
	}
}

static bool answer_has(const struct resolver_job *job, const char *wanted_address)
{
	char address[ADDRESS_TEXT_BYTES];

	for (size_t i = 0; i < job->address_count; i++) {
		address_print(&job->addresses[i], address, sizeof(address));
		if (strcmp(address, wanted_address) == 0)
			return true;
	}
	return false;
}

struct row {
	const char *name;
	uint64_t ttl_s;
	char addresses[1024];
	int found;
};

static void row_note(void *context, const char *name, uint64_t ttl_s, const char *addresses)
{
	struct row *row = context;

	if (strcmp(name, row->name) != 0)
		return;
	row->found++;
	row->ttl_s = ttl_s;
	snprintf(row->addresses, sizeof(row->addresses), "%s", addresses);
}

static struct row row_of(const char *name)
{
	struct row row = { .name = name };

	resolver_each(resolver, row_note, &row);
	ck_assert_int_eq(row.found, 1);
	return row;
}

/* ---- what is found ---- */

START_TEST(finds_ipv4_addresses)
{
	const struct resolver_job *job = answer_to("four.test");

	ck_assert_uint_eq(job->address_count, 1);
	ck_assert(answer_has(job, "192.0.2.1:5432"));
	ck_assert_str_eq(job->error, "");
	ck_assert_uint_eq(job->slot, 5432);
}
END_TEST

START_TEST(finds_ipv6_addresses)
{
	const struct resolver_job *job = answer_to("six.test");

	ck_assert_uint_eq(job->address_count, 1);
	ck_assert(answer_has(job, "[2001:db8::1]:5432"));
}
END_TEST

START_TEST(finds_both_families)
{
	const struct resolver_job *job = answer_to("both.test");

	ck_assert_uint_eq(job->address_count, 4);
	ck_assert(answer_has(job, "192.0.2.1:5432") && answer_has(job, "192.0.2.2:5432"));
	ck_assert(answer_has(job, "[2001:db8::1]:5432") && answer_has(job, "[2001:db8::2]:5432"));
}
END_TEST

/* The answer is too long for UDP as well: it comes over TCP. */
START_TEST(more_addresses_than_fit_are_cut)
{
	ck_assert_uint_eq(answer_to("many.test")->address_count, RESOLVER_ADDRESSES_MAX);
	ck_assert_int_ge(tcp_queries, 1);
}
END_TEST

START_TEST(name_without_addresses_fails)
{
	const struct resolver_job *job = answer_to("empty.test");

	ck_assert_uint_eq(job->address_count, 0);
	ck_assert_str_eq(job->error, "the name has no address");
}
END_TEST

START_TEST(failing_server_is_a_failure)
{
	const struct resolver_job *job = answer_to("broken.test");

	ck_assert_uint_eq(job->address_count, 0);
	ck_assert_str_ne(job->error, "");
}
END_TEST

START_TEST(names_that_cannot_be_fail)
{
	static const char *const names[] = {
		"",     ".",        "..",
		"a..b", "-",        "a b",
		"a\n",  "\xff\xfe", "0123456789012345678901234567890123456789012345678901234567890123456789.test"
	};
	char longest[RESOLVER_NAME_BYTES_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct resolver_job *job = answer_to(names[i]);
		ck_assert_msg(job->address_count == 0 && job->error[0], "\"%s\" was found", names[i]);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	ck_assert_uint_eq(answer_to(longest)->address_count, 0);
}
END_TEST

/* Read by c-ares itself, without a query; the server does not know these names. */
START_TEST(names_of_the_hosts_file_are_found)
{
	char line[512];
	char address[64];
	char name[256];
	FILE *hosts = fopen("/etc/hosts", "r");

	while (hosts && fgets(line, sizeof(line), hosts)) {
		union address numeric;
		char expected[ADDRESS_TEXT_BYTES];
		if (sscanf(line, "%63s %255s", address, name) != 2 || address[0] == '#' || name[0] == '#')
			continue;
		if (!resolver_parse_numeric(address, 5432, &numeric))
			continue;
		address_print(&numeric, expected, sizeof(expected));
		const struct resolver_job *job = answer_to(name);
		ck_assert_msg(job->address_count > 0, "%s: %s", name, job->error);
		if (strncmp(address, "127.", 4) == 0)
			ck_assert_msg(answer_has(job, expected), "%s has not %s", name, expected);
	}
	if (hosts)
		fclose(hosts);
	const struct resolver_job *job = answer_to("localhost");
	ck_assert(answer_has(job, "127.0.0.1:5432") || answer_has(job, "[::1]:5432"));
}
END_TEST

/* Together in one test, because each takes its seconds. */
START_TEST(silence_and_garbage_end_in_a_timeout)
{
	static const char *const names[] = { "silent.test", "half.test", "garbage.test", "cut.test", "four.test" };
	static const size_t addresses[] = { 0, 1, 0, 0, 1 };
	uint64_t start_us = clock_now_us();

	for (uint16_t i = 0; i < 5; i++)
		ask(names[i], i);
	wait_for_answers(5);
	for (int i = 0; i < 5; i++) {
		uint64_t took_us = answered_us[i] - start_us;
		const struct resolver_job *job = answers[i];
		ck_assert_msg(job->address_count == addresses[job->port], "%s: %zu", job->name, job->address_count);
		ck_assert_int_eq(job->error[0] == 0, job->address_count > 0);
		/* Nobody waits for somebody else's silence. */
		ck_assert_msg(took_us < (job->port == 4 ? 1 : 8) * USEC_PER_SEC, "%s took %llu us", job->name,
			      (unsigned long long)took_us);
		if (job->port == 0)
			ck_assert_str_eq(job->error, "the DNS servers did not answer in time");
	}
	/* And all is well afterwards. */
	ck_assert_uint_eq(answer_to("both.test")->address_count, 4);
}
END_TEST

/* ---- what is remembered ---- */

START_TEST(answers_are_remembered)
{
	ck_assert_uint_eq(answer_to("four.test")->address_count, 1);
	ck_assert(answer_has(answer_to("four.test"), "192.0.2.1:5432"));
	ck_assert(answer_has(answer_to("Four.TEST"), "192.0.2.1:5432"));
	ck_assert_int_eq(queries_for("four.test"), 1);
	struct row row = row_of("four.test");
	ck_assert_uint_ge(row.ttl_s, 58);
	ck_assert_uint_le(row.ttl_s, 60);
	ck_assert_str_eq(row.addresses, "192.0.2.1");
}
END_TEST

START_TEST(answers_expire_and_their_ttl_never_goes_below_nothing)
{
	answer_to("second.test");
	answer_to("second.test");
	ck_assert_int_eq(queries_for("second.test"), 1);
	usleep(1200000);
	ck_assert_uint_eq(row_of("second.test").ttl_s, 0);
	ck_assert_uint_eq(answer_to("second.test")->address_count, 1);
	ck_assert_int_eq(queries_for("second.test"), 2);
}
END_TEST

START_TEST(failures_are_remembered_for_their_time)
{
	zone_find("four.test")->hidden = true;
	ck_assert_str_eq(answer_to("four.test")->error, "there is no such name");
	zone_find("four.test")->hidden = false;
	ck_assert_uint_eq(answer_to("four.test")->address_count, 0);
	ck_assert_int_eq(queries_for("four.test"), 0);
	ck_assert_str_eq(row_of("four.test").addresses, "");
	usleep(350000);
	ck_assert_uint_eq(answer_to("four.test")->address_count, 1);
	ck_assert_int_eq(queries_for("four.test"), 1);
}
END_TEST

START_TEST(ttl_of_zero_is_asked_again)
{
	for (int i = 1; i <= 3; i++) {
		ck_assert_uint_eq(answer_to("zero.test")->address_count, 1);
		ck_assert_int_eq(queries_for("zero.test"), i);
	}
	ck_assert_uint_eq(row_of("zero.test").ttl_s, 0);
}
END_TEST

START_TEST(ttl_is_bounded)
{
	answer_to("day.test");
	uint64_t ttl_s = row_of("day.test").ttl_s;
	ck_assert_uint_le(ttl_s, 3600);
	ck_assert_uint_ge(ttl_s, 3598);
}
END_TEST

START_TEST(ttl_is_the_lowest_of_the_chain)
{
	const struct resolver_job *job = answer_to("alias.test");

	ck_assert(answer_has(job, "192.0.2.1:5432"));
	ck_assert_uint_le(row_of("alias.test").ttl_s, 5);
}
END_TEST

/* Trap 85. */
START_TEST(huge_ttl_does_not_overflow)
{
	resolver_configure(resolver,
			   &(struct resolver_config){ .max_ttl_us = UINT64_MAX, .failure_ttl_us = UINT64_MAX });
	/* Reading the system's settings again has not made it forget its server: the test's stays in force. */
	answer_to("largest.test");
	uint64_t ttl_s = row_of("largest.test").ttl_s;
	ck_assert_uint_le(ttl_s, 0x7fffffff);
	ck_assert_uint_ge(ttl_s, 0x7fffffff - 2);
	ck_assert_uint_eq(answer_to("largest.test")->address_count, 1);
	ck_assert_int_eq(queries_for("largest.test"), 1);
	/* RFC 2181: as if it were 0. */
	ck_assert_uint_eq(answer_to("negative.test")->address_count, 1);
	ck_assert_uint_eq(row_of("negative.test").ttl_s, 0);
	/* The bound of failures comes from a setting. */
	answer_to("empty.test");
	ck_assert_uint_le(row_of("empty.test").ttl_s, 0x7fffffff);
	ck_assert_uint_ge(row_of("empty.test").ttl_s, 0x7fffffff - 2);
}
END_TEST

START_TEST(names_are_bounded)
{
	char name[32];
	size_t names;
	size_t pending;

	for (unsigned i = 0; i < RESOLVER_NAMES_MAX + 50; i++) {
		snprintf(name, sizeof(name), "name%u.test", i);
		answer_to(name);
	}
	resolver_counts(resolver, &names, &pending);
	ck_assert_uint_eq(names, RESOLVER_NAMES_MAX);
	ck_assert_uint_eq(pending, 0);
	ck_assert_uint_eq(answer_to("four.test")->address_count, 1);
}
END_TEST

/* ---- askers ---- */

START_TEST(many_askers_make_one_query)
{
	size_t names;
	size_t pending;

	for (uint16_t i = 0; i < 100; i++)
		ask(i % 2 ? "slow.test" : "SLOW.test", i);
	run_until_asked("slow.test");
	resolver_counts(resolver, &names, &pending);
	ck_assert_uint_eq(names, 1);
	ck_assert_uint_eq(pending, 1);
	wait_for_answers(100);
	ck_assert_int_eq(queries_for("slow.test"), 1);
	bool seen[100] = { false };
	for (int i = 0; i < 100; i++) {
		ck_assert_uint_eq(answers[i]->address_count, 1);
		ck_assert_uint_eq(address_port(&answers[i]->addresses[0]), answers[i]->port);
		seen[answers[i]->port] = true;
	}
	for (int i = 0; i < 100; i++)
		ck_assert(seen[i]);
	resolver_counts(resolver, &names, &pending);
	ck_assert_uint_eq(pending, 0);
}
END_TEST

static void *asker_run(void *unused)
{
	static const char *const names[] = { "four.test", "six.test", "both.test", "zero.test", "broken.test" };

	(void)unused;
	for (uint16_t i = 0; i < 50; i++)
		ask(names[i % 5], i);
	return NULL;
}

START_TEST(any_thread_may_ask)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert(thread_start(&threads[i], asker_run, NULL, "asker"));
	wait_for_answers(200);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 200; i++)
		ck_assert_msg((answers[i]->address_count > 0) == (strcmp(answers[i]->name, "broken.test") != 0),
			      "%s: %s", answers[i]->name, answers[i]->error);
}
END_TEST

static int open_descriptors(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/fd");

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

START_TEST(free_fails_the_jobs_that_wait)
{
	int before = open_descriptors();

	ask("silent.test", 1);
	ask("silent.test", 2);
	run_until_asked("silent.test");
	ask("four.test", 3); /* not delivered yet: it finds the resolver gone */
	ask("four.test", 4);
	resolver_free(resolver);
	resolver = NULL;
	mailbox_clear(&main_box);
	mailbox_init(&main_box, loop, NULL);
	wait_for_answers(4);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_eq(answers[i]->address_count, 0);
		ck_assert_str_eq(answers[i]->error, "the resolver was closed");
	}
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(sockets_do_not_stay_open)
{
	answer_to("four.test");
	int before = open_descriptors();
	answer_to("six.test");
	answer_to("both.test");
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

START_TEST(servers_that_are_none_are_an_error)
{
	struct resolver_config config = { 0, 0, "not an address" };
	const char *error = NULL;

	ck_assert_ptr_null(resolver_create(loop, &main_box, &config, &error));
	ck_assert_ptr_nonnull(error);
}
END_TEST

START_TEST(new_bounds_hold_for_new_answers)
{
	answer_to("day.test");
	resolver_configure(resolver, &(struct resolver_config){ .max_ttl_us = 10 * USEC_PER_SEC });
	ck_assert_uint_gt(row_of("day.test").ttl_s, 10);
	answer_to("both.test");
	ck_assert_uint_le(row_of("both.test").ttl_s, 10);
	answer_to("empty.test");
	ck_assert_uint_eq(row_of("empty.test").ttl_s, 0);
}
END_TEST

/* A reload in the middle of a query: the channel is changed only when nobody waits on the old one. */
START_TEST(configure_during_a_query_loses_nothing)
{
	ask("slow.test", 1);
	run_until_asked("slow.test");
	resolver_configure(resolver, &(struct resolver_config){ .max_ttl_us = USEC_PER_SEC });
	ask("four.test", 2);
	wait_for_answers(2);
	ck_assert_uint_eq(answers[0]->address_count, 1);
	ck_assert_uint_eq(answers[1]->address_count, 1);
	ck_assert_uint_eq(answer_to("six.test")->address_count, 1);
}
END_TEST

Suite *resolver_suite(void)
{
	Suite *suite = suite_create("resolver");
	TCase *cases = tcase_create("resolver");

	tcase_set_timeout(cases, 30);
	tcase_add_checked_fixture(cases, asker_open, asker_close);
	tcase_add_test(cases, finds_ipv4_addresses);
	tcase_add_test(cases, finds_ipv6_addresses);
	tcase_add_test(cases, finds_both_families);
	tcase_add_test(cases, more_addresses_than_fit_are_cut);
	tcase_add_test(cases, name_without_addresses_fails);
	tcase_add_test(cases, failing_server_is_a_failure);
	tcase_add_test(cases, names_that_cannot_be_fail);
	tcase_add_test(cases, names_of_the_hosts_file_are_found);
	tcase_add_test(cases, silence_and_garbage_end_in_a_timeout);
	tcase_add_test(cases, answers_are_remembered);
	tcase_add_test(cases, answers_expire_and_their_ttl_never_goes_below_nothing);
	tcase_add_test(cases, failures_are_remembered_for_their_time);
	tcase_add_test(cases, ttl_of_zero_is_asked_again);
	tcase_add_test(cases, ttl_is_bounded);
	tcase_add_test(cases, ttl_is_the_lowest_of_the_chain);
	tcase_add_test(cases, huge_ttl_does_not_overflow);
	tcase_add_test(cases, names_are_bounded);
	tcase_add_test(cases, many_askers_make_one_query);
	tcase_add_test(cases, any_thread_may_ask);
	tcase_add_test(cases, free_fails_the_jobs_that_wait);
	tcase_add_test(cases, sockets_do_not_stay_open);
	tcase_add_test(cases, servers_that_are_none_are_an_error);
	tcase_add_test(cases, new_bounds_hold_for_new_answers);
	tcase_add_test(cases, configure_during_a_query_loses_nothing);
	suite_add_tcase(suite, cases);
	return suite;
}
