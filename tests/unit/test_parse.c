#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/buffer.h"
#include "protocol/parse.h"
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

/* ---- each parser under one signature, for what holds for all of them ---- */

static enum pg_result any_error(const uint8_t *body, size_t size)
{
	struct pg_error_fields fields;
	enum pg_result result = pg_parse_error(body, size, &fields);
	/* Trap 3: whatever the answer is, no field is ever NULL or runs past the end. */
	ck_assert_uint_le(strlen(fields.severity) + strlen(fields.sqlstate) + strlen(fields.message) +
				  strlen(fields.detail) + strlen(fields.hint),
			  size);
	return result;
}

static enum pg_result any_parameter_status(const uint8_t *body, size_t size)
{
	struct pg_parameter_status status;
	enum pg_result result = pg_parse_parameter_status(body, size, &status);
	if (result == PG_OK)
		ck_assert_uint_eq(strlen(status.name) + strlen(status.value) + 2, size);
	return result;
}

static enum pg_result any_ready(const uint8_t *body, size_t size)
{
	enum pg_transaction_status status;
	return pg_parse_ready(body, size, &status);
}

static enum pg_result any_cancel_key(const uint8_t *body, size_t size)
{
	struct pg_cancel_key key;
	return pg_parse_cancel_key(body, size, &key);
}

static enum pg_result any_authentication(const uint8_t *body, size_t size)
{
	struct pg_authentication_request request;
	enum pg_result result = pg_parse_authentication(body, size, &request);
	if (result == PG_OK)
		ck_assert_uint_le(request.payload_bytes + 4, size);
	return result;
}

static enum pg_result any_password(const uint8_t *body, size_t size)
{
	const char *password;
	enum pg_result result = pg_parse_password(body, size, &password);
	if (result == PG_OK)
		ck_assert_uint_eq(strlen(password) + 1, size);
	return result;
}

static enum pg_result any_sasl_initial(const uint8_t *body, size_t size)
{
	struct pg_sasl_initial initial;
	enum pg_result result = pg_parse_sasl_initial(body, size, &initial);
	if (result == PG_OK)
		ck_assert_uint_eq(strlen(initial.mechanism) + 5 + initial.data_bytes, size);
	return result;
}

static enum pg_result any_parse(const uint8_t *body, size_t size)
{
	struct pg_parse_message message;
	enum pg_result result = pg_parse_parse(body, size, &message);
	if (result == PG_OK)
		ck_assert_uint_eq(strlen(message.name) + strlen(message.query) + 4 + 4 * (size_t)message.type_count,
				  size);
	return result;
}

static enum pg_result any_named_target(const uint8_t *body, size_t size)
{
	struct pg_named_target target;
	enum pg_result result = pg_parse_named_target(body, size, &target);
	if (result == PG_OK)
		ck_assert_uint_eq(strlen(target.name) + 2, size);
	return result;
}

static enum pg_result any_query(const uint8_t *body, size_t size)
{
	const char *query;
	return pg_parse_query(body, size, &query);
}

static enum pg_result any_bind_head(const uint8_t *body, size_t size)
{
	struct pg_bind_head head;
	enum pg_result result = pg_parse_bind_head(body, size, &head);
	if (result == PG_OK)
		ck_assert_uint_eq(strlen(head.portal) + strlen(head.statement) + 2, head.head_bytes);
	return result;
}

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct whole_case {
	const char *name;
	enum pg_result (*parse)(const uint8_t *body, size_t size);
	const uint8_t *body;
	size_t size;
	bool open_end; /* longer ones are good too */
} whole_cases[] = {
	{ "error", any_error, BYTES("SFEHLER\0VERROR\0C42601\0Mno\0Ddetail\0Hhint\0P7\0\0"), false },
	{ "parameter status", any_parameter_status, BYTES("TimeZone\0UTC\0"), false },
	{ "ready", any_ready, BYTES("I"), false },
	{ "cancel key", any_cancel_key, BYTES("\0\0\0\1k"), true },
	{ "authentication ok", any_authentication, BYTES("\0\0\0\0"), false },
	{ "authentication cleartext", any_authentication, BYTES("\0\0\0\3"), false },
	{ "authentication md5", any_authentication, BYTES("\0\0\0\5salt"), false },
	{ "authentication sasl", any_authentication, BYTES("\0\0\0\12SCRAM-SHA-256\0\0"), false },
	{ "authentication sasl continue", any_authentication, BYTES("\0\0\0\13"), true },
	{ "password", any_password, BYTES("secret\0"), false },
	{ "sasl initial", any_sasl_initial, BYTES("SCRAM-SHA-256\0\0\0\0\3n,,"), false },
	{ "sasl initial without data", any_sasl_initial, BYTES("SCRAM-SHA-256\0\xff\xff\xff\xff"), false },
	{ "parse", any_parse, BYTES("s1\0select $1\0\0\2\0\0\0\27\0\0\0\31"), false },
	{ "describe", any_named_target, BYTES("Ss1\0"), false },
	{ "close", any_named_target, BYTES("P\0"), false },
	{ "query", any_query, BYTES("select 1\0"), false },
};

