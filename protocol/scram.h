/*
 * Passwords: SCRAM-SHA-256 on both sides, PostgreSQL's md5, and the secrets in a user list.
 *
 *      client                                              server
 *        | client-first:  n,,n=,r=CNONCE                     |
 *        | ------------------------------------------------> |
 *        |   server-first:  r=CNONCE SNONCE,s=SALT,i=ROUNDS  |
 *        | <------------------------------------------------ |
 *        | client-final:  c=biws,r=...,p=PROOF               |
 *        | ------------------------------------------------> |
 *        |                    server-final:  v=SIGNATURE     |
 *        | <------------------------------------------------ |
 *
 * Pure: no descriptors, no clock, no globals. Random bytes come in as arguments. The one expensive function is
 * pg_scram_derive_keys (PBKDF2: milliseconds); callers run it off their event loops. Any thread, one exchange each.
 *
 * Source: RFC 5802, RFC 7677, RFC 4013 (SASLprep, by libidn; like PostgreSQL, a password that SASLprep refuses is used
 * as it stands), PostgreSQL manual "SASL Authentication" and pg_authid.rolpassword.
 */
#ifndef PROTOCOL_SCRAM_H
#define PROTOCOL_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/frame.h"

#define PG_SCRAM_KEY_BYTES 32u
#define PG_SCRAM_SALT_BYTES 16u /* of the secrets that we make */
#define PG_SCRAM_SALT_BYTES_MAX 256u
#define PG_SCRAM_NONCE_RAW_BYTES 18u /* random bytes in a nonce of ours, before base64 */
#define PG_SCRAM_ITERATIONS_DEFAULT 4096u
#define PG_SCRAM_ITERATIONS_MAX 10000000u /* a server that asks for more is refused: it would burn our CPU */
#define PG_SCRAM_MESSAGE_BYTES_MAX 65535u /* a longer message is refused unread, as PostgreSQL does */
#define PG_SCRAM_MECHANISM "SCRAM-SHA-256"

/* What a server keeps of a password. */
struct pg_scram_secret {
	uint32_t iterations;
	uint8_t salt[PG_SCRAM_SALT_BYTES_MAX];
	size_t salt_bytes;
	uint8_t stored_key[PG_SCRAM_KEY_BYTES];
	uint8_t server_key[PG_SCRAM_KEY_BYTES];
};

/* What a client needs to prove that it knows a password: derived from it once for each salt and iteration count. */
struct pg_scram_keys {
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	uint8_t server_key[PG_SCRAM_KEY_BYTES];
};

/* PBKDF2 over the SASLprepped password: expensive. False when memory or OpenSSL fails, or the iterations or the salt
 * are beyond their bounds. */
bool pg_scram_derive_keys(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
			  struct pg_scram_keys *keys);
/* The server's secret from keys: cheap. A salt that is empty or too long, or a failure of OpenSSL, gives a secret with
 * 0 iterations, which pg_scram_server_first refuses. */
void pg_scram_secret_from_keys(const struct pg_scram_keys *keys, const uint8_t *salt, size_t salt_bytes,
			       uint32_t iterations, struct pg_scram_secret *secret);
/* "SCRAM-SHA-256$iterations:salt$stored:server" to and from its parts. It is printed with a NUL. */
enum pg_result pg_scram_secret_parse(const char *text, struct pg_scram_secret *secret);
void pg_scram_secret_print(const struct pg_scram_secret *secret, struct pg_buffer *out);

/* ---- the server's side of one exchange ---- */

struct pg_scram_server {
	struct pg_buffer client_first_bare; /* owned */
	struct pg_buffer server_first;      /* owned */
	char *nonce;                        /* owned: client's and ours together */
	char channel_flag;                  /* 'n' or 'y', as the client sent it */
};

void pg_scram_server_init(struct pg_scram_server *server);
void pg_scram_server_clear(struct pg_scram_server *server);
/* Reads client-first, writes server-first into server->server_first. `raw_nonce` are PG_SCRAM_NONCE_RAW_BYTES of
 * randomness. BAD: malformed, or a channel binding that we did not offer; `error` says which (a static string). */
enum pg_result pg_scram_server_first(struct pg_scram_server *server, const uint8_t *data, size_t bytes,
				     const struct pg_scram_secret *secret, const uint8_t *raw_nonce,
				     const char **error);
/* Reads client-final. PG_OK: *proven says whether the password was right (compared in constant time); then `final` is
 * the server-final message and `client_key` the ClientKey that the client proved (for logging in elsewhere).
 * BAD: malformed; `error` says how. */
enum pg_result pg_scram_server_final(struct pg_scram_server *server, const uint8_t *data, size_t bytes,
				     const struct pg_scram_secret *secret, bool *proven,
				     uint8_t client_key[PG_SCRAM_KEY_BYTES], struct pg_buffer *final,
				     const char **error);

/* ---- the client's side of one exchange ---- */

struct pg_scram_client {
	struct pg_buffer client_first; /* owned: with its "n,," */
	struct pg_buffer auth_message; /* owned: for the server's signature */
	char *nonce;                   /* owned */
	/* After pg_scram_client_challenge: what the keys must be derived with. */
	char *combined_nonce;          /* owned */
	struct pg_buffer server_first; /* owned */
	uint8_t salt[PG_SCRAM_SALT_BYTES_MAX];
	size_t salt_bytes;
	uint32_t iterations;
};

/* Writes client-first into client->client_first, whose `failed` says when there was no memory. `raw_nonce` are
 * PG_SCRAM_NONCE_RAW_BYTES of randomness. */
void pg_scram_client_init(struct pg_scram_client *client, const uint8_t *raw_nonce);
void pg_scram_client_clear(struct pg_scram_client *client);
/* Reads server-first: fills salt and iterations. BAD: malformed, our nonce is not its beginning or the server added
 * nothing to it, too many iterations, or not the first. */
enum pg_result pg_scram_client_challenge(struct pg_scram_client *client, const uint8_t *data, size_t bytes,
					 const char **error);
/* Writes client-final with the proof; `out` has failed when there was no challenge. `keys` were derived with the salt
 * and iterations of the challenge. */
void pg_scram_client_answer(struct pg_scram_client *client, const struct pg_scram_keys *keys, struct pg_buffer *out);
/* Reads server-final. BAD: malformed, the server's refusal ("e="), or a signature that shows it does not know us. */
enum pg_result pg_scram_client_verify(struct pg_scram_client *client, const struct pg_scram_keys *keys,
				      const uint8_t *data, size_t bytes, const char **error);

/* ---- md5 ---- */

#define PG_MD5_TEXT_BYTES 36u /* "md5", 32 hex digits, NUL */
/* "md5" + md5(password + user), as PostgreSQL stores it. */
bool pg_md5_secret(const char *password, const char *user, char out[PG_MD5_TEXT_BYTES]);
/* The answer to an md5 challenge: "md5" + md5(hex of the secret + salt). */
bool pg_md5_response(const char secret[PG_MD5_TEXT_BYTES], const uint8_t salt[4], char out[PG_MD5_TEXT_BYTES]);

/* Equal length and bytes, in time that depends on `bytes` only. */
bool pg_equal_constant_time(const void *a, const void *b, size_t bytes);

#endif
