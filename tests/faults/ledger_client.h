/*
 * One client of the ledger: its connection, its transfers, and its list of what became of them.
 */
#ifndef TESTS_FAULTS_LEDGER_CLIENT_H
#define TESTS_FAULTS_LEDGER_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/libpq.h"

#define LEDGER_ACCOUNTS 64
#define LEDGER_BALANCE 1000

enum fate { FATE_REFUSED, FATE_COMMITTED, FATE_UNKNOWN };

struct ledger_client {
	pthread_t thread;
	int number;
	const char *conninfo; /* borrowed */
	atomic_bool *stop;    /* borrowed */

	/* the thread's own */
	PGconn *connection; /* owned; NULL: none */
	uint64_t random;
	uint64_t questions; /* a number that makes each answer another */
	bool committed;     /* the answer to COMMIT has come */
	char nonce[40];
	char setting[40];

	/* written by the thread, read when it has ended */
	uint8_t *fates; /* owned: enum fate, by sequence number */
	size_t fates_count;
	size_t fates_capacity;
	char complaint[700]; /* the first thing that must not be; "" when all was well */

	atomic_uint_fast64_t counts[3]; /* by enum fate */
	atomic_uint_fast64_t connects;
	atomic_int_fast64_t longest_ms;
};

/* The thread's function; the argument is the client. Runs until *stop. */
void *ledger_client_run(void *client);

#endif
