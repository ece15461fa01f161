/*
 * The suites of written scripts: one test for each file in tests/differential/scripts.
 *
 * DIFFERENTIAL_SCRIPTS="copy-*" runs only these, DIFFERENTIAL_SEED changes the seed of the first random cuts.
 */
#ifndef TESTS_DIFFERENTIAL_EVERY_SCRIPT_H
#define TESTS_DIFFERENTIAL_EVERY_SCRIPT_H

#include <check.h>
#include <stdbool.h>

/* All that may run in that mode. */
Suite *every_script_suite(const char *name, bool session);

#endif
