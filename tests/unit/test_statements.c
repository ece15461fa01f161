/* Statements kept once, and the queue of unanswered ones. */
#include <check.h>
#include <string.h>

#include "pooler/statements.h"

static struct statements statements;

static struct statement *intern(const char *text)
{
	return statement_intern(&statements, (const uint8_t *)text, strlen(text));
}

START_TEST(equal_texts_are_one_statement)
{
	size_t bytes;

	statements_init(&statements);
	struct statement *a = intern("select 1");
	struct statement *b = intern("select 1");
	struct statement *c = intern("select 2");

	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, c);
	ck_assert_uint_eq(statements.bytes, 16);
	ck_assert_mem_eq(statement_message(c, &bytes), "select 2", 8);
	ck_assert_uint_eq(bytes, 8);
	statement_drop(&statements, a);
	ck_assert_uint_eq(statements.bytes, 16);
	statement_drop(&statements, b);
	ck_assert_uint_eq(statements.bytes, 8);
	statement_drop(&statements, c);
	statement_drop(&statements, NULL);
	ck_assert_uint_eq(statements.bytes, 0);
	statements_clear(&statements);
}
END_TEST

/* First in, first out, over many turns of the ring and while it grows. */
START_TEST(pending_ones_come_back_in_order)
{
	struct pending_queue queue = { 0 };
	unsigned pushed = 0, popped = 0;

	statements_init(&statements);
	for (unsigned round = 1; round < 100; round++) {
		for (unsigned i = 0; i < round; i++) {
			struct pending entry = { .kind = pushed % 3 ? PENDING_CLOSE : PENDING_REFUSED };
			ck_assert(pending_push(&queue, entry));
			pushed++;
		}
		for (unsigned i = 0; i + 1 < round; i++) {
			ck_assert_int_eq(pending_pop(&queue).kind, popped % 3 ? PENDING_CLOSE : PENDING_REFUSED);
			popped++;
		}
		ck_assert_uint_eq(queue.count, pushed - popped);
	}
	pending_clear(&queue, &statements);
	ck_assert_ptr_null(queue.entries);
}
END_TEST

START_TEST(clearing_the_queue_drops_its_holds)
{
	struct pending_queue queue = { 0 };

	statements_init(&statements);
	ck_assert(pending_push(&queue, (struct pending){ PENDING_PARSE, intern("one") }));
	ck_assert(pending_push(&queue, (struct pending){ PENDING_REPLAY, intern("two") }));
	pending_clear(&queue, &statements);
	ck_assert_uint_eq(statements.bytes, 0);
	statements_clear(&statements);
}
END_TEST

Suite *statements_suite(void);
Suite *statements_suite(void)
{
	Suite *suite = suite_create("statements");
	TCase *tcase = tcase_create("statements");

	tcase_add_test(tcase, equal_texts_are_one_statement);
	tcase_add_test(tcase, pending_ones_come_back_in_order);
	tcase_add_test(tcase, clearing_the_queue_drops_its_holds);
	suite_add_tcase(suite, tcase);
	return suite;
}
