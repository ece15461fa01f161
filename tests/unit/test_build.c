#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/build.h"
#include "protocol/parse.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* What was built must be exactly these bytes; empties the buffer for the next. The literal's own NUL does not count. */
#define expect(out, text) expect_bytes(out, text, sizeof(text) - 1)
static void expect_bytes(struct pg_buffer *out, const void *bytes, size_t count)
{
	ck_assert(!out->failed);
	ck_assert_uint_eq(out->length, count);
	ck_assert_mem_eq(out->data, bytes, count);
	pg_buffer_clear(out);
}

/* Checks the one message's frame and answers its body. */
static const uint8_t *body_of(const struct pg_buffer *out, uint8_t type, size_t *size)
{
	struct pg_frame frame;
	ck_assert(!out->failed);
	ck_assert_int_eq(pg_frame_parse(out->data, out->length, &frame), PG_OK);
	ck_assert_uint_eq(frame.type, type);
	ck_assert_uint_eq(frame.total_bytes, out->length);
	*size = frame.body_bytes;
	return out->data + PG_FRAME_HEADER_BYTES;
}

START_TEST(short_messages_to_a_client)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	pg_build_authentication(&out, PG_AUTH_OK, NULL, 0);
	expect(&out, "R\0\0\0\10\0\0\0\0");
	pg_build_authentication(&out, PG_AUTH_MD5, "salt", 4);
	expect(&out, "R\0\0\0\14\0\0\0\5salt");
	pg_build_authentication(&out, PG_AUTH_SASL, "SCRAM-SHA-256\0", 15);
	expect(&out, "R\0\0\0\27\0\0\0\12SCRAM-SHA-256\0\0");
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	expect(&out, "Z\0\0\0\5I");
	pg_build_ready(&out, PG_TRANSACTION_FAILED);
	expect(&out, "Z\0\0\0\5E");
	pg_build_command_complete(&out, "SELECT 1");
	expect(&out, "C\0\0\0\15SELECT 1\0");
	pg_build_empty_query(&out);
	expect(&out, "I\0\0\0\4");
	pg_build_bare(&out, PG_BACKEND_PARSE_COMPLETE);
	expect(&out, "1\0\0\0\4");
	pg_build_parameter_description_empty(&out);
	expect(&out, "t\0\0\0\6\0\0");
}
END_TEST

START_TEST(negotiation_names_the_whole_version)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	pg_build_negotiate_version(&out, 0, NULL, 0, 0);
	expect(&out, "v\0\0\0\14\0\3\0\0\0\0\0\0");
	pg_build_negotiate_version(&out, 2, (const uint8_t *)"_pq_.a\0_pq_.b", 14, 2);
	expect(&out, "v\0\0\0\32\0\3\0\2\0\0\0\2_pq_.a\0_pq_.b\0");
}
END_TEST

START_TEST(messages_to_a_server)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	pg_build_query(&out, "select 1");
	expect(&out, "Q\0\0\0\15select 1\0");
	pg_build_query(&out, "");
	expect(&out, "Q\0\0\0\5\0");
	pg_build_password(&out, "secret");
	expect(&out, "p\0\0\0\13secret\0");
	pg_build_sasl_initial(&out, "SCRAM-SHA-256", "n,,", 3);
	expect(&out, "p\0\0\0\31SCRAM-SHA-256\0\0\0\0\3n,,");
	pg_build_sasl_initial(&out, "SCRAM-SHA-256", NULL, 0);
	expect(&out, "p\0\0\0\26SCRAM-SHA-256\0\xff\xff\xff\xff");
	pg_build_sasl_response(&out, "c=biws", 6);
	expect(&out, "p\0\0\0\12c=biws");
	pg_build_sync(&out);
	expect(&out, "S\0\0\0\4");
	pg_build_copy_fail(&out, "gone");
	expect(&out, "f\0\0\0\11gone\0");
	pg_build_terminate(&out);
	expect(&out, "X\0\0\0\4");
	pg_build_close_statement(&out, "s1");
	expect(&out, "C\0\0\0\10Ss1\0");
}
END_TEST

