#include <check.h>
#include <stdint.h>

#include "pooler/list.h"

Suite *list_suite(void);

struct element {
	int number;
	struct list node;
};

static struct list head;
static struct element elements[4];

static void setup(void)
{
	list_init(&head);
	for (int i = 0; i < 4; i++) {
		elements[i].number = i;
		list_init(&elements[i].node);
	}
}

/* The numbers in the list, the first one highest: 213 for 2, 1, 3. Both directions must agree. */
static int digits(void)
{
	struct list *it, *spare;
	int forward = 0, backward = 0, scale = 1;

	list_each(it, spare, &head)
		forward = forward * 10 + list_entry(it, struct element, node)->number;
	for (it = head.prev; it != &head; it = it->prev, scale *= 10)
		backward += scale * list_entry(it, struct element, node)->number;
	ck_assert_int_eq(forward, backward);
	return forward;
}

START_TEST(pushed_in_front_and_appended_behind)
{
	ck_assert(list_is_empty(&head));
	list_append(&head, &elements[1].node);
	list_append(&head, &elements[3].node);
	list_push(&head, &elements[2].node);
	ck_assert(!list_is_empty(&head));
	ck_assert_int_eq(digits(), 213);
}
END_TEST

START_TEST(inserted_before_any_node)
{
	list_append(&head, &elements[1].node);
	list_append(&head, &elements[3].node);
	list_append(&elements[3].node, &elements[2].node);
	ck_assert_int_eq(digits(), 123);
}
END_TEST

START_TEST(removed_from_anywhere_and_harmless_twice)
{
	for (int i = 1; i < 4; i++)
		list_append(&head, &elements[i].node);
	list_remove(&elements[2].node);
	ck_assert_int_eq(digits(), 13);
	list_remove(&elements[2].node);
	ck_assert(list_is_empty(&elements[2].node));
	ck_assert_int_eq(digits(), 13);
	list_remove(&elements[1].node);
	list_remove(&elements[3].node);
	ck_assert(list_is_empty(&head));
}
END_TEST

START_TEST(popped_in_order_until_none_is_left)
{
	list_append(&head, &elements[1].node);
	list_append(&head, &elements[2].node);
	ck_assert_ptr_eq(list_pop(&head), &elements[1].node);
	ck_assert(list_is_empty(&elements[1].node));
	ck_assert_ptr_eq(list_pop(&head), &elements[2].node);
	ck_assert_ptr_null(list_pop(&head));
}
END_TEST

START_TEST(a_walk_may_remove_where_it_stands)
{
	struct list *it, *spare;
	int seen = 0;

	for (int i = 1; i < 4; i++)
		list_append(&head, &elements[i].node);
	list_each(it, spare, &head) {
		seen++;
		if (list_entry(it, struct element, node)->number != 2)
			list_remove(it);
	}
	ck_assert_int_eq(seen, 3);
	ck_assert_int_eq(digits(), 2);
}
END_TEST

Suite *list_suite(void)
{
	Suite *suite = suite_create("list");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, pushed_in_front_and_appended_behind);
	tcase_add_test(all, inserted_before_any_node);
	tcase_add_test(all, removed_from_anywhere_and_harmless_twice);
	tcase_add_test(all, popped_in_order_until_none_is_left);
	tcase_add_test(all, a_walk_may_remove_where_it_stands);
	suite_add_tcase(suite, all);
	return suite;
}
