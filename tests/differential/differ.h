/*
 * One script, said to PostgreSQL and said through pgweir: the answers must be the same.
 */
#ifndef TESTS_DIFFERENTIAL_DIFFER_H
#define TESTS_DIFFERENTIAL_DIFFER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/differential/place.h"
#include "tests/differential/script.h"
#include "tests/differential/talk.h"

/* How it goes through pgweir. */
struct trial {
	struct way way;
	enum cut cut;   /* on the client's side, and on the server's for a way that is split */
	uint64_t seed;  /* of the cuts */
	bool neighbour; /* somebody else uses the same pool */
	int64_t patience_ms;
};

/* What PostgreSQL says to it. False: the script does not come to its end there; talk->failure says why. */
bool differ_reference(struct place *place, const struct script *script, struct talk *reference, int64_t patience_ms);

/* NULL: pgweir says the same, has left a clean session and is quiet. Else what is different, which the caller frees. */
char *differ_trial(struct place *place, const struct script *script, const struct talk *reference,
		   const struct trial *trial);

/* "whole", "cut at random", "cut into bytes" */
const char *cut_name(enum cut cut);

#endif