START_TEST(reports_leave_out_what_is_not_said)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct pg_report report = { .severity = "ERROR", .sqlstate = "08006", .message = "lost", .detail = "" };
	pg_build_error(&out, &report);
	expect(&out, "E\0\0\0\40SERROR\0VERROR\0C08006\0Mlost\0\0");
	report.severity = "NOTICE";
	pg_build_notice(&out, &report);
	expect(&out, "N\0\0\0\42SNOTICE\0VNOTICE\0C08006\0Mlost\0\0");
}
END_TEST

/* Trap 12: the two differ by their type alone, and each builder writes its own. */
START_TEST(reports_parse)
{
	static const struct pg_report report = { "FATAL", "53300", "no room", "20 of 20", "wait" };
	for (int notice = 0; notice < 2; notice++) {
		struct pg_buffer out = PG_BUFFER_EMPTY;
		if (notice)
			pg_build_notice(&out, &report);
		else
			pg_build_error(&out, &report);
		size_t size;
		const uint8_t *body = body_of(&out, notice ? 'N' : 'E', &size);
		struct pg_error_fields fields;
		ck_assert_int_eq(pg_parse_error(body, size, &fields), PG_OK);
		ck_assert_str_eq(fields.severity, report.severity);
		ck_assert_str_eq(fields.sqlstate, report.sqlstate);
		ck_assert_str_eq(fields.message, report.message);
		ck_assert_str_eq(fields.detail, report.detail);
		ck_assert_str_eq(fields.hint, report.hint);
		pg_buffer_clear(&out);
	}
}
END_TEST

/* Trap 13. */
START_TEST(parameter_values_round_trip)
{
	static const char *const values[] = { "", "\"$user\", public", "it's", "back\\slash", "ISO, MDY", "\xff\n" };
	for (size_t i = 0; i < COUNT(values); i++) {
		struct pg_buffer out = PG_BUFFER_EMPTY;
		pg_build_parameter_status(&out, "application_name", values[i]);
		size_t size;
		const uint8_t *body = body_of(&out, PG_BACKEND_PARAMETER_STATUS, &size);
		struct pg_parameter_status status;
		ck_assert_int_eq(pg_parse_parameter_status(body, size, &status), PG_OK);
		ck_assert_str_eq(status.name, "application_name");
		ck_assert_str_eq(status.value, values[i]);
		pg_buffer_clear(&out);
	}
}
END_TEST

/* Trap 17. */
START_TEST(cancel_keys_round_trip)
{
	uint8_t key[300];
	memset(key, 0xa5, sizeof(key));
	for (size_t key_bytes = 0; key_bytes <= sizeof(key); key_bytes++) {
		struct pg_buffer out = PG_BUFFER_EMPTY;
		pg_build_cancel_key(&out, 0x7fffffff, key, key_bytes);
		if (key_bytes < 1 || key_bytes > 256) {
			ck_assert(out.failed);
			ck_assert_uint_eq(out.length, 0);
			pg_buffer_clear(&out);
			continue;
		}
		size_t size;
		const uint8_t *body = body_of(&out, PG_BACKEND_CANCEL_KEY, &size);
		struct pg_cancel_key parsed;
		ck_assert_int_eq(pg_parse_cancel_key(body, size, &parsed), PG_OK);
		ck_assert_uint_eq(parsed.process_id, 0x7fffffff);
		ck_assert_uint_eq(parsed.key_bytes, key_bytes);
		ck_assert_mem_eq(parsed.key, key, key_bytes);
		pg_buffer_clear(&out);
	}
}
END_TEST

/* Trap 10. */
START_TEST(long_passwords_round_trip)
{
	static const size_t lengths[] = { 0, 1023, 1024, 65536, 1000000 };
	for (size_t i = 0; i < COUNT(lengths); i++) {
		char *password = malloc(lengths[i] + 1);
		ck_assert_ptr_nonnull(password);
		memset(password, 'p', lengths[i]);
		password[lengths[i]] = '\0';
		struct pg_buffer out = PG_BUFFER_EMPTY;
		pg_build_password(&out, password);
		size_t size;
		const uint8_t *body = body_of(&out, PG_FRONTEND_PASSWORD, &size);
		const char *parsed;
		ck_assert_int_eq(pg_parse_password(body, size, &parsed), PG_OK);
		ck_assert_str_eq(parsed, password);
		pg_buffer_wipe(&out);
		free(password);
	}
}
END_TEST

