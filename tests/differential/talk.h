/*
 * Runs a script once, with one side, and writes down what each client got.
 *
 * When a script waits (read), the direct run asks PostgreSQL itself: the backend has taken all bytes out of its socket and
 * then waits for its client. How many messages had come by then is what the run through pgweir waits for. So a script needs
 * no model of the protocol, and an answer that is missing is found where it is missing.
 *
 * At its end each client sends CopyFail, Sync and a Query that rolls back and selects a known word, and reads on until that
 * has come: whatever state the script has left, an answer too many or too few is seen.
 */
#ifndef TESTS_DIFFERENTIAL_TALK_H
#define TESTS_DIFFERENTIAL_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/differential/neighbour.h"
#include "tests/differential/peer.h"
#include "tests/differential/script.h"
#include "tests/support/libpq.h"

struct talk {
	struct transcript transcripts[CLIENTS_MAX];
	size_t *expected;  /* owned: for each step, how many messages its client has after it */
	char failure[256]; /* why it did not come to its end; "" when it did */
};

struct talk_options {
	struct endpoint endpoint;
	PGconn *super;                /* borrowed */
	const struct talk *reference; /* the same script's direct run; NULL: this is it */
	struct neighbour *neighbour;  /* NULL: there is none. Its next transaction begins when the last one ends */
	struct cutter cutter;
	int64_t patience_ms; /* for each wait */
};

/* False: it did not come to its end; the caller clears it either way. */
bool talk_run(struct talk *talk, const struct script *script, const struct talk_options *options);
void talk_clear(struct talk *talk);

#endif
