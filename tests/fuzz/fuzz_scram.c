/*
 * SCRAM on both sides: messages from the input, in the place of each of the four, and secrets from a user list. Nobody gets in
 * with a message that does not hold the right proof, and nobody is believed without the right signature.
 *
 * The first byte chooses what the rest is.
 */
#define _GNU_SOURCE /* memmem */
#include "protocol/scram.h"
#include "tests/fuzz/fuzz.h"

#define ROUNDS 1u

static const uint8_t salt[PG_SCRAM_SALT_BYTES] = "0123456789abcde";
static const uint8_t client_raw[PG_SCRAM_NONCE_RAW_BYTES] = "client client cli";
static const uint8_t server_raw[PG_SCRAM_NONCE_RAW_BYTES] = "server server ser";

static struct pg_scram_keys keys;
static struct pg_scram_secret secret;

/* The same for every input, and dear. */
static void make_secret(void)
{
	if (secret.iterations)
		return;
	assert(pg_scram_derive_keys("password", salt, sizeof(salt), ROUNDS, &keys));
	pg_scram_secret_from_keys(&keys, salt, sizeof(salt), ROUNDS, &secret);
	assert(secret.iterations == ROUNDS);
}

/* Both sides of an exchange that goes well, up to what the input takes the place of. */
struct exchange {
	struct pg_scram_client client;
	struct pg_scram_server server;
	struct pg_buffer client_final;
	struct pg_buffer server_final;
	bool proven;
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	const char *error;
};

static void exchange_clear(struct exchange *it)
{
	pg_scram_client_clear(&it->client);
	pg_scram_server_clear(&it->server);
	pg_buffer_clear(&it->client_final);
	pg_buffer_clear(&it->server_final);
}

static enum pg_result take_client_first(struct exchange *it, const uint8_t *data, size_t bytes)
{
	return pg_scram_server_first(&it->server, data, bytes, &secret, server_raw, &it->error);
}

static enum pg_result take_client_final(struct exchange *it, const uint8_t *data, size_t bytes)
{
	pg_buffer_clear(&it->server_final);
	return pg_scram_server_final(&it->server, data, bytes, &secret, &it->proven, it->client_key, &it->server_final,
				     &it->error);
}

static void exchange_begin(struct exchange *it)
{
	*it = (struct exchange){ .error = NULL };
	pg_scram_server_init(&it->server);
	pg_scram_client_init(&it->client, client_raw);
	assert(!it->client.client_first.failed);
	assert(take_client_first(it, it->client.client_first.data, it->client.client_first.length) == PG_OK);
}

static void exchange_answer(struct exchange *it)
{
	const struct pg_buffer *first = &it->server.server_first;

	assert(pg_scram_client_challenge(&it->client, first->data, first->length, &it->error) == PG_OK);
	pg_scram_client_answer(&it->client, &keys, &it->client_final);
	assert(!it->client_final.failed);
}

/* A server always has words for what it does not take. */
static void expect_said(const struct exchange *it, enum pg_result result)
{
	assert(result == PG_OK || (it->error && *it->error));
}

static void try_client_first(struct exchange *it, const uint8_t *data, size_t bytes)
{
	enum pg_result result = take_client_first(it, data, bytes);

	expect_said(it, result);
	if (result == PG_OK)
		assert(it->server.server_first.length > 0 && it->server.nonce);
	/* Whatever it was, the exchange can be begun anew. */
	const struct pg_buffer *again = &it->client.client_first;
	assert(take_client_first(it, again->data, again->length) == PG_OK);
}

/* The attribute at the end of a good message, as it must stand in whatever is accepted. */
static const char *last_attribute(const struct pg_buffer *message, const char *name, size_t *bytes)
{
	const uint8_t *at = memmem(message->data, message->length, name, strlen(name));

	assert(at);
	*bytes = (size_t)(message->data + message->length - at);
	return (const char *)at;
}

