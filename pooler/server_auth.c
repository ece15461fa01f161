#include "pooler/server_auth.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/keys.h"
#include "pooler/server_login.h"
#include "protocol/build.h"
#include "protocol/parse.h"

static void free_secret(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

void server_auth_clear(struct server_auth *auth)
{
	free_secret(auth->password);
	if (auth->scram_started)
		pg_scram_client_clear(&auth->scram);
	OPENSSL_cleanse(auth, sizeof(*auth));
}

static void send_and_clear(struct server *server, struct pg_buffer *out)
{
	if (out->failed)
		stream_fail(&server->stream);
	else
		stream_write(&server->stream, out->data, out->length);
	pg_buffer_wipe(out);
}

/* The plain password, or NULL: what else there is, is told by `md5_secret`. */
static char *find_password(struct server *server, const char **md5_secret)
{
	const struct server_login *login = server->login;
	const struct conninfo *conninfo = &login->database->conninfo;
	const struct user *user = users_find(login->config->users, server->shared->user);

	*md5_secret = NULL;
	if (conninfo->password)
		return strdup(conninfo->password);
	if (user && user->kind == USER_SECRET_PLAIN)
		return strdup(user->secret);
	if (user && user->kind == USER_SECRET_MD5)
		*md5_secret = user->secret;
	return pools_get_client_password(server->shared);
}

/* There is one in the configuration. */
static bool has_password(const struct server *server)
{
	const struct server_login *login = server->login;
	const struct user *user = users_find(login->config->users, server->shared->user);

	return login->database->conninfo.password || (user && user->kind == USER_SECRET_PLAIN);
}

/* False: the login has failed. */
static bool need_password(struct server *server, const char *method)
{
	const char *md5_secret;
	char message[300];

	if (!server->login->auth.password)
		server->login->auth.password = find_password(server, &md5_secret);
	if (server->login->auth.password)
		return true;
	if (has_password(server)) {
		server_login_fail(server, "53200", "out of memory");
		return false;
	}
	snprintf(
		message, sizeof(message),
		"the server asks user \"%s\" for a password (%s), and there is none: give one in conninfo, or a plain one in "
		"auth_file",
		server->shared->user, method);
	server_login_fail_setup(server, "28P01", message);
	return false;
}

static bool answer_cleartext(struct server *server)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (!need_password(server, "plain"))
		return false;
	pg_build_password(&out, server->login->auth.password);
	send_and_clear(server, &out);
	return true;
}

static bool answer_md5(struct server *server, const struct pg_authentication_request *request)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char secret[PG_MD5_TEXT_BYTES], response[PG_MD5_TEXT_BYTES];
	const char *stored;

	free_secret(server->login->auth.password);
	server->login->auth.password = find_password(server, &stored);
	if (stored)
		snprintf(secret, sizeof(secret), "%s", stored);
	else if (!need_password(server, "md5"))
		return false;
	else if (!pg_md5_secret(server->login->auth.password, server->shared->user, secret)) {
		server_login_fail_setup(server, "XX000", "md5 is not available in this OpenSSL");
		return false;
	}
	if (request->payload_bytes != 4 || !pg_md5_response(secret, request->payload, response)) {
		server_login_fail_setup(server, "08P01", "the server sent a broken md5 challenge");
		return false;
	}
	pg_build_password(&out, response);
	send_and_clear(server, &out);
	OPENSSL_cleanse(secret, sizeof(secret));
	return true;
}

static bool offers_scram(const struct pg_authentication_request *request)
{
	const char *at = (const char *)request->payload;
	const char *end = at + request->payload_bytes;

	while (at < end && *at) {
		if (strcmp(at, PG_SCRAM_MECHANISM) == 0)
			return true;
		at += strnlen(at, (size_t)(end - at)) + 1;
	}
	return false;
}

static bool answer_sasl(struct server *server, const struct pg_authentication_request *request)
{
	struct server_login *login = server->login;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	uint8_t nonce[PG_SCRAM_NONCE_RAW_BYTES];

	if (!offers_scram(request)) {
		server_login_fail_setup(server, "28000", "the server offers no SASL mechanism that pgweir knows");
		return false;
	}
	if (!need_password(server, PG_SCRAM_MECHANISM))
		return false;
	if (login->auth.scram_started || RAND_bytes(nonce, sizeof(nonce)) != 1) {
		server_login_fail_setup(server, "08P01", "the server began SASL twice, or there is no randomness");
		return false;
	}
	pg_scram_client_init(&login->auth.scram, nonce);
	login->auth.scram_started = true;
	pg_build_sasl_initial(&out, PG_SCRAM_MECHANISM, login->auth.scram.client_first.data,
			      login->auth.scram.client_first.length);
	send_and_clear(server, &out);
	return true;
}