/* A body that ends early, against a page that nobody may read. */
START_TEST(every_prefix_is_bad)
{
	const struct whole_case *it = &whole_cases[_i];
	for (size_t size = 0; size < it->size; size++)
		ck_assert_msg(it->parse(guarded_put(&guarded, it->body, size), size) == PG_BAD, "%s, %zu bytes",
			      it->name, size);
	ck_assert_msg(it->parse(guarded_put(&guarded, it->body, it->size), it->size) == PG_OK, "%s", it->name);
}
END_TEST

START_TEST(a_byte_too_many_is_bad)
{
	const struct whole_case *it = &whole_cases[_i];
	uint8_t body[256];
	memcpy(body, it->body, it->size);
	for (int extra = 0; extra < 256; extra++) {
		body[it->size] = (uint8_t)extra;
		enum pg_result result = it->parse(guarded_put(&guarded, body, it->size + 1), it->size + 1);
		ck_assert_msg(result == (it->open_end ? PG_OK : PG_BAD), "%s, %d", it->name, extra);
	}
}
END_TEST

/* Every byte of every message replaced, and random bodies: an answer, and nothing read past the end. */
START_TEST(damaged_bodies)
{
	const struct whole_case *it = &whole_cases[_i];
	uint8_t body[256];
	for (size_t at = 0; at < it->size; at++) {
		for (int value = 0; value < 256; value++) {
			memcpy(body, it->body, it->size);
			body[at] = (uint8_t)value;
			ck_assert_int_ne(it->parse(guarded_put(&guarded, body, it->size), it->size), PG_MORE);
		}
	}
	const unsigned first_seed = seed_or(77);
	unsigned seed = first_seed;
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)rand_r(&seed) % 32;
		for (size_t i = 0; i < size; i++)
			body[i] = rand_r(&seed) % 3 ? (uint8_t)rand_r(&seed) : 0;
		ck_assert_msg(it->parse(guarded_put(&guarded, body, size), size) != PG_MORE, "seed %u", first_seed);
	}
}
END_TEST

/* ---- from the server ---- */

static enum pg_result parse_error(const void *body, size_t size, struct pg_error_fields *fields)
{
	return pg_parse_error(guarded_put(&guarded, body, size), size, fields);
}

START_TEST(error_fields)
{
	struct pg_error_fields fields;
	static const char body[] = "SFEHLER\0VERROR\0C42601\0Mno such thing\0Dmore\0Htry\0P7\0Fscan.l\0L1\0Rf\0";
	ck_assert_int_eq(parse_error(body, sizeof(body), &fields), PG_OK);
	ck_assert_str_eq(fields.severity, "ERROR");
	ck_assert_str_eq(fields.sqlstate, "42601");
	ck_assert_str_eq(fields.message, "no such thing");
	ck_assert_str_eq(fields.detail, "more");
	ck_assert_str_eq(fields.hint, "try");
}
END_TEST

START_TEST(the_plain_severity_wins_in_any_order)
{
	struct pg_error_fields fields;
	ck_assert_int_eq(parse_error("VFATAL\0SFATALE\0", 16, &fields), PG_OK);
	ck_assert_str_eq(fields.severity, "FATAL");
	ck_assert_int_eq(parse_error("SFATALE\0VFATAL\0", 16, &fields), PG_OK);
	ck_assert_str_eq(fields.severity, "FATAL");
	ck_assert_int_eq(parse_error("SFATALE\0", 9, &fields), PG_OK);
	ck_assert_str_eq(fields.severity, "FATALE");
	ck_assert_int_eq(parse_error("V\0SFATAL\0", 10, &fields), PG_OK);
	ck_assert_str_eq(fields.severity, "");
}
END_TEST

