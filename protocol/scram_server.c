#include "protocol/scram.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "protocol/scram_keys.h"
#include "protocol/scram_text.h"

void pg_scram_server_init(struct pg_scram_server *server)
{
	*server = (struct pg_scram_server){ .client_first_bare = PG_BUFFER_EMPTY, .server_first = PG_BUFFER_EMPTY };
}

void pg_scram_server_clear(struct pg_scram_server *server)
{
	pg_buffer_clear(&server->client_first_bare);
	pg_buffer_clear(&server->server_first);
	free(server->nonce);
	pg_scram_server_init(server);
}

/* ---- client-first, server-first ---- */

/* "n,," or "y,,": may the client bind to the channel, and for whom does it log in. */
static enum pg_result read_header(struct pg_reader *reader, char *flag, const char **error)
{
	uint8_t binding = pg_reader_u8(reader);
	if (binding == 'p')
		return scram_bad(error, "the client asks for channel binding, which was not offered");
	if ((binding != 'n' && binding != 'y') || pg_reader_u8(reader) != ',')
		return scram_bad(error, "malformed client-first message: wrong header");
	uint8_t identity = pg_reader_u8(reader);
	if (identity == 'a')
		return scram_bad(error, "authorization identities are not supported");
	if (identity != ',')
		return scram_bad(error, "malformed client-first message: wrong header");
	*flag = (char)binding;
	return PG_OK;
}

/* What follows the header: the user's name, which PostgreSQL's clients leave empty since the startup packet has it, and
 * the client's nonce. */
static enum pg_result read_first_bare(struct pg_reader *reader, struct scram_span *nonce, const char **error)
{
	if (pg_reader_left(reader) > 0 && *reader->at == 'm')
		return scram_bad(error, "the client requires an unknown SCRAM extension");
	scram_attribute(reader, 'n');
	*nonce = scram_attribute(reader, 'r');
	scram_skip_extensions(reader, '\0');
	if (!pg_reader_done(reader))
		return scram_bad(error, "malformed client-first message: wrong attributes");
	if (!scram_span_is_nonce(*nonce))
		return scram_bad(error, "malformed client-first message: wrong nonce");
	return PG_OK;
}

/* The client's nonce and ours. NULL without memory; to be freed. */
static char *combine_nonces(struct scram_span client_nonce, const uint8_t *raw_nonce)
{
	struct pg_buffer nonce = PG_BUFFER_EMPTY;
	pg_buffer_put_bytes(&nonce, client_nonce.data, client_nonce.bytes);
	scram_put_base64(&nonce, raw_nonce, PG_SCRAM_NONCE_RAW_BYTES);
	return scram_to_string(&nonce);
}

static void put_server_first(struct pg_buffer *out, const char *nonce, const struct pg_scram_secret *secret)
{
	scram_put_text(out, "r=");
	scram_put_text(out, nonce);
	scram_put_text(out, ",s=");
	scram_put_base64(out, secret->salt, secret->salt_bytes);
	scram_put_text(out, ",i=");
	scram_put_number(out, secret->iterations);
}

enum pg_result pg_scram_server_first(struct pg_scram_server *server, const uint8_t *data, size_t bytes,
				     const struct pg_scram_secret *secret, const uint8_t *raw_nonce, const char **error)
{
	pg_scram_server_clear(server);
	if (secret->iterations == 0)
		return scram_bad(error, "there is no usable SCRAM secret");
	struct pg_reader reader;
	if (!scram_open(&reader, data, bytes))
		return scram_bad(error, "malformed client-first message: empty, too long or with a NUL");
	if (read_header(&reader, &server->channel_flag, error) != PG_OK)
		return PG_BAD;
	pg_buffer_put_bytes(&server->client_first_bare, reader.at, pg_reader_left(&reader));
	struct scram_span client_nonce;
	if (read_first_bare(&reader, &client_nonce, error) != PG_OK)
		return PG_BAD;

	server->nonce = combine_nonces(client_nonce, raw_nonce);
	if (server->nonce)
		put_server_first(&server->server_first, server->nonce, secret);
	if (!server->nonce || server->server_first.failed || server->client_first_bare.failed)
		return scram_bad(error, "out of memory");
	return PG_OK;
}

/* ---- client-final, server-final ---- */

struct client_final {
	struct scram_span without_proof;
	uint8_t proof[PG_SCRAM_KEY_BYTES];
};

