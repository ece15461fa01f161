/*
 * What the tests of SCRAM share: an exchange whose two sides are ours, with every message read from guarded memory.
 */
#ifndef TESTS_UNIT_SCRAM_EXCHANGE_H
#define TESTS_UNIT_SCRAM_EXCHANGE_H

#include <check.h>
#include <string.h>

#include "protocol/scram.h"
#include "tests/unit/guarded.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Few rounds where the rounds do not matter: the tests derive many keys. */
#define ROUNDS 3u

static const uint8_t salt[PG_SCRAM_SALT_BYTES] = "0123456789abcde";
static const uint8_t client_raw[PG_SCRAM_NONCE_RAW_BYTES] = "client client cli";
static const uint8_t server_raw[PG_SCRAM_NONCE_RAW_BYTES] = "server server ser";

static struct guarded guarded;

static inline void set_up(void)
{
	guarded_init(&guarded);
}

static inline void tear_down(void)
{
	guarded_clear(&guarded);
}

static inline struct pg_scram_keys keys_of(const char *password)
{
	struct pg_scram_keys keys;
	ck_assert(pg_scram_derive_keys(password, salt, sizeof(salt), ROUNDS, &keys));
	return keys;
}

static inline struct pg_scram_secret secret_of(const char *password)
{
	struct pg_scram_keys keys = keys_of(password);
	struct pg_scram_secret secret;
	pg_scram_secret_from_keys(&keys, salt, sizeof(salt), ROUNDS, &secret);
	ck_assert_uint_eq(secret.iterations, ROUNDS);
	return secret;
}

static inline struct pg_buffer text_of(const char *text)
{
	struct pg_buffer buffer = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&buffer, text, strlen(text));
	return buffer;
}

static inline void expect_text(const struct pg_buffer *buffer, const char *text)
{
	ck_assert(!buffer->failed);
	ck_assert_uint_eq(buffer->length, strlen(text));
	ck_assert_mem_eq(buffer->data, text, strlen(text));
}

/* ---- one exchange, both sides ours, stopped before any of its steps ---- */

struct exchange {
	struct pg_scram_client client;
	struct pg_scram_server server;
	struct pg_buffer client_final;
	struct pg_buffer server_final;
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	bool proven;
	const char *error;
};

static inline void exchange_init(struct exchange *it)
{
	*it = (struct exchange){ .error = "none" };
	pg_scram_client_init(&it->client, client_raw);
	pg_scram_server_init(&it->server);
	ck_assert(!it->client.client_first.failed);
}

static inline void exchange_clear(struct exchange *it)
{
	pg_scram_client_clear(&it->client);
	pg_scram_server_clear(&it->server);
	pg_buffer_clear(&it->client_final);
	pg_buffer_clear(&it->server_final);
}

static inline enum pg_result server_first(struct exchange *it, const struct pg_scram_secret *secret, const void *data,
					  size_t bytes)
{
	return pg_scram_server_first(&it->server, guarded_put(&guarded, data, bytes), bytes, secret, server_raw,
				     &it->error);
}

static inline enum pg_result server_final(struct exchange *it, const struct pg_scram_secret *secret, const void *data,
					  size_t bytes)
{
	pg_buffer_clear(&it->server_final);
	return pg_scram_server_final(&it->server, guarded_put(&guarded, data, bytes), bytes, secret, &it->proven,
				     it->client_key, &it->server_final, &it->error);
}

static inline enum pg_result challenge(struct exchange *it, const void *data, size_t bytes)
{
	return pg_scram_client_challenge(&it->client, guarded_put(&guarded, data, bytes), bytes, &it->error);
}

static inline enum pg_result verify(struct exchange *it, const struct pg_scram_keys *keys, const void *data,
				    size_t bytes)
{
	return pg_scram_client_verify(&it->client, keys, guarded_put(&guarded, data, bytes), bytes, &it->error);
}

/* Up to the challenge, which the client has read. */
static inline void exchange_challenge(struct exchange *it, const struct pg_scram_secret *secret)
{
	exchange_init(it);
	const struct pg_buffer *first = &it->client.client_first;
	ck_assert_int_eq(server_first(it, secret, first->data, first->length), PG_OK);
	const struct pg_buffer *answer = &it->server.server_first;
	ck_assert_int_eq(challenge(it, answer->data, answer->length), PG_OK);
	ck_assert_uint_eq(it->client.salt_bytes, secret->salt_bytes);
	ck_assert_mem_eq(it->client.salt, secret->salt, secret->salt_bytes);
	ck_assert_uint_eq(it->client.iterations, secret->iterations);
}

/* All of it; answers whether the client was let in. */
static inline bool exchange_run(struct exchange *it, const struct pg_scram_secret *secret,
				const struct pg_scram_keys *keys)
{
	exchange_challenge(it, secret);
	pg_scram_client_answer(&it->client, keys, &it->client_final);
	ck_assert(!it->client_final.failed);
	ck_assert_int_eq(server_final(it, secret, it->client_final.data, it->client_final.length), PG_OK);
	return it->proven;
}

/* ---- the vector of RFC 7677 ---- */

#define RFC_CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_CLIENT_FINAL "c=biws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

#endif
