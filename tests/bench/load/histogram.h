/*
 * How long things took: counts in buckets that grow with the value, so that percentiles are right to 1.6 % from a
 * nanosecond to hours in a few kilobytes.
 *
 * Each power of two is cut into 64 equal buckets.
 */
#ifndef TESTS_BENCH_LOAD_HISTOGRAM_H
#define TESTS_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PART_BITS 6u
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_PART_BITS + 1u) << HISTOGRAM_PART_BITS)

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t largest;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Starts empty: all zero. */
void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that `share` (0 to 1) of all are not above: the middle of its bucket; 0 when nothing was added. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);
double histogram_mean(const struct histogram *histogram);

#endif
