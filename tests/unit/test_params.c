/* Sets of session parameters: interned, compared, and turned into SQL. */
#include <check.h>
#include <pthread.h>
#include <string.h>

#include "pooler/params.h"

static const struct params *make(const char *a, const char *av, const char *b, const char *bv)
{
	const struct param pairs[] = { { a, av }, { b, bv } };

	return params_make(pairs, b ? 2 : a ? 1 : 0);
}

static void expect_sql(const struct params *have, const struct params *want, bool force, const char *expected)
{
	struct pg_buffer sql = PG_BUFFER_EMPTY;

	params_put_sql(have, want, force, &sql);
	pg_buffer_put_u8(&sql, 0);
	ck_assert(!sql.failed);
	ck_assert_str_eq((const char *)sql.data, expected);
	pg_buffer_clear(&sql);
}

START_TEST(equal_sets_are_one_object)
{
	const struct params *a = make("TimeZone", "UTC", "DateStyle", "ISO");
	const struct params *b = make("DateStyle", "ISO", "TimeZone", "UTC");
	const struct params *c = make("DateStyle", "iso", "TimeZone", "UTC");

	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, c);
	params_drop(a);
	params_drop(b);
	params_drop(c);
}
END_TEST

START_TEST(later_pairs_win_and_names_have_no_case)
{
	const struct param pairs[] = { { "work_mem", "1MB" }, { "x.y", "1" }, { "WORK_MEM", "2MB" } };
	const struct params *set = params_make(pairs, 3);

	ck_assert_uint_eq(params_count(set), 2);
	ck_assert_str_eq(params_find(set, "Work_Mem"), "2MB");
	ck_assert_ptr_null(params_find(set, "absent"));
	params_drop(set);
}
END_TEST

START_TEST(with_changes_adds_and_removes)
{
	const struct params *set = make("a", "1", "b", "2");
	const struct params *changed = params_with(set, "A", "3");
	const struct params *removed = params_with(changed, "b", NULL);
	const struct params *back = params_with(removed, "b", "2");

	ck_assert_str_eq(params_find(changed, "a"), "3");
	ck_assert_str_eq(params_find(set, "a"), "1");
	ck_assert_uint_eq(params_count(removed), 1);
	ck_assert_ptr_eq(back, changed);
	params_drop(set);
	params_drop(changed);
	params_drop(removed);
	params_drop(back);
}
END_TEST

START_TEST(overlay_takes_the_upper_value)
{
	const struct params *base = make("a", "1", "b", "2");
	const struct params *over = make("b", "3", "c", "4");
	const struct params *both = params_overlay(base, over);

	ck_assert_uint_eq(params_count(both), 3);
	ck_assert_str_eq(params_find(both, "a"), "1");
	ck_assert_str_eq(params_find(both, "b"), "3");
	params_drop(base);
	params_drop(over);
	params_drop(both);
}
END_TEST

START_TEST(sql_says_only_what_differs)
{
	const struct params *have = make("a", "1", "b", "2");
	const struct params *want = make("b", "3", "c", "4");

	expect_sql(have, have, false, "");
	expect_sql(
		have, want, false,
		"RESET \"a\";SELECT pg_catalog.set_config('b','3',false);SELECT pg_catalog.set_config('c','4',false);");
	expect_sql(have, have, true,
		   "SELECT pg_catalog.set_config('a','1',false);SELECT pg_catalog.set_config('b','2',false);");
	params_drop(have);
	params_drop(want);
}
END_TEST

/* Trap 13: quotes, backslashes and empty values go through, and nothing gets out of its quotes. */
START_TEST(trap_13_values_are_quoted)
{
	const struct params *none = params_empty();
	const struct params *path = make("search_path", "\"$user\", public", NULL, NULL);
	const struct params *evil = make("application_name", "x'; DROP TABLE t; --", NULL, NULL);
	const struct params *slash = make("application_name", "a\\'b", NULL, NULL);
	const struct params *empty = make("application_name", "", NULL, NULL);
	const struct params *dotted = make("my\"app.user", "1", NULL, NULL);

	expect_sql(none, path, false, "SELECT pg_catalog.set_config('search_path','\"$user\", public',false);");
	expect_sql(none, evil, false,
		   "SELECT pg_catalog.set_config('application_name','x''; DROP TABLE t; --',false);");
	expect_sql(none, slash, false, "SELECT pg_catalog.set_config('application_name',E'a\\\\''b',false);");
	expect_sql(none, empty, false, "SELECT pg_catalog.set_config('application_name','',false);");
	expect_sql(dotted, none, false, "RESET \"my\"\"app\".\"user\";");
	params_drop(none);
	params_drop(path);
	params_drop(evil);
	params_drop(slash);
	params_drop(empty);
	params_drop(dotted);
}
END_TEST

static void *make_and_drop(void *argument)
{
	char value[2] = "0";

	(void)argument;
	for (int i = 0; i < 20000; i++) {
		value[0] = (char)('0' + i % 3);
		const struct params *set = make("a", value, NULL, NULL);
		const struct params *held = params_hold(set);
		params_drop(set);
		if (strcmp(params_find(held, "a"), value) != 0)
			return "a set changed";
		params_drop(held);
	}
	return NULL;
}

START_TEST(threads_may_share_sets)
{
	pthread_t threads[4];
	void *fault;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, make_and_drop, NULL), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &fault);
		ck_assert_ptr_null(fault);
	}
}
END_TEST

Suite *params_suite(void);
Suite *params_suite(void)
{
	Suite *suite = suite_create("params");
	TCase *tcase = tcase_create("params");

	tcase_add_test(tcase, equal_sets_are_one_object);
	tcase_add_test(tcase, later_pairs_win_and_names_have_no_case);
	tcase_add_test(tcase, with_changes_adds_and_removes);
	tcase_add_test(tcase, overlay_takes_the_upper_value);
	tcase_add_test(tcase, sql_says_only_what_differs);
	tcase_add_test(tcase, trap_13_values_are_quoted);
	tcase_add_test(tcase, threads_may_share_sets);
	suite_add_tcase(suite, tcase);
	return suite;
}