static void send_proof(struct server *server)
{
	struct server_login *login = server->login;
	struct pg_buffer answer = PG_BUFFER_EMPTY;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_scram_client_answer(&login->auth.scram, &login->auth.keys, &answer);
	pg_build_sasl_response(&out, answer.data, answer.length);
	out.failed |= answer.failed;
	send_and_clear(server, &out);
	pg_buffer_wipe(&answer);
	login->step = LOGIN_TALKING;
}

static void deliver_keys(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct keys_job *job = (struct keys_job *)(void *)mail;
	struct server *server = handles_find(&worker->servers, job->slot, job->generation);

	if (server && server->login && server->login->step == LOGIN_DERIVING) {
		if (job->derived) {
			server->login->auth.keys = job->keys;
			send_proof(server);
		} else {
			server_login_fail(server, "53200", "the keys for SCRAM could not be derived");
		}
	}
	keys_job_free(job);
}

static bool answer_challenge(struct server *server, const struct pg_authentication_request *request)
{
	struct server_login *login = server->login;
	struct pg_scram_client *scram = &login->auth.scram;
	const char *error = "it came out of order";

	if (!login->auth.scram_started || login->auth.scram.salt_bytes ||
	    pg_scram_client_challenge(scram, request->payload, request->payload_bytes, &error) != PG_OK) {
		char message[200];
		snprintf(message, sizeof(message), "the server's SCRAM challenge is broken: %s", error);
		server_login_fail_setup(server, "08P01", message);
		return false;
	}
	if (keys_find(login->auth.password, scram->salt, scram->salt_bytes, scram->iterations, &login->auth.keys)) {
		send_proof(server);
		return true;
	}
	struct keys_job *job = keys_job_create(login->auth.password, scram->salt, scram->salt_bytes, scram->iterations);
	if (!job) {
		server_login_fail(server, "53200", "out of memory");
		return false;
	}
	login->step = LOGIN_DERIVING;
	job->mail.deliver = deliver_keys;
	job->reply_to = &server->worker->mailbox;
	job->slot = server->member.handle.slot;
	job->generation = server->member.handle.generation;
	keys_derive(job);
	return true;
}

static bool check_signature(struct server *server, const struct pg_authentication_request *request)
{
	struct server_login *login = server->login;
	const char *error = "it came out of order";

	if (login->auth.scram_started && login->auth.scram.salt_bytes && login->step == LOGIN_TALKING &&
	    pg_scram_client_verify(&login->auth.scram, &login->auth.keys, request->payload, request->payload_bytes,
				   &error) == PG_OK) {
		login->auth.scram_proven = true;
		return true;
	}
	char message[200];
	snprintf(message, sizeof(message), "the server did not prove that it knows the password: %s", error);
	server_login_fail_setup(server, "28000", message);
	return false;
}

bool server_auth_request(struct server *server, const uint8_t *body, size_t size)
{
	struct pg_authentication_request request;
	char message[120];

	if (pg_parse_authentication(body, size, &request) != PG_OK) {
		server_login_fail_setup(server, "08P01", "the server sent a broken authentication request");
		return false;
	}
	switch (request.code) {
	case PG_AUTH_OK:
		server->login->auth.let_in = true;
		if (!server->login->auth.scram_started || server->login->auth.scram_proven)
			return true;
		server_login_fail_setup(server, "28000",
					"the server ended SCRAM without proving that it knows the password");
		return false;
	case PG_AUTH_CLEARTEXT:
		return answer_cleartext(server);
	case PG_AUTH_MD5:
		return answer_md5(server, &request);
	case PG_AUTH_SASL:
		return answer_sasl(server, &request);
	case PG_AUTH_SASL_CONTINUE:
		return answer_challenge(server, &request);
	case PG_AUTH_SASL_FINAL:
		return check_signature(server, &request);
	default:
		snprintf(message, sizeof(message),
			 "the server asks for authentication method %u, which pgweir does not know", request.code);
		server_login_fail_setup(server, "28000", message);
		return false;
	}
}
