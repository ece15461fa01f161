/*
 * Random numbers that repeat: the same seed gives the same run on every machine.
 *
 * Source: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
 */
#ifndef TESTS_DIFFERENTIAL_RANDOM_H
#define TESTS_DIFFERENTIAL_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0 .. bound - 1 */
static inline unsigned random_below(struct random *random, unsigned bound)
{
	return (unsigned)(random_next(random) % bound);
}

static inline bool random_percent(struct random *random, unsigned percent)
{
	return random_below(random, 100) < percent;
}

#endif
