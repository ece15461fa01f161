#include <check.h>
#include <string.h>

#include "protocol/reader.h"
#include "tests/unit/guarded.h"

START_TEST(it_reads_what_a_buffer_writes)
{
	struct guarded guarded;
	guarded_init(&guarded);
	static const uint8_t bytes[] = { 1, 2, 3, 0xff, 0xfe, 0xfd, 0xfc, 'a', 'b', 0, 0, 'x', 'y' };
	const uint8_t *at = guarded_put(&guarded, bytes, sizeof(bytes));
	struct pg_reader reader;
	pg_reader_init(&reader, at, sizeof(bytes));
	ck_assert_uint_eq(pg_reader_left(&reader), sizeof(bytes));
	ck_assert_uint_eq(pg_reader_u8(&reader), 1);
	ck_assert_uint_eq(pg_reader_u16(&reader), 0x0203);
	ck_assert_uint_eq(pg_reader_u32(&reader), 0xfffefdfc);
	ck_assert_str_eq(pg_reader_string(&reader), "ab");
	ck_assert_str_eq(pg_reader_string(&reader), "");
	ck_assert(!pg_reader_done(&reader));
	ck_assert_ptr_eq(pg_reader_bytes(&reader, 2), at + 11);
	ck_assert(pg_reader_done(&reader));
	ck_assert_ptr_eq(pg_reader_bytes(&reader, 0), at + 13);
	ck_assert(pg_reader_done(&reader));
	guarded_clear(&guarded);
}
END_TEST

/* Each kind of read, with 0 bytes up to one too few. */
START_TEST(a_read_past_the_end_fails_and_stays_failed)
{
	struct guarded guarded;
	guarded_init(&guarded);
	for (size_t size = 0; size < 4; size++) {
		const uint8_t *at = guarded_put(&guarded, "\x11\x22\x33", size);
		struct pg_reader reader;
		pg_reader_init(&reader, at, size);
		ck_assert_uint_eq(pg_reader_u32(&reader), 0);
		ck_assert(reader.failed);
		ck_assert_uint_eq(pg_reader_u8(&reader), 0);
		ck_assert_uint_eq(pg_reader_u16(&reader), 0);
		ck_assert_ptr_null(pg_reader_bytes(&reader, 0));
		ck_assert_str_eq(pg_reader_string(&reader), "");
		ck_assert_uint_eq(pg_reader_left(&reader), 0);
		ck_assert(!pg_reader_done(&reader));
	}
	struct pg_reader reader;
	pg_reader_init(&reader, guarded_put(&guarded, "\x11", 1), 1);
	ck_assert_uint_eq(pg_reader_u16(&reader), 0);
	ck_assert(reader.failed);
	pg_reader_init(&reader, guarded_put(&guarded, "", 0), 0);
	ck_assert_uint_eq(pg_reader_u8(&reader), 0);
	ck_assert(reader.failed);
	guarded_clear(&guarded);
}
END_TEST

START_TEST(a_string_needs_its_nul)
{
	struct guarded guarded;
	guarded_init(&guarded);
	struct pg_reader reader;
	pg_reader_init(&reader, guarded_put(&guarded, "abc", 3), 3);
	ck_assert_str_eq(pg_reader_string(&reader), "");
	ck_assert(reader.failed);
	pg_reader_init(&reader, guarded_put(&guarded, "abc", 4), 4);
	ck_assert_str_eq(pg_reader_string(&reader), "abc");
	ck_assert(pg_reader_done(&reader));
	ck_assert_str_eq(pg_reader_string(&reader), "");
	ck_assert(reader.failed);
	guarded_clear(&guarded);
}
END_TEST

/* Trap 1: a count that would wrap a pointer. */
START_TEST(a_huge_count_fails)
{
	static const size_t counts[] = { 4, 0x7fffffff, 0x80000000, 0xffffffff, SIZE_MAX / 2, SIZE_MAX };
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		struct pg_reader reader;
		pg_reader_init(&reader, "abc", 3);
		ck_assert_ptr_null(pg_reader_bytes(&reader, counts[i]));
		ck_assert(reader.failed);
	}
}
END_TEST

START_TEST(no_bytes_at_all)
{
	struct pg_reader reader;
	pg_reader_init(&reader, NULL, 0);
	ck_assert_uint_eq(pg_reader_left(&reader), 0);
	ck_assert(pg_reader_done(&reader));
	ck_assert_str_eq(pg_reader_string(&reader), "");
	ck_assert(reader.failed);
}
END_TEST

Suite *reader_suite(void);
Suite *reader_suite(void)
{
	Suite *suite = suite_create("reader");
	TCase *tcase = tcase_create("reader");
	tcase_add_test(tcase, it_reads_what_a_buffer_writes);
	tcase_add_test(tcase, a_read_past_the_end_fails_and_stays_failed);
	tcase_add_test(tcase, a_string_needs_its_nul);
	tcase_add_test(tcase, a_huge_count_fails);
	tcase_add_test(tcase, no_bytes_at_all);
	suite_add_tcase(suite, tcase);
	return suite;
}
