#include "protocol/scram.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "protocol/scram_keys.h"
#include "protocol/scram_text.h"

/* We bind to no channel and log in for nobody else. */
#define HEADER "n,,"
#define HEADER_BASE64 "biws"

void pg_scram_client_init(struct pg_scram_client *client, const uint8_t *raw_nonce)
{
	*client = (struct pg_scram_client){ .client_first = PG_BUFFER_EMPTY };
	struct pg_buffer nonce = PG_BUFFER_EMPTY;
	scram_put_base64(&nonce, raw_nonce, PG_SCRAM_NONCE_RAW_BYTES);
	client->nonce = scram_to_string(&nonce);
	if (!client->nonce) {
		client->client_first.failed = true;
		return;
	}
	/* The name stays empty: a server takes it from the startup packet. */
	scram_put_text(&client->client_first, HEADER "n=,r=");
	scram_put_text(&client->client_first, client->nonce);
}

void pg_scram_client_clear(struct pg_scram_client *client)
{
	pg_buffer_clear(&client->client_first);
	pg_buffer_clear(&client->auth_message);
	pg_buffer_clear(&client->server_first);
	free(client->nonce);
	free(client->combined_nonce);
	*client = (struct pg_scram_client){ .client_first = PG_BUFFER_EMPTY };
}

/* ---- server-first, client-final ---- */

/* Ours must be its beginning, else the server answers somebody else; and the server must have added its own. */
static bool is_combined_nonce(struct scram_span nonce, const char *ours)
{
	size_t bytes = strlen(ours);
	return scram_span_is_nonce(nonce) && nonce.bytes > bytes && memcmp(nonce.data, ours, bytes) == 0;
}

enum pg_result pg_scram_client_challenge(struct pg_scram_client *client, const uint8_t *data, size_t bytes,
					 const char **error)
{
	if (!client->nonce || client->combined_nonce)
		return scram_bad(error, "a server-first message was not due");
	struct pg_reader reader;
	if (!scram_open(&reader, data, bytes))
		return scram_bad(error, "malformed server-first message: empty, too long or with a NUL");
	if (*data == 'm')
		return scram_bad(error, "the server requires an unknown SCRAM extension");
	struct scram_span nonce = scram_attribute(&reader, 'r');
	struct scram_span salt = scram_attribute(&reader, 's');
	struct scram_span iterations = scram_attribute(&reader, 'i');
	scram_skip_extensions(&reader, '\0');
	if (!pg_reader_done(&reader))
		return scram_bad(error, "malformed server-first message: wrong attributes");
	if (!is_combined_nonce(nonce, client->nonce))
		return scram_bad(error, "the server's nonce does not continue ours");
	if (!scram_span_decode(salt, client->salt, sizeof(client->salt), &client->salt_bytes))
		return scram_bad(error, "malformed server-first message: wrong salt");
	if (!scram_span_iterations(iterations, &client->iterations))
		return scram_bad(error, "the server asks for an iteration count that is no number or too high");

	pg_buffer_put_bytes(&client->server_first, data, bytes);
	struct pg_buffer combined = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&combined, nonce.data, nonce.bytes);
	client->combined_nonce = scram_to_string(&combined);
	if (!client->combined_nonce || client->server_first.failed)
		return scram_bad(error, "out of memory");
	return PG_OK;
}

/* Appends ClientKey xor HMAC(H(ClientKey), auth message). */
static bool put_proof(struct pg_buffer *out, const struct pg_scram_keys *keys, const struct pg_buffer *auth_message)
{
	uint8_t stored_key[PG_SCRAM_KEY_BYTES];
	uint8_t signature[PG_SCRAM_KEY_BYTES];
	uint8_t proof[PG_SCRAM_KEY_BYTES];
	bool computed = scram_hash(keys->client_key, PG_SCRAM_KEY_BYTES, stored_key) &&
			scram_hmac(stored_key, auth_message->data, auth_message->length, signature);
	if (computed) {
		scram_xor(proof, keys->client_key, signature);
		scram_put_base64(out, proof, sizeof(proof));
	}
	OPENSSL_cleanse(stored_key, sizeof(stored_key));
	OPENSSL_cleanse(signature, sizeof(signature));
	return computed;
}

void pg_scram_client_answer(struct pg_scram_client *client, const struct pg_scram_keys *keys, struct pg_buffer *out)
{
	if (!client->combined_nonce || client->client_first.failed || client->server_first.failed) {
		out->failed = true;
		return;
	}
	struct pg_buffer final = PG_BUFFER_EMPTY;
	scram_put_text(&final, "c=" HEADER_BASE64 ",r=");
	scram_put_text(&final, client->combined_nonce);

	const size_t header_bytes = strlen(HEADER);
	pg_buffer_clear(&client->auth_message);
	scram_put_auth_message(&client->auth_message, client->client_first.data + header_bytes,
			       client->client_first.length - header_bytes, &client->server_first, final.data,
			       final.length);
	scram_put_text(&final, ",p=");
	bool computed = !client->auth_message.failed && put_proof(&final, keys, &client->auth_message);

	pg_buffer_put_bytes(out, final.data, final.length);
	if (!computed || final.failed)
		out->failed = true;
	pg_buffer_clear(&final);
}

/* ---- server-final ---- */

enum pg_result pg_scram_client_verify(struct pg_scram_client *client, const struct pg_scram_keys *keys,
				      const uint8_t *data, size_t bytes, const char **error)
{
	if (client->auth_message.length == 0 || client->auth_message.failed)
		return scram_bad(error, "a server-final message was not due");
	struct pg_reader reader;
	if (!scram_open(&reader, data, bytes))
		return scram_bad(error, "malformed server-final message: empty, too long or with a NUL");
	if (*data == 'e')
		return scram_bad(error, "the server refused the SCRAM exchange");
	struct scram_span verifier = scram_attribute(&reader, 'v');
	scram_skip_extensions(&reader, '\0');
	uint8_t signature[PG_SCRAM_KEY_BYTES];
	size_t signature_bytes;
	if (!pg_reader_done(&reader) || !scram_span_decode(verifier, signature, sizeof(signature), &signature_bytes) ||
	    signature_bytes != sizeof(signature))
		return scram_bad(error, "malformed server-final message: wrong signature");

	uint8_t expected[PG_SCRAM_KEY_BYTES];
	if (!scram_hmac(keys->server_key, client->auth_message.data, client->auth_message.length, expected))
		return scram_bad(error, "out of memory");
	if (!pg_equal_constant_time(signature, expected, sizeof(expected)))
		return scram_bad(error, "the server does not know the password");
	return PG_OK;
}
