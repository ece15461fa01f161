#include "pooler/client_auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pooler/client_login.h"
#include "pooler/console_client.h"
#include "protocol/parse.h"

enum auth_step { AUTH_STEP_PASSWORD, AUTH_STEP_SASL_FIRST, AUTH_STEP_SASL_FINAL, AUTH_STEP_KEYS, AUTH_STEP_OVER };

struct client_auth {
	struct client *client; /* borrowed: owns this */
	enum auth_step step;
	enum auth_type method;
	const struct config *config; /* held */
	const struct user *user;     /* borrowed from config; NULL: unknown */
	char *password; /* owned; secret; a plain password: the list's, the client's own, or a made up one */
	uint8_t md5_salt[4];
	struct pg_scram_server scram;
	struct pg_scram_secret secret;
	struct pg_buffer final_message; /* client-final, kept while keys are derived */
	const char *error;              /* static */
};

/* Makes salts and passwords for users that do not exist, the same each time for the same name. */
static uint8_t process_secret[32];
static pthread_once_t process_secret_once = PTHREAD_ONCE_INIT;

static void make_process_secret(void)
{
	if (RAND_bytes(process_secret, sizeof(process_secret)) != 1)
		abort(); /* without randomness nothing here is safe */
}

static void invent(const char *purpose, const char *name, uint8_t out[32])
{
	unsigned int bytes = 32;
	char text[PG_NAME_BYTES_MAX + 16];

	pthread_once(&process_secret_once, make_process_secret);
	snprintf(text, sizeof(text), "%s:%s", purpose, name);
	HMAC(EVP_sha256(), process_secret, sizeof(process_secret), (const unsigned char *)text, strlen(text), out,
	     &bytes);
}

static void free_secret(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

struct client_auth *client_auth_start(struct client *client)
{
	struct client_auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return NULL;
	auth->client = client;
	auth->config = config_hold(client->worker->config);
	auth->user = users_find(auth->config->users, client->user);
	auth->method = auth->config->settings.auth_type;
	auth->error = "";
	pg_scram_server_init(&auth->scram);
	return auth;
}

void client_auth_free(struct client_auth *auth)
{
	if (!auth)
		return;
	free_secret(auth->password);
	pg_scram_server_clear(&auth->scram);
	pg_buffer_wipe(&auth->final_message);
	OPENSSL_cleanse(&auth->secret, sizeof(auth->secret));
	config_drop(auth->config);
	free(auth);
}

const char *client_auth_error(const struct client_auth *auth)
{
	return auth->error;
}

bool client_auth_expects_input(const struct client_auth *auth)
{
	return auth && (auth->step == AUTH_STEP_PASSWORD || auth->step == AUTH_STEP_SASL_FIRST ||
			auth->step == AUTH_STEP_SASL_FINAL);
}

bool client_auth_is_own_user(const struct client *client)
{
	return client->peer.family == AF_UNIX && client->peer.pid != 0 && client->peer.uid == geteuid();
}

void client_auth_pass_on(const struct client_auth *auth, struct shared_pool *shared)
{
	if (auth && auth->method == AUTH_TYPE_PLAIN && auth->password)
		pools_set_client_password(shared, auth->password);
}

/* ---- the challenge ---- */

static void send_request(struct client_auth *auth, enum pg_authentication code, const void *payload, size_t bytes)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_authentication(&out, code, payload, bytes);
	client_send(auth->client, &out);
}

/* Without a user list everybody is trusted to be whom he says; with one, only those in it. */
static enum auth_outcome begin_trust(const struct client_auth *auth)
{
	bool any = users_count(auth->config->users) == 0 && !auth->config->settings.auth_file[0];

	return any || auth->user ? AUTH_PROVEN : AUTH_DENIED;
}

enum auth_outcome client_auth_begin(struct client_auth *auth)
{
	static const char mechanisms[] = PG_SCRAM_MECHANISM "\0"; /* the list ends with an empty name */

