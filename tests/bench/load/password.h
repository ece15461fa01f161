/*
 * Logging in by SCRAM-SHA-256 with one password for all sessions. What is expensive, deriving the keys, is done once, so
 * that the load's own time does not hide the other side's.
 */
#ifndef TESTS_BENCH_LOAD_PASSWORD_H
#define TESTS_BENCH_LOAD_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/parse.h"
#include "protocol/scram.h"

struct password {
	const char *text; /* borrowed; NULL: there is none */
	bool derived;     /* keys are for the salt and iterations that follow */
	struct pg_scram_keys keys;
	uint8_t salt[PG_SCRAM_SALT_BYTES_MAX];
	size_t salt_bytes;
	uint32_t iterations;
};

/* Answers an authentication request but the last one: what is to be sent is appended to `out`, maybe nothing. `*scram`
 * is the exchange of this log-in, made at its beginning and freed at its end or by password_forget. Ends the program
 * when the request cannot be met. */
void password_answer(struct password *password, struct pg_scram_client **scram,
		     const struct pg_authentication_request *request, struct pg_buffer *out);
void password_forget(struct pg_scram_client **scram);

#endif
