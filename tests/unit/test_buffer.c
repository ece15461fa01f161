#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/buffer.h"
#include "protocol/message.h"

/* A sanitizer ends a process that asks for too much memory, unless it says that it wants to see malloc fail. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

START_TEST(integers_are_big_endian_and_strings_end)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	pg_buffer_put_u8(&buffer, 0x01);
	pg_buffer_put_u16(&buffer, 0x0203);
	pg_buffer_put_u32(&buffer, 0x04050607);
	pg_buffer_put_u32(&buffer, 0xfffefdfc);
	pg_buffer_put_string(&buffer, "ab");
	pg_buffer_put_string(&buffer, "");
	pg_buffer_put_bytes(&buffer, "x\0y", 3);
	static const uint8_t expected[] = { 1, 2, 3, 4, 5, 6, 7, 0xff, 0xfe, 0xfd, 0xfc, 'a', 'b', 0, 0, 'x', 0, 'y' };
	ck_assert(!buffer.failed);
	ck_assert_uint_eq(buffer.length, sizeof(expected));
	ck_assert_mem_eq(buffer.data, expected, sizeof(expected));
	pg_buffer_clear(&buffer);
}
END_TEST

START_TEST(it_grows_and_keeps_what_it_has)
{
	struct pg_buffer buffer;
	pg_buffer_init(&buffer);
	for (uint32_t i = 0; i < 300000; i++)
		pg_buffer_put_u32(&buffer, i * 2654435761u);
	ck_assert(!buffer.failed);
	ck_assert_uint_eq(buffer.length, 1200000);
	ck_assert_uint_ge(buffer.capacity, buffer.length);
	for (uint32_t i = 0; i < 300000; i++) {
		const uint8_t *at = buffer.data + 4 * (size_t)i;
		uint32_t value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
		ck_assert_uint_eq(value, i * 2654435761u);
	}
	pg_buffer_clear(&buffer);
}
END_TEST

START_TEST(empty_puts_need_no_memory)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&buffer, NULL, 0);
	ck_assert(pg_buffer_reserve(&buffer, 0));
	pg_buffer_consume(&buffer, 5);
	ck_assert_ptr_null(buffer.data);
	ck_assert(!buffer.failed);
}
END_TEST

/* More than any address space holds, and sums that wrap. */
static const size_t impossible[] = {
	SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 3, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX / 4
};

START_TEST(no_memory_sets_failed_for_good)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	pg_buffer_put_string(&buffer, "kept");
	ck_assert(!pg_buffer_reserve(&buffer, impossible[_i]));
	ck_assert(buffer.failed);

	size_t begin = pg_buffer_begin(&buffer, 'Q');
	pg_buffer_put_u8(&buffer, 1);
	pg_buffer_put_u16(&buffer, 1);
	pg_buffer_put_u32(&buffer, 1);
	pg_buffer_put_string(&buffer, "more");
	pg_buffer_end(&buffer, begin);
	ck_assert(!pg_buffer_reserve(&buffer, 1));
	ck_assert(buffer.failed);
	ck_assert_uint_eq(buffer.length, 5);
	ck_assert_mem_eq(buffer.data, "kept", 5);

	pg_buffer_clear(&buffer);
	ck_assert(!buffer.failed);
	pg_buffer_put_u8(&buffer, 7);
	ck_assert_uint_eq(buffer.length, 1);
	pg_buffer_clear(&buffer);
}
END_TEST

START_TEST(a_failed_empty_buffer_stays_empty)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	ck_assert(!pg_buffer_reserve(&buffer, SIZE_MAX));
	pg_buffer_end(&buffer, pg_buffer_begin(&buffer, 'S'));
	pg_buffer_set_u32(&buffer, 0, 1);
	ck_assert_ptr_null(buffer.data);
	ck_assert_uint_eq(buffer.length, 0);
	pg_buffer_wipe(&buffer);
	ck_assert(!buffer.failed);
}
END_TEST