	if (!auth)
		return AUTH_DENIED;
	auth->step = AUTH_STEP_OVER;
	if (console_is_database(auth->client->database) && client_auth_is_own_user(auth->client))
		return AUTH_PROVEN;
	/* As PgBouncer: a list with SCRAM secrets makes md5 ask for SCRAM. */
	if (auth->method == AUTH_TYPE_MD5 && auth->user && auth->user->kind == USER_SECRET_SCRAM)
		auth->method = AUTH_TYPE_SCRAM;
	switch (auth->method) {
	case AUTH_TYPE_TRUST:
		return begin_trust(auth);
	case AUTH_TYPE_PLAIN:
		auth->step = AUTH_STEP_PASSWORD;
		send_request(auth, PG_AUTH_CLEARTEXT, NULL, 0);
		break;
	case AUTH_TYPE_MD5:
		auth->step = AUTH_STEP_PASSWORD;
		if (RAND_bytes(auth->md5_salt, sizeof(auth->md5_salt)) != 1)
			return AUTH_DENIED;
		send_request(auth, PG_AUTH_MD5, auth->md5_salt, sizeof(auth->md5_salt));
		break;
	case AUTH_TYPE_SCRAM:
		auth->step = AUTH_STEP_SASL_FIRST;
		send_request(auth, PG_AUTH_SASL, mechanisms, sizeof(mechanisms));
		break;
	}
	return AUTH_MORE;
}

/* ---- keys from plain passwords ---- */

static void deliver_keys(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct keys_job *job = (struct keys_job *)(void *)mail;
	struct client *client = handles_find(&worker->clients, job->slot, job->generation);

	if (client)
		client_login_keys(client, job);
	keys_job_free(job);
}

/* Asks for the keys of auth->password with auth->secret's salt. AUTH_PROVEN: they are in `keys` already. */
static enum auth_outcome want_keys(struct client_auth *auth, struct pg_scram_keys *keys)
{
	const struct pg_scram_secret *secret = &auth->secret;
	struct client *client = auth->client;

	if (keys_find(auth->password, secret->salt, secret->salt_bytes, secret->iterations, keys))
		return AUTH_PROVEN;
	struct keys_job *job = keys_job_create(auth->password, secret->salt, secret->salt_bytes, secret->iterations);
	if (!job)
		return AUTH_DENIED;
	auth->step = AUTH_STEP_KEYS;
	job->mail.deliver = deliver_keys;
	job->reply_to = &client->worker->mailbox;
	job->slot = client->waiter.handle.slot;
	job->generation = client->waiter.handle.generation;
	keys_derive(job);
	return AUTH_MORE;
}

static void secret_from_keys(struct client_auth *auth, const struct pg_scram_keys *keys)
{
	struct pg_scram_secret *secret = &auth->secret;

	pg_scram_secret_from_keys(keys, secret->salt, secret->salt_bytes, secret->iterations, secret);
}

/* ---- plain and md5 ---- */

static bool equal_text(const char *a, const char *b)
{
	size_t bytes = strlen(a);

	return strlen(b) == bytes && pg_equal_constant_time(a, b, bytes);
}

static enum auth_outcome proven_if(bool right)
{
	return right ? AUTH_PROVEN : AUTH_DENIED;
}

/* Which kind of secret an unknown user is taken to have: what is usual in this list. */
static enum user_secret usual_kind(const struct users *users)
{
	return users_count(users) > 0 ? users_at(users, 0)->kind : USER_SECRET_PLAIN;
}

