/* The instructions that pgweir needs for a transaction do not grow unseen. tests/bench/instructions counts them. */
#include <check.h>
#include <stdio.h>

#include "tests/support/child.h"
#include "tests/support/directory.h"

/* Some 10 s on a machine that has nothing else to do. */
#define LIMIT_S 180

Suite *budget_suite(void);

START_TEST(transactions_stay_within_the_budget)
{
	const char *argv[] = { SOURCE_DIRECTORY "/tests/bench/instructions", "--build", build_directory(), "--check",
			       NULL };

	ck_assert_msg(child_run(argv, NULL, NULL, LIMIT_S * 1000) == 0,
		      "see above; if it must be so, make bench-instructions writes the new numbers");
}
END_TEST

/* Else the test above would prove nothing. */
START_TEST(a_budget_that_is_too_small_is_noticed)
{
	char directory[256], path[300], output[300];
	directory_create(directory, sizeof(directory), "budget");
	snprintf(path, sizeof(path), "%s/budget", directory);
	snprintf(output, sizeof(output), "%s/output", directory);
	file_write(path, "simple 100\n");
	const char *argv[] = { SOURCE_DIRECTORY "/tests/bench/instructions",
			       "--build",
			       build_directory(),
			       "--check",
			       "--budget",
			       path,
			       "--only",
			       "simple",
			       NULL };

	ck_assert_int_ne(child_run(argv, NULL, output, LIMIT_S * 1000), 0);
	ck_assert(file_contains(output, "the budget is 100 and 5 %"));
	directory_remove(directory);
}
END_TEST

Suite *budget_suite(void)
{
	Suite *suite = suite_create("budget");
	TCase *tcase = tcase_create("budget");

	tcase_set_timeout(tcase, LIMIT_S + 10);
	tcase_add_test(tcase, transactions_stay_within_the_budget);
	tcase_add_test(tcase, a_budget_that_is_too_small_is_noticed);
	suite_add_tcase(suite, tcase);
	return suite;
}
