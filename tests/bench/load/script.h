/*
 * What a client sends: one statement a transaction, by each of the protocols that pgbench knows, message for message as
 * pgbench sends them.
 */
#ifndef TESTS_BENCH_LOAD_SCRIPT_H
#define TESTS_BENCH_LOAD_SCRIPT_H

#include <stdint.h>

#include "protocol/buffer.h"

enum script_protocol {
	SCRIPT_SIMPLE,   /* Query */
	SCRIPT_EXTENDED, /* Parse, Bind, Describe, Execute, Sync */
	SCRIPT_PREPARED, /* once: Parse, Sync. Then Bind, Describe, Execute, Sync */
};

struct script {
	enum script_protocol protocol;
	char *text[2];  /* owned; the query; with ":id" in it, what stands before and behind it */
	char *query;    /* owned; with $1 in place of ":id" */
	uint64_t range; /* ":id" is a random number from 1 to this; 0: there is no ":id" */
};

/* `range` is for the place ":id" in the query, if it has one. */
void script_init(struct script *script, enum script_protocol protocol, const char *query, uint64_t range);
void script_clear(struct script *script);

/* SCRIPT_PREPARED: what makes the statement. */
void script_put_prepare(const struct script *script, struct pg_buffer *out);
/* A whole transaction; one ReadyForQuery answers it. `random` is any number. */
void script_put_transaction(const struct script *script, struct pg_buffer *out, uint64_t random);
/* A transaction that is not ended: by the simple protocol, one ReadyForQuery answers it. */
void script_put_leak(struct pg_buffer *out);

#endif
