/*
 * Random conversations of one client, as a script.
 *
 * They are not valid in the sense of a model: what a script means is what PostgreSQL makes of it. They are made of pieces
 * that clients do send (a Query, a batch, a COPY with its data, a portal read in parts) and of single messages between them,
 * so that errors, failed transactions, COPYs that have ended and pipelines come about in all combinations.
 *
 * In transaction mode nothing is generated that a session would have to keep.
 */
#ifndef TESTS_DIFFERENTIAL_GENERATE_H
#define TESTS_DIFFERENTIAL_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/differential/script.h"

/* The same seed and mode give the same script. */
void generate_script(struct script *script, uint64_t seed, bool session);

#endif
