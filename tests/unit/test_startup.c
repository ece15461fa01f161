#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/startup.h"
#include "tests/unit/guarded.h"
#include "tests/unit/seed.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct guarded guarded;

static void set_up(void)
{
	guarded_init(&guarded);
}

static void tear_down(void)
{
	guarded_clear(&guarded);
}

/* A packet with a length that fits, from its code and body. */
static struct pg_buffer packet_of(uint32_t code, const void *body, size_t bytes)
{
	struct pg_buffer packet = PG_BUFFER_EMPTY;
	pg_buffer_put_u32(&packet, (uint32_t)bytes + 8);
	pg_buffer_put_u32(&packet, code);
	pg_buffer_put_bytes(&packet, body, bytes);
	return packet;
}

static enum pg_result parse_packet(uint32_t code, const void *body, size_t bytes, struct pg_startup *startup)
{
	struct pg_buffer packet = packet_of(code, body, bytes);
	enum pg_result result =
		pg_startup_parse(guarded_put(&guarded, packet.data, packet.length), packet.length, startup);
	pg_buffer_clear(&packet);
	return result;
}

/* ---- the packet ---- */

#define VERSION_3 0x00030000u
#define CODE_CANCEL 80877102u
#define CODE_SSL 80877103u
#define CODE_GSSENC 80877104u

static const char session_body[] = "user\0alice\0database\0app\0application_name\0\0options\0-c a=b\0";

START_TEST(a_session_and_its_pairs)
{
	struct pg_startup startup;
	ck_assert_int_eq(parse_packet(VERSION_3, session_body, sizeof(session_body), &startup), PG_OK);
	ck_assert_int_eq(startup.kind, PG_STARTUP_SESSION);
	ck_assert_uint_eq(startup.total_bytes, sizeof(session_body) + 8);
	ck_assert_uint_eq(startup.major, 3);
	ck_assert_uint_eq(startup.minor, 0);
	ck_assert_uint_eq(startup.parameters_bytes, sizeof(session_body) - 1);

	/* Trap 13: an empty value is a value. */
	static const char *const expected[][2] = {
		{ "user", "alice" }, { "database", "app" }, { "application_name", "" }, { "options", "-c a=b" }
	};
	size_t at = 0;
	const char *name;
	const char *value;
	for (size_t i = 0; i < COUNT(expected); i++) {
		ck_assert_int_eq(pg_startup_next(&startup, &at, &name, &value), PG_OK);
		ck_assert_str_eq(name, expected[i][0]);
		ck_assert_str_eq(value, expected[i][1]);
	}
	ck_assert_int_eq(pg_startup_next(&startup, &at, &name, &value), PG_MORE);
	ck_assert_int_eq(pg_startup_next(&startup, &at, &name, &value), PG_MORE);
}
END_TEST

START_TEST(a_session_without_parameters)
{
	struct pg_startup startup;
	ck_assert_int_eq(parse_packet(VERSION_3, "", 1, &startup), PG_OK);
	ck_assert_uint_eq(startup.parameters_bytes, 0);
	size_t at = 0;
	const char *name;
	const char *value;
	ck_assert_int_eq(pg_startup_next(&startup, &at, &name, &value), PG_MORE);
}
END_TEST

START_TEST(versions_come_through)
{
	static const uint16_t versions[][2] = { { 1, 0 }, { 2, 0 },    { 3, 0 },       { 3, 2 },
						{ 4, 0 }, { 3, 9999 }, { 1234, 5677 }, { 0xffff, 0xffff } };
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct pg_startup startup;
		uint32_t code = (uint32_t)versions[i][0] << 16 | versions[i][1];
		ck_assert_int_eq(parse_packet(code, "user\0a\0", 8, &startup), PG_OK);
		ck_assert_int_eq(startup.kind, PG_STARTUP_SESSION);
		ck_assert_uint_eq(startup.major, versions[i][0]);
		ck_assert_uint_eq(startup.minor, versions[i][1]);
		ck_assert_uint_eq(startup.parameters_bytes, versions[i][0] == 3 ? 7 : 0);
	}
	/* Only version 3 is known to be made of pairs. */
	struct pg_startup startup;
	ck_assert_int_eq(parse_packet(0x00020000, "\1\2\3", 3, &startup), PG_OK);
	ck_assert_ptr_null(startup.parameters);
	ck_assert_int_eq(parse_packet(VERSION_3, "\1\2\3", 3, &startup), PG_BAD);
}
END_TEST