/* Trap 3. */
START_TEST(errors_without_fields)
{
	struct pg_error_fields fields;
	ck_assert_int_eq(parse_error("", 1, &fields), PG_OK);
	ck_assert_str_eq(fields.severity, "");
	ck_assert_str_eq(fields.sqlstate, "");
	ck_assert_str_eq(fields.message, "");
	ck_assert_str_eq(fields.detail, "");
	ck_assert_str_eq(fields.hint, "");
	ck_assert_int_eq(parse_error("MI have no code\0", 17, &fields), PG_OK);
	ck_assert_str_eq(fields.sqlstate, "");
	ck_assert_str_eq(fields.message, "I have no code");
	ck_assert_int_eq(parse_error("", 0, &fields), PG_BAD);
	ck_assert_str_eq(fields.message, "");
	ck_assert_int_eq(parse_error("MI do not end\0", 14, &fields), PG_BAD);
	ck_assert_str_eq(fields.message, "I do not end");
}
END_TEST

/* Trap 13: what the server says comes out as it was said. */
START_TEST(parameter_values)
{
	static const char *const values[] = { "", "UTC", "\"$user\", public", "it's", "back\\slash", "a\xc3\xa9\xff\n" };
	for (size_t i = 0; i < COUNT(values); i++) {
		struct pg_buffer body = PG_BUFFER_EMPTY;
		pg_buffer_put_string(&body, "search_path");
		pg_buffer_put_string(&body, values[i]);
		struct pg_parameter_status status;
		const uint8_t *at = guarded_put(&guarded, body.data, body.length);
		ck_assert_int_eq(pg_parse_parameter_status(at, body.length, &status), PG_OK);
		ck_assert_str_eq(status.name, "search_path");
		ck_assert_str_eq(status.value, values[i]);
		pg_buffer_clear(&body);
	}
}
END_TEST

START_TEST(ready_knows_three_states)
{
	for (int byte = 0; byte < 256; byte++) {
		uint8_t body = (uint8_t)byte;
		enum pg_transaction_status status = PG_TRANSACTION_FAILED;
		bool known = byte == 'I' || byte == 'T' || byte == 'E';
		enum pg_result result = pg_parse_ready(guarded_put(&guarded, &body, 1), 1, &status);
		ck_assert_int_eq(result, known ? PG_OK : PG_BAD);
		if (known)
			ck_assert_int_eq((int)status, byte);
	}
}
END_TEST

/* Trap 17. */
START_TEST(cancel_keys_of_all_lengths)
{
	uint8_t body[4 + 300] = { 0x80, 2, 3, 4 };
	memset(body + 4, 'k', 300);
	for (size_t key_bytes = 0; key_bytes <= 300; key_bytes++) {
		struct pg_cancel_key key;
		const uint8_t *at = guarded_put(&guarded, body, 4 + key_bytes);
		enum pg_result result = pg_parse_cancel_key(at, 4 + key_bytes, &key);
		ck_assert_int_eq(result, key_bytes >= 1 && key_bytes <= 256 ? PG_OK : PG_BAD);
		if (result != PG_OK)
			continue;
		ck_assert_uint_eq(key.process_id, 0x80020304);
		ck_assert_ptr_eq(key.key, at + 4);
		ck_assert_uint_eq(key.key_bytes, key_bytes);
	}
}
END_TEST

static enum pg_result parse_authentication(const void *body, size_t size, struct pg_authentication_request *request)
{
	return pg_parse_authentication(guarded_put(&guarded, body, size), size, request);
}

START_TEST(authentication_requests)
{
	struct pg_authentication_request request;
	ck_assert_int_eq(parse_authentication("\0\0\0\0", 4, &request), PG_OK);
	ck_assert_uint_eq(request.code, PG_AUTH_OK);
	ck_assert_uint_eq(request.payload_bytes, 0);
	ck_assert_int_eq(parse_authentication("\0\0\0\5\1\2\3\4", 8, &request), PG_OK);
	ck_assert_uint_eq(request.code, PG_AUTH_MD5);
	ck_assert_mem_eq(request.payload, "\1\2\3\4", 4);
	ck_assert_int_eq(parse_authentication("\0\0\0\13r=x", 7, &request), PG_OK);
	ck_assert_uint_eq(request.code, PG_AUTH_SASL_CONTINUE);
	ck_assert_uint_eq(request.payload_bytes, 3);
	ck_assert_mem_eq(request.payload, "r=x", 3);
	/* Codes that nobody knows yet are not malformed. */
	ck_assert_int_eq(parse_authentication("\0\0\1\0xyz", 7, &request), PG_OK);
	ck_assert_uint_eq(request.code, 256);
	ck_assert_uint_eq(request.payload_bytes, 3);
}
END_TEST

