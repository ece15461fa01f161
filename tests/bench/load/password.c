#include "tests/bench/load/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "protocol/build.h"

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "load: log-in: %s\n", what);
	exit(EXIT_FAILURE);
}

void password_forget(struct pg_scram_client **scram)
{
	if (!*scram)
		return;
	pg_scram_client_clear(*scram);
	free(*scram);
	*scram = NULL;
}

static void begin(struct pg_scram_client **scram, struct pg_buffer *out)
{
	uint8_t nonce[PG_SCRAM_NONCE_RAW_BYTES];

	must(getrandom(nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce), "no random bytes");
	password_forget(scram);
	*scram = malloc(sizeof(**scram));
	must(*scram != NULL, "no memory");
	pg_scram_client_init(*scram, nonce);
	pg_build_sasl_initial(out, PG_SCRAM_MECHANISM, (*scram)->client_first.data, (*scram)->client_first.length);
}

static void derive(struct password *password, const struct pg_scram_client *scram)
{
	if (password->derived && password->iterations == scram->iterations &&
	    password->salt_bytes == scram->salt_bytes && memcmp(password->salt, scram->salt, scram->salt_bytes) == 0)
		return;
	memcpy(password->salt, scram->salt, scram->salt_bytes);
	password->salt_bytes = scram->salt_bytes;
	password->iterations = scram->iterations;
	password->derived = pg_scram_derive_keys(password->text, scram->salt, scram->salt_bytes, scram->iterations,
						 &password->keys);
	must(password->derived, "no keys");
}

static void prove(struct password *password, struct pg_scram_client *scram,
		  const struct pg_authentication_request *request, struct pg_buffer *out)
{
	struct pg_buffer answer = PG_BUFFER_EMPTY;
	const char *error = "";

	must(pg_scram_client_challenge(scram, request->payload, request->payload_bytes, &error) == PG_OK, error);
	derive(password, scram);
	pg_scram_client_answer(scram, &password->keys, &answer);
	pg_build_sasl_response(out, answer.data, answer.length);
	pg_buffer_clear(&answer);
}

void password_answer(struct password *password, struct pg_scram_client **scram,
		     const struct pg_authentication_request *request, struct pg_buffer *out)
{
	const char *error = "";

	must(password->text != NULL, "a password is asked for, and there is none");
	switch (request->code) {
	case PG_AUTH_SASL:
		begin(scram, out);
		break;
	case PG_AUTH_SASL_CONTINUE:
		must(*scram != NULL, "a challenge that nobody asked for");
		prove(password, *scram, request, out);
		break;
	case PG_AUTH_SASL_FINAL:
		must(*scram != NULL && pg_scram_client_verify(*scram, &password->keys, request->payload,
							      request->payload_bytes, &error) == PG_OK,
		     error);
		password_forget(scram);
		break;
	default:
		must(false, "a kind of password that is not known here");
	}
}