START_TEST(tables)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	static const struct pg_column columns[] = { { "name", PG_OID_TEXT, -1 }, { "n", PG_OID_INT8, 8 } };
	pg_build_row_description(&out, columns, COUNT(columns));
	expect(&out, "T\0\0\0\61\0\2"
		     "name\0\0\0\0\0\0\0\0\0\0\31\xff\xff\xff\xff\xff\xff\0\0"
		     "n\0\0\0\0\0\0\0\0\0\0\24\0\10\xff\xff\xff\xff\0\0");
	static const char *const values[] = { "a", NULL, "" };
	pg_build_data_row(&out, values, COUNT(values));
	expect(&out, "D\0\0\0\23\0\3\0\0\0\1a\xff\xff\xff\xff\0\0\0\0");
	pg_build_data_row(&out, NULL, 0);
	expect(&out, "D\0\0\0\6\0\0");
}
END_TEST

START_TEST(too_many_columns_fail)
{
	const char **values = calloc(INT16_MAX + 1, sizeof(*values));
	ck_assert_ptr_nonnull(values);
	struct pg_buffer out = PG_BUFFER_EMPTY;
	pg_build_data_row(&out, values, INT16_MAX);
	ck_assert(!out.failed);
	pg_buffer_clear(&out);
	pg_build_data_row(&out, values, INT16_MAX + 1);
	ck_assert(out.failed);
	pg_buffer_clear(&out);
	free(values);
	/* Fails before a column is looked at. */
	static const struct pg_column column = { "x", PG_OID_TEXT, -1 };
	pg_build_row_description(&out, &column, INT16_MAX + 1);
	ck_assert(out.failed);
	pg_buffer_clear(&out);
}
END_TEST

START_TEST(messages_follow_each_other)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	pg_build_sync(&out);
	pg_build_query(&out, "x");
	pg_build_terminate(&out);
	expect(&out, "S\0\0\0\4Q\0\0\0\6x\0X\0\0\0\4");
}
END_TEST

START_TEST(a_failed_buffer_takes_nothing)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	pg_build_sync(&out);
	ck_assert(!pg_buffer_reserve(&out, SIZE_MAX));
	static const struct pg_report report = { "ERROR", "XX000", "x", NULL, NULL };
	static const struct pg_column column = { "x", PG_OID_TEXT, -1 };
	static const char *const value = "x";
	pg_build_error(&out, &report);
	pg_build_authentication(&out, PG_AUTH_MD5, "salt", 4);
	pg_build_parameter_status(&out, "a", "b");
	pg_build_cancel_key(&out, 1, (const uint8_t *)"k", 1);
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	pg_build_negotiate_version(&out, 0, NULL, 0, 0);
	pg_build_row_description(&out, &column, 1);
	pg_build_data_row(&out, &value, 1);
	pg_build_password(&out, "x");
	pg_build_sasl_initial(&out, "M", "x", 1);
	pg_build_close_statement(&out, "x");
	ck_assert(out.failed);
	ck_assert_uint_eq(out.length, 5);
	pg_buffer_clear(&out);
}
END_TEST

Suite *build_suite(void);
Suite *build_suite(void)
{
	Suite *suite = suite_create("build");
	TCase *tcase = tcase_create("build");
	tcase_add_test(tcase, short_messages_to_a_client);
	tcase_add_test(tcase, negotiation_names_the_whole_version);
	tcase_add_test(tcase, messages_to_a_server);
	tcase_add_test(tcase, reports_leave_out_what_is_not_said);
	tcase_add_test(tcase, reports_parse);
	tcase_add_test(tcase, parameter_values_round_trip);
	tcase_add_test(tcase, cancel_keys_round_trip);
	tcase_add_test(tcase, long_passwords_round_trip);
	tcase_add_test(tcase, tables);
	tcase_add_test(tcase, too_many_columns_fail);
	tcase_add_test(tcase, messages_follow_each_other);
	tcase_add_test(tcase, a_failed_buffer_takes_nothing);
	suite_add_tcase(suite, tcase);
	return suite;
}