START_TEST(mechanisms)
{
	struct pg_authentication_request request;
	static const char two[] = "\0\0\0\12SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
	ck_assert_int_eq(parse_authentication(two, sizeof(two), &request), PG_OK);
	ck_assert_uint_eq(request.payload_bytes, 19 + 14);
	ck_assert_str_eq((const char *)request.payload, "SCRAM-SHA-256-PLUS");
	ck_assert_str_eq((const char *)request.payload + 19, "SCRAM-SHA-256");
	ck_assert_int_eq(parse_authentication("\0\0\0\12", 5, &request), PG_OK);
	ck_assert_uint_eq(request.payload_bytes, 0);
	ck_assert_int_eq(parse_authentication("\0\0\0\12", 4, &request), PG_BAD);
	ck_assert_int_eq(parse_authentication("\0\0\0\12\0A\0", 7, &request), PG_BAD);
}
END_TEST

/* ---- from the client ---- */

/* Trap 10. */
START_TEST(long_passwords)
{
	static const size_t lengths[] = { 0, 1, 1023, 1024, 65535, 65536, 200000 };
	char *password = malloc(200001);
	ck_assert_ptr_nonnull(password);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		memset(password, 'p', lengths[i]);
		password[lengths[i]] = '\0';
		const char *parsed;
		const uint8_t *at = guarded_put(&guarded, password, lengths[i] + 1);
		ck_assert_int_eq(pg_parse_password(at, lengths[i] + 1, &parsed), PG_OK);
		ck_assert_uint_eq(strlen(parsed), lengths[i]);
	}
	free(password);
}
END_TEST

START_TEST(sasl_initial_data)
{
	struct pg_sasl_initial initial;
	const uint8_t *at = guarded_put(&guarded, "M\0\0\0\0\3n,,", 9);
	ck_assert_int_eq(pg_parse_sasl_initial(at, 9, &initial), PG_OK);
	ck_assert_str_eq(initial.mechanism, "M");
	ck_assert_uint_eq(initial.data_bytes, 3);
	ck_assert_mem_eq(initial.data, "n,,", 3);
	at = guarded_put(&guarded, "M\0\0\0\0\0", 6);
	ck_assert_int_eq(pg_parse_sasl_initial(at, 6, &initial), PG_OK);
	ck_assert_uint_eq(initial.data_bytes, 0);
	ck_assert_ptr_nonnull(initial.data);
	at = guarded_put(&guarded, "M\0\xff\xff\xff\xff", 6);
	ck_assert_int_eq(pg_parse_sasl_initial(at, 6, &initial), PG_OK);
	ck_assert_uint_eq(initial.data_bytes, 0);
	ck_assert_ptr_null(initial.data);
}
END_TEST

/* Trap 1: the length inside the message, which crashed another pooler. */
START_TEST(sasl_initial_lengths_that_lie)
{
	static const uint32_t lengths[] = { 0, 1, 2, 4, 255, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };
	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct pg_buffer body = PG_BUFFER_EMPTY;
		pg_buffer_put_string(&body, "SCRAM-SHA-256");
		pg_buffer_put_u32(&body, lengths[i]);
		pg_buffer_put_bytes(&body, "n,,", 3);
		struct pg_sasl_initial initial;
		const uint8_t *at = guarded_put(&guarded, body.data, body.length);
		ck_assert_int_eq(pg_parse_sasl_initial(at, body.length, &initial), PG_BAD);
		pg_buffer_clear(&body);
	}
}
END_TEST