/* The secret that the exchange is held against. For a plain password only salt and iterations are known yet. */
static bool choose_secret(struct client_auth *auth)
{
	const struct user *user = auth->user;
	uint8_t invented[32];
	char password[80];

	if (user && user->kind == USER_SECRET_SCRAM) {
		auth->secret = *user->scram;
		return true;
	}
	invent("salt", auth->client->user, invented);
	auth->secret = (struct pg_scram_secret){ .iterations = auth->config->settings.scram_iterations,
						 .salt_bytes = PG_SCRAM_SALT_BYTES };
	memcpy(auth->secret.salt, invented, PG_SCRAM_SALT_BYTES);
	if (user && user->kind == USER_SECRET_PLAIN) {
		auth->password = strdup(user->secret);
		return auth->password != NULL;
	}
	invent("password", auth->client->user, invented);
	if (usual_kind(auth->config->users) == USER_SECRET_SCRAM) {
		memcpy(auth->secret.stored_key, invented, PG_SCRAM_KEY_BYTES);
		return true;
	}
	for (size_t i = 0; i < 32; i++)
		snprintf(password + 2 * i, 3, "%02x", invented[i]);
	auth->password = strdup(password);
	return auth->password != NULL;
}

/* The keys of the client's own password against a SCRAM secret of the list. */
static enum auth_outcome check_plain_keys(const struct client_auth *auth, const struct pg_scram_keys *keys)
{
	struct pg_scram_secret shown;

	pg_scram_secret_from_keys(keys, auth->secret.salt, auth->secret.salt_bytes, auth->secret.iterations, &shown);
	return proven_if(auth->user && auth->user->kind == USER_SECRET_SCRAM &&
			 pg_equal_constant_time(shown.stored_key, auth->user->scram->stored_key, PG_SCRAM_KEY_BYTES));
}

static enum auth_outcome check_plain(struct client_auth *auth, const char *password)
{
	char md5[PG_MD5_TEXT_BYTES];
	struct pg_scram_keys keys;
	const struct user *user = auth->user;

	auth->password = strdup(password);
	if (!auth->password || !*password)
		return AUTH_DENIED;
	switch (user ? user->kind : usual_kind(auth->config->users)) {
	case USER_SECRET_PLAIN:
		return proven_if(user && equal_text(password, user->secret));
	case USER_SECRET_MD5:
		return proven_if(pg_md5_secret(password, auth->client->user, md5) && user &&
				 equal_text(md5, user->secret));
	case USER_SECRET_SCRAM: {
		if (!choose_secret(auth))
			return AUTH_DENIED;
		enum auth_outcome outcome = want_keys(auth, &keys);
		return outcome == AUTH_PROVEN ? check_plain_keys(auth, &keys) : outcome;
	}
	case USER_SECRET_NONE:
		break;
	}
	return AUTH_DENIED;
}

static enum auth_outcome check_md5(struct client_auth *auth, const char *response)
{
	char secret[PG_MD5_TEXT_BYTES] = "", expected[PG_MD5_TEXT_BYTES];
	const struct user *user = auth->user;
	uint8_t invented[32];
	bool known = user != NULL;

	if (known && user->kind == USER_SECRET_PLAIN)
		known = pg_md5_secret(user->secret, user->name, secret);
	else if (known && user->kind == USER_SECRET_MD5)
		snprintf(secret, sizeof(secret), "%s", user->secret);
	else
		known = false;
	if (!known) {
		invent("md5", auth->client->user, invented);
		snprintf(secret, sizeof(secret), "md5%015d%017d", invented[0], invented[1]);
	}
	bool right = pg_md5_response(secret, auth->md5_salt, expected) && equal_text(response, expected);
	return proven_if(right && known);
}

static enum auth_outcome check_password(struct client_auth *auth, const uint8_t *body, size_t size)
{
	const char *password;

	if (pg_parse_password(body, size, &password) != PG_OK) {
		auth->error = "invalid password message";
		return AUTH_BROKEN;
	}
	auth->step = AUTH_STEP_OVER;
	return auth->method == AUTH_TYPE_PLAIN ? check_plain(auth, password) : check_md5(auth, password);
}

/* ---- SCRAM ---- */