START_TEST(requests)
{
	struct pg_startup startup;
	ck_assert_int_eq(parse_packet(CODE_SSL, "", 0, &startup), PG_OK);
	ck_assert_int_eq(startup.kind, PG_STARTUP_SSL_REQUEST);
	ck_assert_uint_eq(startup.total_bytes, 8);
	ck_assert_int_eq(parse_packet(CODE_GSSENC, "", 0, &startup), PG_OK);
	ck_assert_int_eq(startup.kind, PG_STARTUP_GSSENC_REQUEST);
	ck_assert_int_eq(parse_packet(CODE_SSL, "x", 1, &startup), PG_BAD);
	ck_assert_int_eq(parse_packet(CODE_GSSENC, "x", 1, &startup), PG_BAD);
}
END_TEST

/* Trap 17, the packet that comes back: keys of 1 to 256 bytes. */
START_TEST(cancel_keys)
{
	uint8_t body[4 + 300];
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i + 1);
	for (size_t key_bytes = 0; key_bytes <= 300; key_bytes++) {
		struct pg_startup startup;
		enum pg_result result = parse_packet(CODE_CANCEL, body, 4 + key_bytes, &startup);
		if (key_bytes < 1 || key_bytes > PG_CANCEL_KEY_BYTES_MAX) {
			ck_assert_int_eq(result, PG_BAD);
			continue;
		}
		ck_assert_int_eq(result, PG_OK);
		ck_assert_int_eq(startup.kind, PG_STARTUP_CANCEL_REQUEST);
		ck_assert_uint_eq(startup.process_id, 0x01020304);
		ck_assert_uint_eq(startup.key_bytes, key_bytes);
		ck_assert_mem_eq(startup.key, body + 4, key_bytes);
	}
	struct pg_startup startup;
	ck_assert_int_eq(parse_packet(CODE_CANCEL, body, 3, &startup), PG_BAD);
	ck_assert_int_eq(parse_packet(CODE_CANCEL, body, 0, &startup), PG_BAD);
}
END_TEST

/* Trap 5: one byte at a time, and the next message behind it. */
START_TEST(every_prefix_asks_for_more)
{
	struct pg_buffer packets[] = {
		packet_of(VERSION_3, session_body, sizeof(session_body)),
		packet_of(CODE_CANCEL, "\0\0\0\1\0\0\0\2", 8),
		packet_of(CODE_SSL, "", 0),
		packet_of(CODE_GSSENC, "", 0),
		packet_of(0x00020000, "anything", 8),
	};
	for (size_t i = 0; i < COUNT(packets); i++) {
		struct pg_startup startup;
		for (size_t size = 0; size < packets[i].length; size++) {
			const uint8_t *at = guarded_put(&guarded, packets[i].data, size);
			ck_assert_int_eq(pg_startup_parse(at, size, &startup), PG_MORE);
		}
		size_t bytes = packets[i].length;
		pg_buffer_put_string(&packets[i], "p: the next message");
		const uint8_t *at = guarded_put(&guarded, packets[i].data, packets[i].length);
		ck_assert_int_eq(pg_startup_parse(at, packets[i].length, &startup), PG_OK);
		ck_assert_uint_eq(startup.total_bytes, bytes);
		pg_buffer_clear(&packets[i]);
	}
}
END_TEST

