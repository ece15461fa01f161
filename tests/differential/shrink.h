/*
 * Makes a script that fails shorter, as long as it still fails.
 */
#ifndef TESTS_DIFFERENTIAL_SHRINK_H
#define TESTS_DIFFERENTIAL_SHRINK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/differential/script.h"

/* Does this one fail? */
typedef bool shrink_test(void *context, const struct script *script);

/* Replaces the script by the shortest that is found until `deadline_ms` (of now_ms): nothing more can be left out of it. */
void shrink_script(struct script *script, shrink_test *fails, void *context, int64_t deadline_ms);

#endif