static enum auth_outcome sasl_first(struct client_auth *auth, const uint8_t *body, size_t size)
{
	struct pg_sasl_initial initial;
	uint8_t nonce[PG_SCRAM_NONCE_RAW_BYTES];

	auth->error = "invalid SASL message";
	if (pg_parse_sasl_initial(body, size, &initial) != PG_OK || !initial.data)
		return AUTH_BROKEN;
	auth->error = "the client chose a SASL mechanism that was not offered";
	if (strcmp(initial.mechanism, PG_SCRAM_MECHANISM) != 0)
		return AUTH_BROKEN;
	if (!choose_secret(auth) || RAND_bytes(nonce, sizeof(nonce)) != 1)
		return AUTH_DENIED;
	if (pg_scram_server_first(&auth->scram, initial.data, initial.data_bytes, &auth->secret, nonce, &auth->error) !=
	    PG_OK)
		return AUTH_BROKEN;
	send_request(auth, PG_AUTH_SASL_CONTINUE, auth->scram.server_first.data, auth->scram.server_first.length);
	auth->step = AUTH_STEP_SASL_FINAL;
	return AUTH_MORE;
}

/* Whether a proof can be right at all: the exchange of an unknown user ends like that of a wrong password. */
static bool can_prove(const struct client_auth *auth)
{
	return auth->user && (auth->user->kind == USER_SECRET_PLAIN || auth->user->kind == USER_SECRET_SCRAM);
}

static enum auth_outcome check_proof(struct client_auth *auth)
{
	uint8_t client_key[PG_SCRAM_KEY_BYTES];
	struct pg_buffer final = PG_BUFFER_EMPTY;
	bool proven = false;

	auth->step = AUTH_STEP_OVER;
	enum pg_result result = pg_scram_server_final(&auth->scram, auth->final_message.data,
						      auth->final_message.length, &auth->secret, &proven, client_key,
						      &final, &auth->error);
	OPENSSL_cleanse(client_key, sizeof(client_key));
	proven = proven && can_prove(auth);
	if (result == PG_OK && proven)
		send_request(auth, PG_AUTH_SASL_FINAL, final.data, final.length);
	pg_buffer_wipe(&final);
	return result == PG_OK ? proven_if(proven) : AUTH_BROKEN;
}

static enum auth_outcome sasl_final(struct client_auth *auth, const uint8_t *body, size_t size)
{
	struct pg_scram_keys keys;

	pg_buffer_put_bytes(&auth->final_message, body, size);
	if (auth->final_message.failed)
		return AUTH_DENIED;
	if (auth->password) {
		enum auth_outcome outcome = want_keys(auth, &keys);
		if (outcome != AUTH_PROVEN)
			return outcome;
		secret_from_keys(auth, &keys);
		OPENSSL_cleanse(&keys, sizeof(keys));
	}
	return check_proof(auth);
}

enum auth_outcome client_auth_input(struct client_auth *auth, const uint8_t *body, size_t size)
{
	switch (auth->step) {
	case AUTH_STEP_PASSWORD:
		return check_password(auth, body, size);
	case AUTH_STEP_SASL_FIRST:
		return sasl_first(auth, body, size);
	case AUTH_STEP_SASL_FINAL:
		return sasl_final(auth, body, size);
	case AUTH_STEP_KEYS:
	case AUTH_STEP_OVER:
		break;
	}
	auth->error = "a password message out of order";
	return AUTH_BROKEN;
}

enum auth_outcome client_auth_keys(struct client_auth *auth, const struct keys_job *job)
{
	if (auth->step != AUTH_STEP_KEYS)
		return AUTH_MORE;
	auth->step = AUTH_STEP_OVER;
	if (!job->derived)
		return AUTH_DENIED;
	if (auth->method == AUTH_TYPE_PLAIN)
		return check_plain_keys(auth, &job->keys);
	secret_from_keys(auth, &job->keys);
	return check_proof(auth);
}
