#include "tests/bench/load/histogram.h"

#define PARTS (1u << HISTOGRAM_PART_BITS)

static unsigned bucket_of(uint64_t value)
{
	if (value < PARTS)
		return (unsigned)value;
	unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_PART_BITS;

	return ((shift + 1) << HISTOGRAM_PART_BITS) + (unsigned)((value >> shift) - PARTS);
}

/* The middle of what falls into the bucket. */
static uint64_t value_of(unsigned bucket)
{
	if (bucket < PARTS)
		return bucket;
	unsigned shift = (bucket >> HISTOGRAM_PART_BITS) - 1;
	uint64_t first = (uint64_t)((bucket & (PARTS - 1)) + PARTS) << shift;

	return first + (((uint64_t)1 << shift) >> 1);
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->sum += value;
	histogram->buckets[bucket_of(value)]++;
	if (value > histogram->largest)
		histogram->largest = value;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)((double)histogram->count * share + 0.5), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen > 0 && seen >= wanted)
			return value_of(i) < histogram->largest ? value_of(i) : histogram->largest;
	}
	return 0;
}

double histogram_mean(const struct histogram *histogram)
{
	return histogram->count > 0 ? (double)histogram->sum / (double)histogram->count : 0;
}
