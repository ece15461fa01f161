/*
 * Deadlines for tests: monotonic milliseconds. Nothing waits without one.
 */
#ifndef TESTS_SUPPORT_CLOCK_H
#define TESTS_SUPPORT_CLOCK_H

#include <stdint.h>
#include <time.h>

/* How long a test waits for what should happen at once, before it fails. Long: machines are busy. */
#define PATIENCE_MS 20000

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Between two looks at something that cannot be waited for otherwise. */
static inline void pause_ms(int64_t ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

/* Looks at `condition` again and again until it holds or PATIENCE_MS are over; the value is whether it held. */
#define eventually(condition) \
	({ \
		int64_t eventually_deadline = now_ms() + PATIENCE_MS; \
		bool eventually_held; \
		while (!(eventually_held = (condition)) && now_ms() < eventually_deadline) \
			pause_ms(2); \
		eventually_held; \
	})

#endif