static enum pg_result read_client_final(const struct pg_scram_server *server, const uint8_t *data, size_t bytes,
					struct client_final *message, const char **error)
{
	struct pg_reader reader;
	if (!scram_open(&reader, data, bytes))
		return scram_bad(error, "malformed client-final message: empty, too long or with a NUL");
	struct scram_span channel = scram_attribute(&reader, 'c');
	struct scram_span nonce = scram_attribute(&reader, 'r');
	scram_skip_extensions(&reader, 'p');
	const uint8_t *proof_at = reader.at;
	struct scram_span proof = scram_attribute(&reader, 'p');
	if (!pg_reader_done(&reader))
		return scram_bad(error, "malformed client-final message: wrong attributes");
	/* The header of client-first in base64: somebody in between may have changed it. */
	if (!scram_span_is(channel, server->channel_flag == 'y' ? "eSws" : "biws"))
		return scram_bad(error, "the channel binding does not match");
	if (!scram_span_is(nonce, server->nonce))
		return scram_bad(error, "the nonce does not match");
	size_t proof_bytes;
	if (!scram_span_decode(proof, message->proof, sizeof(message->proof), &proof_bytes) ||
	    proof_bytes != sizeof(message->proof))
		return scram_bad(error, "malformed client-final message: wrong proof");
	/* All before the comma that comes before the proof. */
	message->without_proof = (struct scram_span){ data, (size_t)(proof_at - data) - 1 };
	return PG_OK;
}

/* ClientKey = proof xor HMAC(StoredKey, auth message); its hash must be StoredKey. */
static bool judge_proof(const uint8_t proof[PG_SCRAM_KEY_BYTES], const struct pg_scram_secret *secret,
			const struct pg_buffer *auth_message, bool *proven, uint8_t client_key[PG_SCRAM_KEY_BYTES])
{
	uint8_t signature[PG_SCRAM_KEY_BYTES];
	uint8_t stored_key[PG_SCRAM_KEY_BYTES];
	bool computed = scram_hmac(secret->stored_key, auth_message->data, auth_message->length, signature);
	if (computed) {
		scram_xor(client_key, proof, signature);
		computed = scram_hash(client_key, PG_SCRAM_KEY_BYTES, stored_key);
	}
	*proven = computed && pg_equal_constant_time(stored_key, secret->stored_key, PG_SCRAM_KEY_BYTES);
	if (!*proven)
		OPENSSL_cleanse(client_key, PG_SCRAM_KEY_BYTES);
	OPENSSL_cleanse(signature, sizeof(signature));
	return computed;
}

static bool put_server_final(struct pg_buffer *out, const struct pg_scram_secret *secret,
			     const struct pg_buffer *auth_message)
{
	uint8_t signature[PG_SCRAM_KEY_BYTES];
	if (!scram_hmac(secret->server_key, auth_message->data, auth_message->length, signature))
		return false;
	scram_put_text(out, "v=");
	scram_put_base64(out, signature, sizeof(signature));
	return !out->failed;
}

enum pg_result pg_scram_server_final(struct pg_scram_server *server, const uint8_t *data, size_t bytes,
				     const struct pg_scram_secret *secret, bool *proven,
				     uint8_t client_key[PG_SCRAM_KEY_BYTES], struct pg_buffer *final,
				     const char **error)
{
	*proven = false;
	memset(client_key, 0, PG_SCRAM_KEY_BYTES);
	if (!server->nonce)
		return scram_bad(error, "client-final message before client-first");
	struct client_final message;
	if (read_client_final(server, data, bytes, &message, error) != PG_OK)
		return PG_BAD;

	struct pg_buffer auth_message = PG_BUFFER_EMPTY;
	scram_put_auth_message(&auth_message, server->client_first_bare.data, server->client_first_bare.length,
			       &server->server_first, message.without_proof.data, message.without_proof.bytes);
	bool computed = !auth_message.failed && judge_proof(message.proof, secret, &auth_message, proven, client_key);
	if (computed && *proven)
		computed = put_server_final(final, secret, &auth_message);
	pg_buffer_clear(&auth_message);
	if (computed)
		return PG_OK;
	*proven = false;
	OPENSSL_cleanse(client_key, PG_SCRAM_KEY_BYTES);
	return scram_bad(error, "out of memory");
}
