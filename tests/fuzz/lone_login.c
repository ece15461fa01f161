/* How the clients and servers of a lone worker prove who they are. Keys are derived on the spot, in few rounds only. */
#include "pooler/keys.h"
#include "protocol/parse.h"
#include "protocol/scram.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lone_worker.h"

#define ROUNDS 1u
/* Who asks for more gets nothing: it would only take time. */
#define ROUNDS_MAX 16u

static const uint8_t salt[PG_SCRAM_SALT_BYTES] = "0123456789abcde";
static const uint8_t raw_nonce[PG_SCRAM_NONCE_RAW_BYTES] = "nonce nonce nonce";
static const uint8_t md5_salt[4] = "salt";

struct lone_scram {
	bool is_server;
	struct pg_scram_client client;
	struct pg_scram_server server;
	struct pg_scram_keys keys;
	struct pg_scram_secret secret;
};

void __wrap_keys_derive(struct keys_job *job);

void __wrap_keys_derive(struct keys_job *job)
{
	job->derived = job->iterations <= ROUNDS_MAX &&
		       pg_scram_derive_keys(job->password, job->salt, job->salt_bytes, job->iterations, &job->keys);
	mailbox_send(job->reply_to, &job->mail);
}

static struct lone_scram *scram_create(struct lone_end *end)
{
	struct lone_scram *scram = calloc(1, sizeof(*scram));

	assert(scram);
	lone_scram_free(end->scram);
	end->scram = scram;
	scram->is_server = end->is_server;
	return scram;
}

void lone_scram_free(struct lone_scram *scram)
{
	if (!scram)
		return;
	if (scram->is_server)
		pg_scram_server_clear(&scram->server);
	else
		pg_scram_client_clear(&scram->client);
	free(scram);
}

/* ---- a client ---- */

static void say_first(struct lone_end *end, struct pg_buffer *out)
{
	struct lone_scram *scram = scram_create(end);

	pg_scram_client_init(&scram->client, raw_nonce);
	pg_build_sasl_initial(out, PG_SCRAM_MECHANISM, scram->client.client_first.data,
			      scram->client.client_first.length);
}

static void say_proof(struct lone_end *end, const struct pg_authentication_request *request, struct pg_buffer *out)
{
	struct lone_scram *scram = end->scram;
	struct pg_buffer answer = PG_BUFFER_EMPTY;
	const char *error;

	if (!scram ||
	    pg_scram_client_challenge(&scram->client, request->payload, request->payload_bytes, &error) != PG_OK ||
	    scram->client.iterations > ROUNDS_MAX)
		return;
	assert(pg_scram_derive_keys(end->password, scram->client.salt, scram->client.salt_bytes,
				    scram->client.iterations, &scram->keys));
	pg_scram_client_answer(&scram->client, &scram->keys, &answer);
	pg_build_sasl_response(out, answer.data, answer.length);
	pg_buffer_clear(&answer);
}

void lone_client_asked(struct lone_end *end)
{
	struct pg_authentication_request request;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	const char *error;

	assert(pg_parse_authentication(end->watch.body, end->watch.body_bytes, &request) == PG_OK);
	switch (request.code) {
	case PG_AUTH_CLEARTEXT:
		pg_build_password(&out, end->password);
		break;
	case PG_AUTH_SASL:
		say_first(end, &out);
		break;
	case PG_AUTH_SASL_CONTINUE:
		say_proof(end, &request, &out);
		break;
	case PG_AUTH_SASL_FINAL:
		assert(pg_scram_client_verify(&end->scram->client, &end->scram->keys, request.payload,
					      request.payload_bytes, &error) == PG_OK);
		break;
	default:
		break;
	}
	lone_say_buffer(end, &out);
}

/* ---- a server ---- */

void lone_server_asks(struct lone *lone, struct lone_end *end)
{
	static const char mechanisms[] = PG_SCRAM_MECHANISM "\0";
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (lone->login == LONE_PLAIN) {
		pg_build_authentication(&out, PG_AUTH_CLEARTEXT, NULL, 0);
	} else if (lone->login == LONE_MD5) {
		pg_build_authentication(&out, PG_AUTH_MD5, md5_salt, sizeof(md5_salt));
	} else {
		struct lone_scram *scram = scram_create(end);
		assert(pg_scram_derive_keys(LONE_PASSWORD, salt, sizeof(salt), ROUNDS, &scram->keys));
		pg_scram_secret_from_keys(&scram->keys, salt, sizeof(salt), ROUNDS, &scram->secret);
		pg_build_authentication(&out, PG_AUTH_SASL, mechanisms, sizeof(mechanisms));
	}
	lone_say_buffer(end, &out);
}

static void refuse(struct lone_end *end, struct pg_buffer *out)
{
	pg_build_error(out, &(struct pg_report){ "FATAL", "28P01", "password authentication failed", NULL, NULL });
	lone_say_buffer(end, out);
}

static bool answered_md5(const struct lone_end *end)
{
	char secret[PG_MD5_TEXT_BYTES], expected[PG_MD5_TEXT_BYTES];

	/* The lists of users in these tests have this one with the password. */
	assert(pg_md5_secret(LONE_PASSWORD, "joe", secret) && pg_md5_response(secret, md5_salt, expected));
	return strcmp((const char *)end->watch.body, expected) == 0;
}

static bool answered_scram(struct lone_end *end, struct pg_buffer *out)
{
	struct lone_scram *scram = end->scram;
	const uint8_t *body = end->watch.body;
	size_t bytes = end->watch.body_bytes;
	struct pg_buffer final = PG_BUFFER_EMPTY;
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	struct pg_sasl_initial initial;
	const char *error;
	bool proven = false;

	if (!scram)
		return false;
	if (!scram->server.nonce) {
		if (pg_parse_sasl_initial(body, bytes, &initial) == PG_OK && initial.data &&
		    pg_scram_server_first(&scram->server, initial.data, initial.data_bytes, &scram->secret, raw_nonce,
					  &error) == PG_OK)
			pg_build_authentication(out, PG_AUTH_SASL_CONTINUE, scram->server.server_first.data,
						scram->server.server_first.length);
		return false;
	}
	pg_scram_server_final(&scram->server, body, bytes, &scram->secret, &proven, client_key, &final, &error);
	if (proven)
		pg_build_authentication(out, PG_AUTH_SASL_FINAL, final.data, final.length);
	pg_buffer_clear(&final);
	return proven;
}

bool lone_server_answered(struct lone *lone, struct lone_end *end)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	bool right = false;

	switch (lone->login) {
	case LONE_TRUST:
		return false;
	case LONE_PLAIN:
		right = strcmp((const char *)end->watch.body, LONE_PASSWORD) == 0;
		break;
	case LONE_MD5:
		right = answered_md5(end);
		break;
	case LONE_SCRAM:
		right = answered_scram(end, &out);
		break;
	}
	if (right || out.length)
		lone_say_buffer(end, &out);
	else
		refuse(end, &out);
	return right;
}
