/* Handles: a stale one finds nobody. */
#include <check.h>
#include <stdlib.h>

#include "pooler/handles.h"
#include "pooler/kept.h"

START_TEST(a_stale_handle_finds_nobody)
{
	struct handles handles;
	int first, second;
	uint32_t slot, generation, slot2, generation2;

	handles_init(&handles);
	ck_assert(handles_take(&handles, &first, &slot, &generation));
	ck_assert_ptr_eq(handles_find(&handles, slot, generation), &first);
	handles_give_back(&handles, slot);
	ck_assert_ptr_null(handles_find(&handles, slot, generation));
	ck_assert(handles_take(&handles, &second, &slot2, &generation2));
	ck_assert_uint_eq(slot, slot2);
	ck_assert_ptr_null(handles_find(&handles, slot, generation));
	ck_assert_ptr_eq(handles_find(&handles, slot2, generation2), &second);
	ck_assert_ptr_null(handles_find(&handles, 100000, 0));
	handles_clear(&handles);
}
END_TEST

START_TEST(thousands_have_slots_of_their_own)
{
	enum { COUNT = 5000 };
	struct handles handles;
	static int objects[COUNT];
	static uint32_t slots[COUNT], generations[COUNT];

	handles_init(&handles);
	for (int i = 0; i < COUNT; i++)
		ck_assert(handles_take(&handles, &objects[i], &slots[i], &generations[i]));
	for (int i = 0; i < COUNT; i += 2)
		handles_give_back(&handles, slots[i]);
	for (int i = 0; i < COUNT; i++)
		ck_assert_ptr_eq(handles_find(&handles, slots[i], generations[i]), i % 2 ? &objects[i] : NULL);
	ck_assert_uint_eq(handles.used, COUNT / 2);
	handles_clear(&handles);
}
END_TEST

START_TEST(kept_bytes_may_move_within_themselves)
{
	struct kept kept = { 0 };
	uint8_t bytes[1000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	ck_assert(kept_set(&kept, bytes, sizeof(bytes)));
	ck_assert(kept_set(&kept, kept.data + 300, 700));
	ck_assert_uint_eq(kept.length, 700);
	ck_assert_mem_eq(kept.data, bytes + 300, 700);
	ck_assert(kept_set(&kept, bytes, 5));
	ck_assert_mem_eq(kept.data, bytes, 5);
	ck_assert(kept_set(&kept, NULL, 0));
	ck_assert_ptr_null(kept.data);
}
END_TEST

Suite *handles_suite(void);
Suite *handles_suite(void)
{
	Suite *suite = suite_create("handles");
	TCase *tcase = tcase_create("handles");

	tcase_add_test(tcase, a_stale_handle_finds_nobody);
	tcase_add_test(tcase, thousands_have_slots_of_their_own);
	tcase_add_test(tcase, kept_bytes_may_move_within_themselves);
	suite_add_tcase(suite, tcase);
	return suite;
}