/* Trap 1: refused as soon as the length is there, before anything is gathered. */
START_TEST(wrong_lengths_are_bad_at_once)
{
	static const uint32_t lengths[] = { 0, 1, 4, 7, PG_STARTUP_BYTES_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff };
	for (size_t i = 0; i < COUNT(lengths); i++) {
		const uint8_t bytes[] = { (uint8_t)(lengths[i] >> 24), (uint8_t)(lengths[i] >> 16),
					  (uint8_t)(lengths[i] >> 8), (uint8_t)lengths[i] };
		struct pg_startup startup;
		ck_assert_int_eq(pg_startup_parse(guarded_put(&guarded, bytes, 4), 4, &startup), PG_BAD);
	}
	/* A cancel request too long by its length alone. */
	static const uint8_t cancel[] = { 0, 0, 0x27, 0x10, 4, 0xd2, 0x16, 0x2e };
	struct pg_startup startup;
	ck_assert_int_eq(pg_startup_parse(guarded_put(&guarded, cancel, 8), 8, &startup), PG_BAD);
}
END_TEST

START_TEST(wrong_layouts_are_bad)
{
	static const struct {
		const char *body;
		size_t bytes;
	} layouts[] = {
		{ "", 0 },                          /* nothing, not even the end */
		{ "user", 4 },                      /* a name without NUL */
		{ "user", 5 },                      /* without a value */
		{ "user\0a", 6 },                   /* a value without NUL */
		{ "user\0a", 7 },                   /* no end */
		{ "user\0a\0\0", 9 },               /* something after the end */
		{ "user\0a\0\0database\0a\0", 20 }, /* pairs after the end */
		{ "\0a\0", 4 },                     /* an empty name with a value */
	};
	for (size_t i = 0; i < COUNT(layouts); i++) {
		struct pg_startup startup;
		ck_assert_int_eq(parse_packet(VERSION_3, layouts[i].body, layouts[i].bytes, &startup), PG_BAD);
	}
}
END_TEST

/* A packet that ends early and says so in its length. */
START_TEST(every_shorter_session_is_bad)
{
	for (size_t bytes = 0; bytes < sizeof(session_body); bytes++) {
		struct pg_startup startup;
		ck_assert_int_eq(parse_packet(VERSION_3, session_body, bytes, &startup), PG_BAD);
	}
}
END_TEST

/* Trap 8: long names and strange bytes are reported whole; refusing them is the caller's. */
START_TEST(long_and_strange_names_come_whole)
{
	static const size_t lengths[] = { 63, 64, 1024, 9900 };
	for (size_t i = 0; i < COUNT(lengths); i++) {
		char name[10000];
		memset(name, 0xfe, lengths[i]);
		name[lengths[i]] = '\0';
		struct pg_buffer body = PG_BUFFER_EMPTY;
		pg_buffer_put_string(&body, "user");
		pg_buffer_put_string(&body, name);
		pg_buffer_put_u8(&body, 0);
		struct pg_startup startup;
		ck_assert_int_eq(parse_packet(VERSION_3, body.data, body.length, &startup), PG_OK);
		size_t at = 0;
		const char *key;
		const char *value;
		ck_assert_int_eq(pg_startup_next(&startup, &at, &key, &value), PG_OK);
		ck_assert_str_eq(key, "user");
		ck_assert_str_eq(value, name);
		pg_buffer_clear(&body);
	}
}
END_TEST

START_TEST(the_longest_packet_is_good)
{
	char body[PG_STARTUP_BYTES_MAX - 8];
	memset(body, 'x', sizeof(body));
	memcpy(body, "user", 5);
	memset(body + sizeof(body) - 2, 0, 2);
	struct pg_startup startup;
	ck_assert_int_eq(parse_packet(VERSION_3, body, sizeof(body), &startup), PG_OK);
	ck_assert_uint_eq(startup.total_bytes, PG_STARTUP_BYTES_MAX);
}
END_TEST

