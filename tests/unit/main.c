/*
 * The main function of every test binary. Each tests/unit/test_X.c and tests/system/test_X.c becomes a binary of its own:
 * this file is compiled for it with SUITE set to X_suite, which test_X.c defines.
 */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

Suite *SUITE(void);

int main(void)
{
	/* Check's lines must stand in order with what the tests print before they fork. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	SRunner *runner = srunner_create(SUITE());
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	/* A suite in which nothing ran proves nothing. */
	bool empty = srunner_ntests_run(runner) == 0;
	srunner_free(runner);
	return failed || empty ? EXIT_FAILURE : EXIT_SUCCESS;
}
