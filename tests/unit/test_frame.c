#include <check.h>

#include "protocol/frame.h"
#include "tests/unit/guarded.h"

static enum pg_result parse_length(struct guarded *guarded, uint32_t length, struct pg_frame *frame)
{
	const uint8_t header[] = { 'Q', (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
				   (uint8_t)length };
	return pg_frame_parse(guarded_put(guarded, header, sizeof(header)), sizeof(header), frame);
}

START_TEST(good_lengths)
{
	static const uint32_t lengths[] = { 4, 5, 65535, 65536, 0x10000000, PG_MESSAGE_LENGTH_MAX };
	struct guarded guarded;
	guarded_init(&guarded);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct pg_frame frame;
		ck_assert_int_eq(parse_length(&guarded, lengths[i], &frame), PG_OK);
		ck_assert_uint_eq(frame.type, 'Q');
		ck_assert_uint_eq(frame.body_bytes, lengths[i] - 4);
		ck_assert_uint_eq(frame.total_bytes, (uint64_t)lengths[i] + 1);
	}
	guarded_clear(&guarded);
}
END_TEST

/* Trap 1. */
START_TEST(bad_lengths)
{
	static const uint32_t lengths[] = { 0,          1,          2,          3,          PG_MESSAGE_LENGTH_MAX + 1,
					    0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0xfffffffb,
					    0xfffffffc, 0xffffffff };
	struct guarded guarded;
	guarded_init(&guarded);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct pg_frame frame = { 'x', 1, 2 };
		ck_assert_int_eq(parse_length(&guarded, lengths[i], &frame), PG_BAD);
		ck_assert_uint_eq(frame.type, 'x');
		ck_assert_uint_eq(frame.body_bytes, 1);
		ck_assert_uint_eq(frame.total_bytes, 2);
	}
	guarded_clear(&guarded);
}
END_TEST

/* Trap 6: a header may be cut anywhere. */
START_TEST(a_part_of_a_header_asks_for_more)
{
	struct guarded guarded;
	guarded_init(&guarded);
	for (size_t size = 0; size < PG_FRAME_HEADER_BYTES; size++) {
		struct pg_frame frame = { 'x', 1, 2 };
		const uint8_t *at = guarded_put(&guarded, "Z\0\0\0\5", size);
		ck_assert_int_eq(pg_frame_parse(at, size, &frame), PG_MORE);
		ck_assert_uint_eq(frame.type, 'x');
	}
	guarded_clear(&guarded);
}
END_TEST

Suite *frame_suite(void);
Suite *frame_suite(void)
{
	Suite *suite = suite_create("frame");
	TCase *tcase = tcase_create("frame");
	tcase_add_test(tcase, good_lengths);
	tcase_add_test(tcase, bad_lengths);
	tcase_add_test(tcase, a_part_of_a_header_asks_for_more);
	suite_add_tcase(suite, tcase);
	return suite;
}