/* Whatever comes: an answer, no byte past the end, and pairs that stay inside. */
START_TEST(random_packets)
{
	static const uint32_t codes[] = { VERSION_3, VERSION_3, VERSION_3 + 2, CODE_CANCEL, CODE_SSL, 0x00020000 };
	const unsigned first_seed = seed_or(20240611);
	unsigned seed = first_seed;
	size_t good = 0;
	for (int round = 0; round < 200000; round++) {
		uint8_t body[40];
		size_t bytes = (size_t)rand_r(&seed) % sizeof(body);
		for (size_t i = 0; i < bytes; i++) /* many NULs, else hardly one is ever good */
			body[i] = rand_r(&seed) % 3 ? (uint8_t)rand_r(&seed) : 0;
		struct pg_startup startup;
		uint32_t code = codes[(size_t)rand_r(&seed) % COUNT(codes)];
		enum pg_result result = parse_packet(code, body, bytes, &startup);
		ck_assert_msg(result != PG_MORE, "seed %u", first_seed);
		if (result != PG_OK || startup.kind != PG_STARTUP_SESSION)
			continue;
		size_t at = 0;
		const char *name;
		const char *value;
		while (pg_startup_next(&startup, &at, &name, &value) == PG_OK)
			good += strlen(name) > 0 && strlen(value) < sizeof(body);
		ck_assert_msg(at == startup.parameters_bytes, "seed %u", first_seed);
	}
	ck_assert_uint_gt(good, 100);
}
END_TEST

/* ---- options ---- */

static const struct {
	const char *options;
	const char *pairs;
	size_t pairs_bytes;
} good_options[] = {
#define PAIRS(text) text, sizeof(text)
#define NO_PAIRS "", 0
	{ "", NO_PAIRS },
	{ " \t\n\v\f\r ", NO_PAIRS },
	{ "-c a=b", PAIRS("a\0b") },
	{ "-ca=b", PAIRS("a\0b") },
	{ "--a=b", PAIRS("a\0b") },
	{ "  -c\ta=b\n--c=d  ", PAIRS("a\0b\0c\0d") },
	{ "--statement-timeout=5-s", PAIRS("statement_timeout\0005-s") },
	{ "-c lock-timeout=5-s", PAIRS("lock_timeout\0005-s") },
	{ "-c my.setting=x", PAIRS("my.setting\0x") },
	/* Trap 13: quotes, backslashes and several values; and an empty one. */
	{ "-c search_path=\"$user\",\\ public", PAIRS("search_path\0\"$user\", public") },
	{ "-c a=it's\\\\", PAIRS("a\0it's\\") },
	{ "-c a=", PAIRS("a\0") },
	{ "-c a=b=c", PAIRS("a\0b=c") },
	{ "-c a=b\\", PAIRS("a\0b") },
	{ "-c a=\\\tb", PAIRS("a\0\tb") },
	{ "\\-c a=b", PAIRS("a\0b") },
	{ "-c a=\xff\xfe", PAIRS("a\0\xff\xfe") },
	{ "-c a=1 -c a=2", PAIRS("a\0001\0a\0002") },
};

START_TEST(options_become_pairs)
{
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	pg_buffer_put_string(&pairs, "before");
	char error[64] = "untouched";
	const char *options = good_options[_i].options;
	options = (const char *)guarded_put(&guarded, options, strlen(options) + 1);
	ck_assert_int_eq(pg_startup_parse_options(options, &pairs, error, sizeof(error)), PG_OK);
	ck_assert_uint_eq(pairs.length, 7 + good_options[_i].pairs_bytes);
	ck_assert_mem_eq(pairs.data + 7, good_options[_i].pairs, good_options[_i].pairs_bytes);
	ck_assert_str_eq(error, "untouched");
	pg_buffer_clear(&pairs);
}
END_TEST

static const struct {
	const char *options;
	const char *named; /* in the error */
} bad_options[] = {
	{ "-c", "\"-c\"" },     { "-c a", "\"a\"" },     { "-ca", "\"-ca\"" },      { "--a", "\"--a\"" },
	{ "--", "\"--\"" },     { "--=x", "\"--=x\"" },  { "-c =x", "\"=x\"" },     { "-d 3", "\"-d\"" },
	{ "word", "\"word\"" }, { "-c a=b x", "\"x\"" }, { "-c a=b -c", "\"-c\"" }, { "-", "\"-\"" },
	{ "\\", "\"\"" },       { "-c \\", "\"\"" },     { "-c a\\=b c", "\"c\"" }, { "--a b=c", "\"--a\"" },
	{ "-e", "\"-e\"" },     { "-fs", "\"-fs\"" },    { "-C a=b", "\"-C\"" },
};