static void try_client_final(struct exchange *it, const uint8_t *data, size_t bytes)
{
	size_t proof_bytes;
	exchange_answer(it);
	const char *proof = last_attribute(&it->client_final, "p=", &proof_bytes);
	enum pg_result result = take_client_final(it, data, bytes);

	expect_said(it, result);
	assert(result == PG_OK || !it->proven);
	/* The proof signs the whole message: only the one that the client would send is right. */
	if (it->proven)
		assert(bytes == it->client_final.length && memcmp(data, it->client_final.data, bytes) == 0 &&
		       memmem(data, bytes, proof, proof_bytes) && it->server_final.length > 0);
	else
		assert(it->server_final.length == 0);
}

static void try_server_first(struct exchange *it, const uint8_t *data, size_t bytes)
{
	enum pg_result result = pg_scram_client_challenge(&it->client, data, bytes, &it->error);

	expect_said(it, result);
	pg_scram_client_answer(&it->client, &keys, &it->client_final);
	if (result == PG_OK) {
		assert(it->client.salt_bytes >= 1 && it->client.salt_bytes <= PG_SCRAM_SALT_BYTES_MAX);
		assert(it->client.iterations >= 1 && it->client.iterations <= PG_SCRAM_ITERATIONS_MAX);
		assert(!it->client_final.failed);
	}
	expect_said(it, pg_scram_client_challenge(&it->client, data, bytes, &it->error));
}

static void try_server_final(struct exchange *it, const uint8_t *data, size_t bytes)
{
	size_t signature_bytes;
	exchange_answer(it);
	assert(take_client_final(it, it->client_final.data, it->client_final.length) == PG_OK && it->proven);
	const char *signature = last_attribute(&it->server_final, "v=", &signature_bytes);
	enum pg_result result = pg_scram_client_verify(&it->client, &keys, data, bytes, &it->error);

	expect_said(it, result);
	if (result == PG_OK)
		assert(memmem(data, bytes, signature, signature_bytes));
}

/* A secret that parses prints to what parses to the same. */
static void try_secret(const uint8_t *data, size_t bytes)
{
	char *text = fuzz_string(data, bytes);
	struct pg_scram_secret first, second;
	struct pg_buffer printed = PG_BUFFER_EMPTY;

	if (pg_scram_secret_parse(text, &first) == PG_OK) {
		pg_scram_secret_print(&first, &printed);
		assert(!printed.failed);
		assert(pg_scram_secret_parse((const char *)printed.data, &second) == PG_OK);
		assert(first.iterations == second.iterations && first.salt_bytes == second.salt_bytes);
		assert(memcmp(first.salt, second.salt, first.salt_bytes) == 0);
		assert(memcmp(first.stored_key, second.stored_key, PG_SCRAM_KEY_BYTES) == 0);
		assert(memcmp(first.server_key, second.server_key, PG_SCRAM_KEY_BYTES) == 0);
	}
	pg_buffer_clear(&printed);
	free(text);
}

/* Any password can be salted, SASLprep or not. */
static void try_password(const uint8_t *data, size_t bytes)
{
	char *password = fuzz_string(data, bytes);
	struct pg_scram_keys derived;
	char md5[PG_MD5_TEXT_BYTES];

	assert(pg_scram_derive_keys(password, salt, sizeof(salt), ROUNDS, &derived));
	if (pg_md5_secret(password, "joe", md5))
		assert(strlen(md5) == PG_MD5_TEXT_BYTES - 1);
	free(password);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct exchange *, const uint8_t *, size_t) = { try_client_first, try_client_final,
										     try_server_first,
										     try_server_final };
	struct choices choices = { data, data + size };
	unsigned which = choose(&choices, 6);
	uint8_t *message = fuzz_copy(choices.at, choices_left(&choices));
	struct exchange exchange;

	make_secret();
	if (which == 4) {
		try_secret(message, choices_left(&choices));
	} else if (which == 5) {
		try_password(message, choices_left(&choices));
	} else {
		exchange_begin(&exchange);
		tries[which](&exchange, message, choices_left(&choices));
		exchange_clear(&exchange);
	}
	free(message);
	return 0;
}
