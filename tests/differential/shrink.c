#include "tests/differential/shrink.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/clock.h"

/* Without the `count` steps from `first`, if it fails still. */
static bool try_without(struct script *script, size_t first, size_t count, shrink_test *fails, void *context)
{
	bool *dropped = calloc(script->count, sizeof(*dropped));
	struct script shorter;

	ck_assert_ptr_nonnull(dropped);
	memset(dropped + first, true, count);
	script_copy_without(&shorter, script, dropped);
	free(dropped);
	bool failed = fails(context, &shorter);
	if (failed) {
		script_clear(script);
		*script = shorter;
	} else {
		script_clear(&shorter);
	}
	return failed;
}

/* All pieces of that length, from the end: what comes late depends on what came before. */
static bool pass(struct script *script, size_t length, shrink_test *fails, void *context, int64_t deadline_ms)
{
	bool shorter = false;
	size_t end = script->count;

	while (end > 0 && script->count > 1 && now_ms() < deadline_ms) {
		size_t count = length < end ? length : end;
		if (count < script->count)
			shorter |= try_without(script, end - count, count, fails, context);
		end -= count;
	}
	return shorter;
}

void shrink_script(struct script *script, shrink_test *fails, void *context, int64_t deadline_ms)
{
	size_t length = script->count / 2;

	while (length > 0 && now_ms() < deadline_ms)
		if (!pass(script, length, fails, context, deadline_ms) || length > 1)
			length /= 2;
}
