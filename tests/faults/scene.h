/*
 * What a fault happens to: a pgweir before the stage's PostgreSQL (tests/support/stage.h), with a man in the middle on either
 * side where the test wants one, and the ledger's clients at work.
 *
 * A test is: scene_start, the fault, scene_recovers, scene_end. The last one makes the checks that every fault has in common,
 * and leaves the pgweir to the stage, which ends it and looks how it ends.
 */
#ifndef TESTS_FAULTS_SCENE_H
#define TESTS_FAULTS_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/faults/ledger.h"
#include "tests/support/middle.h"
#include "tests/support/stage.h"

struct scene_options {
	const char *fault; /* what the line of figures is called */
	int clients;       /* of the ledger; 0: no ledger */
	int pool_size;     /* 0: 6 */
	bool front;        /* a middle between clients and pgweir */
	bool back;         /* a middle between pgweir and PostgreSQL */
	const char *more;  /* settings; NULL: none */
	const char *log;   /* where pgweir's stderr goes; NULL: as weir.h has it */
};

struct scene {
	char fault[48];
	struct middle *front; /* NULL: none */
	struct middle *back;
	struct ledger *ledger;
	PGconn *console;
	int descriptors; /* of pgweir without clients and servers, but with this console */
};

extern struct scene scene;

/* True when all faults are wanted, and not the short selection. */
bool all_faults(void);

/* Returns when each client of the ledger has committed. */
void scene_start(const struct scene_options *options);
/* The fault is over: a new client must be served within seconds, and then every client of the ledger. */
void scene_recovers(void);
/* Ends the ledger and looks whether all is well. */
void scene_end(void);

/* One more client of pgweir, past the middles, that asks one thing. False: it was not let in, or got an error. */
bool scene_is_served(void);
/* The number of SHOW POOLS for the stage's database. */
int64_t scene_pool_count(const char *column);

#endif