START_TEST(parse_messages)
{
	struct pg_parse_message message;
	static const char body[] = "s1\0select $1\0\0\2\0\0\0\27\xff\xff\xff\xff";
	ck_assert_int_eq(pg_parse_parse((const uint8_t *)body, sizeof(body) - 1, &message), PG_OK);
	ck_assert_str_eq(message.name, "s1");
	ck_assert_str_eq(message.query, "select $1");
	ck_assert_uint_eq(message.type_count, 2);
	ck_assert_uint_eq(pg_load_u32(message.types), 23);
	ck_assert_uint_eq(pg_load_u32(message.types + 4), 0xffffffff);
	ck_assert_int_eq(pg_parse_parse((const uint8_t *)"\0\0\0\0", 4, &message), PG_OK);
	ck_assert_str_eq(message.name, "");
	ck_assert_str_eq(message.query, "");
	ck_assert_uint_eq(message.type_count, 0);
}
END_TEST

START_TEST(parse_with_the_most_types)
{
	size_t size = 4 + 65535u * 4;
	uint8_t *body = calloc(1, size);
	ck_assert_ptr_nonnull(body);
	body[2] = body[3] = 0xff;
	struct pg_parse_message message;
	ck_assert_int_eq(pg_parse_parse(body, size, &message), PG_OK);
	ck_assert_uint_eq(message.type_count, 65535);
	ck_assert_int_eq(pg_parse_parse(body, size - 1, &message), PG_BAD);
	free(body);
}
END_TEST

START_TEST(named_targets)
{
	for (int kind = 0; kind < 256; kind++) {
		const uint8_t body[] = { (uint8_t)kind, 'x', 0 };
		struct pg_named_target target;
		enum pg_result result = pg_parse_named_target(guarded_put(&guarded, body, 3), 3, &target);
		ck_assert_int_eq(result, kind == 'S' || kind == 'P' ? PG_OK : PG_BAD);
		if (result == PG_OK) {
			ck_assert_int_eq(target.kind, kind);
			ck_assert_str_eq(target.name, "x");
		}
	}
}
END_TEST

/* The head of a Bind is wanted before its 200 MB are there. */
START_TEST(bind_heads_need_their_names_only)
{
	static const char body[] = "portal\0statement\0\0\1\0\1\0\1\0\0\0\3abc\0\0";
	const size_t head_bytes = 7 + 10;
	for (size_t size = 0; size < sizeof(body); size++) {
		struct pg_bind_head head;
		const uint8_t *at = guarded_put(&guarded, body, size);
		enum pg_result result = pg_parse_bind_head(at, size, &head);
		ck_assert_int_eq(result, size < head_bytes ? PG_MORE : PG_OK);
		if (result != PG_OK)
			continue;
		ck_assert_str_eq(head.portal, "portal");
		ck_assert_str_eq(head.statement, "statement");
		ck_assert_uint_eq(head.head_bytes, head_bytes);
	}
	struct pg_bind_head head;
	ck_assert_int_eq(any_bind_head(guarded_put(&guarded, "\0", 2), 2), PG_OK);
	ck_assert_int_eq(pg_parse_bind_head((const uint8_t *)"\0", 2, &head), PG_OK);
	ck_assert_uint_eq(head.head_bytes, 2);
}
END_TEST

Suite *parse_suite(void);
Suite *parse_suite(void)
{
	Suite *suite = suite_create("parse");
	TCase *tcase = tcase_create("parse");
	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_loop_test(tcase, every_prefix_is_bad, 0, (int)COUNT(whole_cases));
	tcase_add_loop_test(tcase, a_byte_too_many_is_bad, 0, (int)COUNT(whole_cases));
	tcase_add_loop_test(tcase, damaged_bodies, 0, (int)COUNT(whole_cases));
	tcase_add_test(tcase, error_fields);
	tcase_add_test(tcase, the_plain_severity_wins_in_any_order);
	tcase_add_test(tcase, errors_without_fields);
	tcase_add_test(tcase, parameter_values);
	tcase_add_test(tcase, ready_knows_three_states);
	tcase_add_test(tcase, cancel_keys_of_all_lengths);
	tcase_add_test(tcase, authentication_requests);
	tcase_add_test(tcase, mechanisms);
	tcase_add_test(tcase, long_passwords);
	tcase_add_test(tcase, sasl_initial_data);
	tcase_add_test(tcase, sasl_initial_lengths_that_lie);
	tcase_add_test(tcase, parse_messages);
	tcase_add_test(tcase, parse_with_the_most_types);
	tcase_add_test(tcase, named_targets);
	tcase_add_test(tcase, bind_heads_need_their_names_only);
	suite_add_tcase(suite, tcase);
	return suite;
}