START_TEST(other_options_are_bad_and_named)
{
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	pg_buffer_put_string(&pairs, "before");
	char error[100] = "";
	ck_assert_int_eq(pg_startup_parse_options(bad_options[_i].options, &pairs, error, sizeof(error)), PG_BAD);
	ck_assert_msg(strstr(error, bad_options[_i].named) != NULL, "\"%s\" does not name %s", error,
		      bad_options[_i].named);
	ck_assert_uint_eq(pairs.length, 7);
	pg_buffer_clear(&pairs);
}
END_TEST

START_TEST(an_error_is_cut_to_its_room)
{
	char options[5000];
	memset(options, 'x', sizeof(options));
	options[sizeof(options) - 1] = '\0';
	for (size_t bytes = 1; bytes < 80; bytes++) {
		struct pg_buffer pairs = PG_BUFFER_EMPTY;
		char *error = (char *)(guarded.end - bytes);
		ck_assert_int_eq(pg_startup_parse_options(options, &pairs, error, bytes), PG_BAD);
		ck_assert_uint_eq(strlen(error), bytes - 1);
		pg_buffer_clear(&pairs);
	}
}
END_TEST

START_TEST(options_without_memory_are_bad)
{
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	ck_assert(!pg_buffer_reserve(&pairs, SIZE_MAX));
	char error[40] = "";
	ck_assert_int_eq(pg_startup_parse_options("-c a=b", &pairs, error, sizeof(error)), PG_BAD);
	ck_assert_str_eq(error, "out of memory");
}
END_TEST

/* ---- builders ---- */

START_TEST(a_built_session_parses)
{
	struct pg_buffer packet = PG_BUFFER_EMPTY;
	pg_buffer_put_string(&packet, "before");
	pg_startup_put_session(&packet, "al\"ice", "app", (const uint8_t *)"a\0b\0c\0", 7);
	ck_assert(!packet.failed);
	static const char expected[] = "user\0al\"ice\0database\0app\0a\0b\0c\0\0";
	struct pg_startup startup;
	const uint8_t *at = guarded_put(&guarded, packet.data + 7, packet.length - 7);
	ck_assert_int_eq(pg_startup_parse(at, packet.length - 7, &startup), PG_OK);
	ck_assert_uint_eq(startup.total_bytes, packet.length - 7);
	ck_assert_uint_eq(startup.major, 3);
	ck_assert_uint_eq(startup.minor, 0);
	ck_assert_uint_eq(startup.parameters_bytes, sizeof(expected) - 1);
	ck_assert_mem_eq(startup.parameters, expected, sizeof(expected));
	pg_buffer_clear(&packet);
}
END_TEST

START_TEST(a_session_without_database)
{
	struct pg_buffer packet = PG_BUFFER_EMPTY;
	pg_startup_put_session(&packet, "a", NULL, NULL, 0);
	static const uint8_t expected[] = { 0, 0, 0, 16, 0, 3, 0, 0, 'u', 's', 'e', 'r', 0, 'a', 0, 0 };
	ck_assert_uint_eq(packet.length, sizeof(expected));
	ck_assert_mem_eq(packet.data, expected, sizeof(expected));
	pg_buffer_clear(&packet);
}
END_TEST

START_TEST(a_session_that_is_too_long_fails)
{
	char name[PG_STARTUP_BYTES_MAX];
	for (int over = 0; over < 2; over++) {
		/* 8 bytes head, "user" NUL, the name's NUL, the end */
		size_t length = PG_STARTUP_BYTES_MAX - 8 - 5 - 1 - 1 + (size_t)over;
		memset(name, 'x', length);
		name[length] = '\0';
		struct pg_buffer packet = PG_BUFFER_EMPTY;
		pg_startup_put_session(&packet, name, NULL, NULL, 0);
		ck_assert_int_eq(packet.failed, over);
		pg_buffer_clear(&packet);
	}
}
END_TEST