START_TEST(consume_moves_the_rest_to_the_front)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&buffer, "0123456789", 10);
	pg_buffer_consume(&buffer, 0);
	ck_assert_uint_eq(buffer.length, 10);
	pg_buffer_consume(&buffer, 3);
	ck_assert_uint_eq(buffer.length, 7);
	ck_assert_mem_eq(buffer.data, "3456789", 7);
	pg_buffer_consume(&buffer, 7);
	ck_assert_uint_eq(buffer.length, 0);
	pg_buffer_put_bytes(&buffer, "ab", 2);
	pg_buffer_consume(&buffer, SIZE_MAX);
	ck_assert_uint_eq(buffer.length, 0);
	pg_buffer_clear(&buffer);
}
END_TEST

START_TEST(clear_and_wipe_leave_it_usable)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	for (int round = 0; round < 3; round++) {
		pg_buffer_put_string(&buffer, "secret");
		ck_assert_str_eq((const char *)buffer.data, "secret");
		if (round % 2 == 0)
			pg_buffer_wipe(&buffer);
		else
			pg_buffer_clear(&buffer);
		ck_assert_ptr_null(buffer.data);
		ck_assert_uint_eq(buffer.length, 0);
		ck_assert_uint_eq(buffer.capacity, 0);
	}
}
END_TEST

START_TEST(messages_get_their_length)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	size_t first = pg_buffer_begin(&buffer, 'Q');
	pg_buffer_put_string(&buffer, "x");
	pg_buffer_end(&buffer, first);
	size_t second = pg_buffer_begin(&buffer, 'S');
	pg_buffer_end(&buffer, second);
	static const uint8_t expected[] = { 'Q', 0, 0, 0, 6, 'x', 0, 'S', 0, 0, 0, 4 };
	ck_assert_uint_eq(second, 7);
	ck_assert_uint_eq(buffer.length, sizeof(expected));
	ck_assert_mem_eq(buffer.data, expected, sizeof(expected));
	pg_buffer_clear(&buffer);
}
END_TEST

/* Trap 1, on the writing side: a length that PostgreSQL would refuse is never written. */
START_TEST(a_message_beyond_the_bound_fails)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	ck_assert(pg_buffer_reserve(&buffer, (size_t)PG_MESSAGE_LENGTH_MAX + 2));
	size_t begin = pg_buffer_begin(&buffer, 'Q');
	/* As if the body had been put: nothing of it is touched, so that no memory is used. */
	buffer.length = begin + 1 + PG_MESSAGE_LENGTH_MAX;
	pg_buffer_end(&buffer, begin);
	ck_assert(!buffer.failed);
	ck_assert_mem_eq(buffer.data, "Q\x3f\xff\xff\xfe", 5);
	buffer.length++;
	pg_buffer_end(&buffer, begin);
	ck_assert(buffer.failed);
	pg_buffer_clear(&buffer);
}
END_TEST

Suite *buffer_suite(void);
Suite *buffer_suite(void)
{
	Suite *suite = suite_create("buffer");
	TCase *tcase = tcase_create("buffer");
	tcase_add_test(tcase, integers_are_big_endian_and_strings_end);
	tcase_add_test(tcase, it_grows_and_keeps_what_it_has);
	tcase_add_test(tcase, empty_puts_need_no_memory);
	tcase_add_loop_test(tcase, no_memory_sets_failed_for_good, 0, (int)(sizeof(impossible) / sizeof(*impossible)));
	tcase_add_test(tcase, a_failed_empty_buffer_stays_empty);
	tcase_add_test(tcase, consume_moves_the_rest_to_the_front);
	tcase_add_test(tcase, clear_and_wipe_leave_it_usable);
	tcase_add_test(tcase, messages_get_their_length);
	tcase_add_test(tcase, a_message_beyond_the_bound_fails);
	suite_add_tcase(suite, tcase);
	return suite;
}
