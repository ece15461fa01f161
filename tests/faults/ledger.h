/*
 * The workload under which faults happen: clients that move money between accounts, each in a thread of its own, and that
 * keep their own list of what became of each transfer.
 *
 * A transfer takes from one account, gives to another and writes a row of the journal, in one transaction; once in a while it
 * is rolled back instead. It is done in one of several ways, by chance: statement by statement in the simple or the extended
 * protocol, all in one Query, or as a pipeline. In each transaction a client also reads, and must see only what is its own:
 * a number that it has just made up, a setting that it has made in this transaction, its own rows of the journal.
 *
 * A client that loses its connection, or has been told of an error, goes on with the next transfer, and connects again where
 * it must. Afterwards ledger_check compares the lists with the database.
 */
#ifndef TESTS_FAULTS_LEDGER_H
#define TESTS_FAULTS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/support/libpq.h"

struct ledger;

struct ledger_counts {
	uint64_t committed; /* acknowledged */
	uint64_t refused;   /* rolled back, or an error before the end */
	uint64_t unknown;   /* the connection was lost when the end was under way */
	uint64_t connects;
	uint64_t fewest_committed; /* of any client */
	int64_t longest_ms;        /* the longest wait for an answer */
};

/* Makes the tables, as the superuser in the database of the test. */
void ledger_prepare(PGconn *super);

/* `conninfo` is borrowed until ledger_stop. */
struct ledger *ledger_start(const char *conninfo, int clients, uint64_t seed);
struct ledger_counts ledger_count(struct ledger *ledger);
/* True when each client has had `more` commits acknowledged since the call, within `timeout_ms`. */
bool ledger_goes_on(struct ledger *ledger, uint64_t more, int64_t timeout_ms);
/* All transfers end. False: a client has read what was not its own, got no answer for longer than a client may have to
 * wait, or was told of an error that no fault explains; `why` says which. */
#define LEDGER_WHY_BYTES 800
bool ledger_stop(struct ledger *ledger, char why[LEDGER_WHY_BYTES]);
/* After the stop, past pgweir. False: a commit that was acknowledged is not there, or one that was refused is, or the sums
 * do not hold. */
bool ledger_check(struct ledger *ledger, PGconn *super, char why[LEDGER_WHY_BYTES]);
void ledger_free(struct ledger *ledger);

#endif
