/*
 * One client that moves a lot: the rows of a query or of COPY, one way or the other, again and again. On a blocking socket:
 * it has nothing else to do.
 */
#ifndef TESTS_BENCH_LOAD_BULK_H
#define TESTS_BENCH_LOAD_BULK_H

#include <stdint.h>

struct crowd;

struct bulk {
	const struct crowd *crowd; /* borrowed: where to, and as whom */
	const char *query;         /* a SELECT, COPY ... TO STDOUT or COPY ... FROM STDIN */
	uint64_t rows;             /* COPY FROM STDIN: so many rows of `row_bytes`, a number and a text */
	uint32_t row_bytes;
	/* Called after every few moved bytes, with the time and all bytes so far. */
	void (*progress)(void *argument, uint64_t now_ns, uint64_t bytes);
	void *argument;
};

/* For ever, or until the connection breaks: then the program ends. */
_Noreturn void bulk_run(const struct bulk *bulk);

#endif
