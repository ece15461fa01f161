/*
 * A second client beside the one that a script is about: it runs transactions of its own, one after the other, and checks
 * that it gets its own answers and nothing else, and that the session that it finds is clean.
 *
 * In transaction mode it runs between the script's transactions. In session mode it waits in line for the script's client to
 * go and sees what that leaves behind.
 */
#ifndef TESTS_DIFFERENTIAL_NEIGHBOUR_H
#define TESTS_DIFFERENTIAL_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/differential/peer.h"

struct neighbour {
	struct peer peer;
	unsigned number;    /* of the transaction under way */
	unsigned step;      /* of its kind */
	unsigned owed;      /* ReadyForQuery to come */
	char failure[4096]; /* "": none */
};

/* Logs in, within `patience_ms`. False: it could not; failure says why. */
bool neighbour_open(struct neighbour *neighbour, const struct endpoint *endpoint, int64_t patience_ms);
/* Begins its next transaction. */
void neighbour_begin(struct neighbour *neighbour);
/* Something has come: takes it, checks it when the transaction is over, and with `again` begins the next one. */
void neighbour_receive(struct neighbour *neighbour, bool again);
static inline bool neighbour_is_busy(const struct neighbour *neighbour)
{
	return neighbour->owed > 0 && neighbour->failure[0] == '\0';
}
/* Waits for the end of the transaction under way, and leaves. False: something was wrong; failure says what. */
bool neighbour_close(struct neighbour *neighbour, int64_t patience_ms);

/* All in one: logs in, runs one transaction of each kind, leaves. */
bool neighbour_visit(struct neighbour *neighbour, const struct endpoint *endpoint, int64_t patience_ms);

#endif
