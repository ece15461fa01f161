#include "protocol/scram.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stringprep.h>

#include "protocol/scram_keys.h"
#include "protocol/scram_text.h"

/* The longest compatibility decomposition in Unicode, U+FDFA's: so much longer can a password become. */
#define SASLPREP_GROWTH 18u

/* ---- hashes ---- */

bool scram_hash(const uint8_t *data, size_t bytes, uint8_t out[PG_SCRAM_KEY_BYTES])
{
	return EVP_Digest(data, bytes, out, NULL, EVP_sha256(), NULL) == 1;
}

bool scram_hmac(const uint8_t key[PG_SCRAM_KEY_BYTES], const void *data, size_t bytes, uint8_t out[PG_SCRAM_KEY_BYTES])
{
	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, PG_SCRAM_KEY_BYTES, data, bytes, out,
			 PG_SCRAM_KEY_BYTES, NULL) != NULL;
}

void scram_put_auth_message(struct pg_buffer *out, const uint8_t *first_bare, size_t first_bare_bytes,
			    const struct pg_buffer *server_first, const uint8_t *without_proof,
			    size_t without_proof_bytes)
{
	pg_buffer_put_bytes(out, first_bare, first_bare_bytes);
	pg_buffer_put_u8(out, ',');
	pg_buffer_put_bytes(out, server_first->data, server_first->length);
	pg_buffer_put_u8(out, ',');
	pg_buffer_put_bytes(out, without_proof, without_proof_bytes);
}

void scram_xor(uint8_t out[PG_SCRAM_KEY_BYTES], const uint8_t a[PG_SCRAM_KEY_BYTES],
	       const uint8_t b[PG_SCRAM_KEY_BYTES])
{
	for (size_t i = 0; i < PG_SCRAM_KEY_BYTES; i++)
		out[i] = a[i] ^ b[i];
}

bool pg_equal_constant_time(const void *a, const void *b, size_t bytes)
{
	return CRYPTO_memcmp(a, b, bytes) == 0;
}

/* ---- the password ---- */

static bool is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text > 0x7f)
			return false;
	return true;
}

static void wipe_and_free(void *bytes, size_t count)
{
	if (bytes)
		OPENSSL_cleanse(bytes, count);
	free(bytes);
}

/* Runs SASLprep over code points; the new UTF-8 string, or NULL when it forbids them or leaves none. */
static char *prepare_points(const uint32_t *points, size_t count)
{
	/* libidn's own entry for strings begins again with room for 50 more whenever there is too little: far too often
	 * for a password of 64 KB that grows. */
	size_t capacity = count * SASLPREP_GROWTH + 1;
	uint32_t *room = calloc(capacity, sizeof(*room));
	if (!room)
		return NULL;
	memcpy(room, points, count * sizeof(*room));
	size_t length = count;
	char *prepared = NULL;
	if (stringprep_4i(room, &length, capacity, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep) == STRINGPREP_OK &&
	    length > 0)
		prepared = stringprep_ucs4_to_utf8(room, (ssize_t)length, NULL, NULL);
	wipe_and_free(room, capacity * sizeof(*room));
	return prepared;
}

/* The password as SASLprep wants it; NULL when it is to be used as it stands. To be wiped and freed. */
static char *prepare_password(const char *password)
{
	if (is_ascii(password))
		return NULL;
	size_t count = 0;
	uint32_t *points = stringprep_utf8_to_ucs4(password, -1, &count);
	if (!points)
		return NULL; /* not UTF-8 */
	char *prepared = prepare_points(points, count);
	wipe_and_free(points, count * sizeof(*points));
	return prepared;
}