START_TEST(built_requests)
{
	struct pg_buffer packet = PG_BUFFER_EMPTY;
	pg_startup_put_ssl_request(&packet);
	pg_startup_put_cancel(&packet, 0x01020304, (const uint8_t *)"\5\6\7\10", 4);
	static const uint8_t expected[] = { 0, 0,    0,    8,    4, 0xd2, 0x16, 0x2f, 0, 0, 0, 16,
					    4, 0xd2, 0x16, 0x2e, 1, 2,    3,    4,    5, 6, 7, 8 };
	ck_assert(!packet.failed);
	ck_assert_uint_eq(packet.length, sizeof(expected));
	ck_assert_mem_eq(packet.data, expected, sizeof(expected));
	pg_buffer_clear(&packet);
}
END_TEST

/* Trap 17: no key of zero length, none too long. */
START_TEST(a_cancel_needs_a_good_key)
{
	static const uint8_t key[PG_CANCEL_KEY_BYTES_MAX + 1] = { 1 };
	static const size_t bad_lengths[] = { 0, PG_CANCEL_KEY_BYTES_MAX + 1 };
	for (size_t i = 0; i < COUNT(bad_lengths); i++) {
		struct pg_buffer packet = PG_BUFFER_EMPTY;
		pg_startup_put_cancel(&packet, 1, key, bad_lengths[i]);
		ck_assert(packet.failed);
		ck_assert_uint_eq(packet.length, 0);
		pg_buffer_clear(&packet);
	}
	struct pg_buffer packet = PG_BUFFER_EMPTY;
	pg_startup_put_cancel(&packet, 1, key, PG_CANCEL_KEY_BYTES_MAX);
	struct pg_startup startup;
	ck_assert(!packet.failed);
	ck_assert_int_eq(pg_startup_parse(packet.data, packet.length, &startup), PG_OK);
	ck_assert_uint_eq(startup.key_bytes, PG_CANCEL_KEY_BYTES_MAX);
	pg_buffer_clear(&packet);
}
END_TEST

static void add_packet_tests(TCase *tcase)
{
	tcase_add_test(tcase, a_session_and_its_pairs);
	tcase_add_test(tcase, a_session_without_parameters);
	tcase_add_test(tcase, versions_come_through);
	tcase_add_test(tcase, requests);
	tcase_add_test(tcase, cancel_keys);
	tcase_add_test(tcase, every_prefix_asks_for_more);
	tcase_add_test(tcase, wrong_lengths_are_bad_at_once);
	tcase_add_test(tcase, wrong_layouts_are_bad);
	tcase_add_test(tcase, every_shorter_session_is_bad);
	tcase_add_test(tcase, long_and_strange_names_come_whole);
	tcase_add_test(tcase, the_longest_packet_is_good);
	tcase_add_test(tcase, random_packets);
}

static void add_options_tests(TCase *tcase)
{
	tcase_add_loop_test(tcase, options_become_pairs, 0, (int)COUNT(good_options));
	tcase_add_loop_test(tcase, other_options_are_bad_and_named, 0, (int)COUNT(bad_options));
	tcase_add_test(tcase, an_error_is_cut_to_its_room);
	tcase_add_test(tcase, options_without_memory_are_bad);
}

static void add_builder_tests(TCase *tcase)
{
	tcase_add_test(tcase, a_built_session_parses);
	tcase_add_test(tcase, a_session_without_database);
	tcase_add_test(tcase, a_session_that_is_too_long_fails);
	tcase_add_test(tcase, built_requests);
	tcase_add_test(tcase, a_cancel_needs_a_good_key);
}

Suite *startup_suite(void);
Suite *startup_suite(void)
{
	Suite *suite = suite_create("startup");
	TCase *tcase = tcase_create("startup");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	add_packet_tests(tcase);
	add_options_tests(tcase);
	add_builder_tests(tcase);
	suite_add_tcase(suite, tcase);
	return suite;
}
