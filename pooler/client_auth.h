/*
 * How a client proves who it is: trust, plain, md5 or SCRAM-SHA-256 against the user list.
 *
 * An unknown user is led through the same exchange as a known one, with a secret that nobody knows, and fails in the same
 * place, with the same text, after the same work.
 *
 * What is expensive (deriving keys from a plain password) is done by the helper thread, once for each password.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_CLIENT_AUTH_H
#define POOLER_CLIENT_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/keys.h"

/* The longest password message: tokens of some providers have tens of kilobytes. */
#define CLIENT_AUTH_BYTES_MAX (68u * 1024u)

struct client_auth;

enum auth_outcome {
	AUTH_MORE,   /* an answer, or keys, are awaited */
	AUTH_PROVEN, /* it is who it says */
	AUTH_DENIED, /* it is not, or nobody knows */
	AUTH_BROKEN, /* it does not speak the protocol: client_auth_error */
};

/* client->user and client->database are known. NULL: no memory (every function below then denies). */
struct client_auth *client_auth_start(struct client *client);
/* NULL is harmless. */
void client_auth_free(struct client_auth *auth);

/* Sends the challenge, or finds that none is needed. */
enum auth_outcome client_auth_begin(struct client_auth *auth);
/* False while keys are awaited, or when all is said. */
bool client_auth_expects_input(const struct client_auth *auth);
/* The body of one password message. */
enum auth_outcome client_auth_input(struct client_auth *auth, const uint8_t *body, size_t size);
/* The keys that were asked for. */
enum auth_outcome client_auth_keys(struct client_auth *auth, const struct keys_job *job);
const char *client_auth_error(const struct client_auth *auth);

/* A plain password that was proven is remembered for logging in to the server of that pool. */
void client_auth_pass_on(const struct client_auth *auth, struct shared_pool *shared);

/* The client came over a unix socket and its process runs as our own user. */
bool client_auth_is_own_user(const struct client *client);

#endif