static bool salt_password(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
			  uint8_t salted[PG_SCRAM_KEY_BYTES])
{
	size_t bytes = strlen(password);
	if (bytes > INT_MAX || salt_bytes > PG_SCRAM_SALT_BYTES_MAX || iterations < 1 ||
	    iterations > PG_SCRAM_ITERATIONS_MAX)
		return false;
	return PKCS5_PBKDF2_HMAC(password, (int)bytes, salt, (int)salt_bytes, (int)iterations, EVP_sha256(),
				 PG_SCRAM_KEY_BYTES, salted) == 1;
}

bool pg_scram_derive_keys(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
			  struct pg_scram_keys *keys)
{
	static const char client_label[] = "Client Key";
	static const char server_label[] = "Server Key";
	uint8_t salted[PG_SCRAM_KEY_BYTES];
	char *prepared = prepare_password(password);

	bool derived = salt_password(prepared ? prepared : password, salt, salt_bytes, iterations, salted) &&
		       scram_hmac(salted, client_label, sizeof(client_label) - 1, keys->client_key) &&
		       scram_hmac(salted, server_label, sizeof(server_label) - 1, keys->server_key);

	OPENSSL_cleanse(salted, sizeof(salted));
	wipe_and_free(prepared, prepared ? strlen(prepared) : 0);
	return derived;
}

/* ---- secrets ---- */

void pg_scram_secret_from_keys(const struct pg_scram_keys *keys, const uint8_t *salt, size_t salt_bytes,
			       uint32_t iterations, struct pg_scram_secret *secret)
{
	*secret = (struct pg_scram_secret){ 0 };
	if (salt_bytes < 1 || salt_bytes > PG_SCRAM_SALT_BYTES_MAX ||
	    !scram_hash(keys->client_key, PG_SCRAM_KEY_BYTES, secret->stored_key))
		return;
	memcpy(secret->salt, salt, salt_bytes);
	memcpy(secret->server_key, keys->server_key, PG_SCRAM_KEY_BYTES);
	secret->salt_bytes = salt_bytes;
	secret->iterations = iterations;
}

static bool decode_key(struct scram_span span, uint8_t key[PG_SCRAM_KEY_BYTES])
{
	size_t bytes;
	return scram_span_decode(span, key, PG_SCRAM_KEY_BYTES, &bytes) && bytes == PG_SCRAM_KEY_BYTES;
}

enum pg_result pg_scram_secret_parse(const char *text, struct pg_scram_secret *secret)
{
	struct pg_reader reader;
	pg_reader_init(&reader, text, strlen(text));
	struct scram_span mechanism = scram_take(&reader, '$');
	struct scram_span iterations = scram_take(&reader, ':');
	struct scram_span salt = scram_take(&reader, '$');
	struct scram_span stored_key = scram_take(&reader, ':');
	struct scram_span server_key = { reader.at, pg_reader_left(&reader) };
	if (reader.failed)
		return PG_BAD;

	*secret = (struct pg_scram_secret){ 0 };
	if (scram_span_is(mechanism, PG_SCRAM_MECHANISM) &&
	    scram_span_decode(salt, secret->salt, sizeof(secret->salt), &secret->salt_bytes) &&
	    decode_key(stored_key, secret->stored_key) && decode_key(server_key, secret->server_key) &&
	    scram_span_iterations(iterations, &secret->iterations))
		return PG_OK;
	OPENSSL_cleanse(secret, sizeof(*secret));
	return PG_BAD;
}

void pg_scram_secret_print(const struct pg_scram_secret *secret, struct pg_buffer *out)
{
	scram_put_text(out, PG_SCRAM_MECHANISM "$");
	scram_put_number(out, secret->iterations);
	pg_buffer_put_u8(out, ':');
	scram_put_base64(out, secret->salt, secret->salt_bytes);
	pg_buffer_put_u8(out, '$');
	scram_put_base64(out, secret->stored_key, PG_SCRAM_KEY_BYTES);
	pg_buffer_put_u8(out, ':');
	scram_put_base64(out, secret->server_key, PG_SCRAM_KEY_BYTES);
	pg_buffer_put_u8(out, 0);
}
