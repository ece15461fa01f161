/*
 * The seed of a random test. It is the same at every run, so that a failure repeats, unless PGWEIR_SEED says another.
 */
#ifndef TESTS_UNIT_SEED_H
#define TESTS_UNIT_SEED_H

#include <stdlib.h>

static inline unsigned seed_or(unsigned usual)
{
	const char *given = getenv("PGWEIR_SEED");
	return given ? (unsigned)strtoul(given, NULL, 10) : usual;
}

#endif
