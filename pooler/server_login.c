#include "pooler/server_login.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/keys.h"
#include "pooler/link.h"
#include "pooler/listener.h"
#include "pooler/log.h"
#include "pooler/relay.h"
#include "pooler/resolver.h"
#include "protocol/build.h"
#include "protocol/parse.h"
#include "protocol/startup.h"

/* A login message is never longer. */
#define LOGIN_MESSAGE_BYTES_MAX (64u * 1024u)

enum login_step { LOGIN_RESOLVING, LOGIN_CONNECTING, LOGIN_TALKING, LOGIN_DERIVING, LOGIN_DONE };

struct server_login {
	enum login_step step;
	const struct config *config;     /* held */
	const struct database *database; /* borrowed from config */
	size_t next_host;
	union address addresses[RESOLVER_ADDRESSES_MAX];
	size_t address_count;
	size_t next_address;
	struct pool_failure failure; /* of the last attempt */
	char *password;              /* owned; secret; what keys were or will be derived from */
	struct pg_scram_client scram;
	bool let_in; /* AuthenticationOk came */
	bool scram_started;
	bool scram_proven; /* the server has shown that it knows the password too */
	struct pg_scram_keys keys;
};

static void next_host(struct server *server);

/* ---- failing ---- */

static void free_secret(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

void server_login_free(struct server_login *login)
{
	if (!login)
		return;
	config_drop(login->config);
	free_secret(login->password);
	if (login->scram_started)
		pg_scram_client_clear(&login->scram);
	OPENSSL_cleanse(&login->keys, sizeof(login->keys));
	free(login);
}

/* The login is over. The server is gone afterwards. */
static void login_fail(struct server *server, struct pool_failure failure)
{
	char where[ADDRESS_TEXT_BYTES];

	address_print(&server->address, where, sizeof(where));
	log_warning("server %llu %s/%s@%s: login failed: %s (%s)%s%s", (unsigned long long)server->id,
		    server->shared->database, server->shared->user, where, failure.message, failure.sqlstate,
		    failure.detail[0] ? ": " : "", failure.detail);
	failure.at_us = server->worker->now_us;
	server_login_free(server->login);
	server->login = NULL;
	link_login_failed(server, &failure);
}

void server_login_fail(struct server *server, const char *sqlstate, const char *message)
{
	struct pool_failure failure = { .by_server = false };

	snprintf(failure.sqlstate, sizeof(failure.sqlstate), "%s", sqlstate);
	snprintf(failure.message, sizeof(failure.message), "%s", message);
	login_fail(server, failure);
}

/* Nothing the next attempt could mend: those who wait are told, as if the server had said it. */
static void login_fail_setup(struct server *server, const char *sqlstate, const char *message)
{
	struct pool_failure failure = { .by_server = true };

	snprintf(failure.sqlstate, sizeof(failure.sqlstate), "%s", sqlstate);
	snprintf(failure.message, sizeof(failure.message), "%s", message);
	login_fail(server, failure);
}

/* One address did not work: remembers why and goes on to the next. */
static void try_next(struct server *server, const char *sqlstate, const char *what, const char *reason)
{
	struct server_login *login = server->login;
	char where[ADDRESS_TEXT_BYTES];

	address_print(&server->address, where, sizeof(where));
	snprintf(login->failure.sqlstate, sizeof(login->failure.sqlstate), "%s", sqlstate);
	snprintf(login->failure.message, sizeof(login->failure.message), "%s %s: %s", what, where, reason);
	log_debug("server %llu: %s", (unsigned long long)server->id, login->failure.message);
	stream_close(&server->stream);
	next_host(server);
}

void server_login_broken(struct server *server, int error, const char *what)
{
	try_next(server, "08006", what, error ? strerror(error) : "the server closed the connection");
}

void server_login_timed_out(struct server *server)
{
	if (server->login) {
		server_login_fail(server, "08006", "server_connect_timeout was over before the server answered");
		return;
	}
	server->task = NULL;
	link_lost(server, "08006", "connect_query took longer than server_connect_timeout");
}

uint64_t server_login_limit_us(const struct server *server)
{
	const struct server_login *login = server->login;

	if (login && login->database && login->database->conninfo.connect_timeout_us)
		return login->database->conninfo.connect_timeout_us;
	return server->worker->config->settings.server_connect_timeout_us;
}

/* ---- from a name to a socket ---- */

static void try_address(struct server *server)
{
	struct server_login *login = server->login;

	/* Nothing of an earlier attempt counts. */
	if (login->scram_started)
		pg_scram_client_clear(&login->scram);
	login->scram_started = false;
	login->scram_proven = false;
	login->let_in = false;
	server->key_bytes = 0;
	kept_set(&server->kept, NULL, 0);

	server->address = login->addresses[login->next_address++];
	int fd = stream_connect(&server->address);
	if (fd < 0) {
		try_next(server, "08006", "could not connect to", strerror(errno));
		return;
	}
	login->step = LOGIN_CONNECTING;
	stream_init(&server->stream, server->worker->loop, fd, STREAM_FIRST, relay_server_event, server);
	stream_watch_connect(&server->stream);
}

static void deliver_addresses(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct resolver_job *job = (struct resolver_job *)(void *)mail;
	struct server *server = handles_find(&worker->servers, job->slot, job->generation);

	if (server && server->login && server->login->step == LOGIN_RESOLVING) {
		struct server_login *login = server->login;
		memcpy(login->addresses, job->addresses, sizeof(login->addresses));
		login->address_count = job->address_count;
		login->next_address = 0;
		if (job->address_count == 0) {
			snprintf(login->failure.sqlstate, sizeof(login->failure.sqlstate), "08006");
			snprintf(login->failure.message, sizeof(login->failure.message),
				 "the name \"%.200s\" could not be resolved: %.120s", job->name, job->error);
		}
		next_host(server);
	}
	free(job);
}

static void resolve(struct server *server, const struct conninfo_host *host)
{
	struct worker *worker = server->worker;
	struct resolver_job *job = calloc(1, sizeof(*job));

	if (!job) {
		server_login_fail(server, "53200", "out of memory");
		return;
	}
	server->login->step = LOGIN_RESOLVING;
	job->mail.deliver = deliver_addresses;
	job->reply_to = &worker->mailbox;
	job->slot = server->member.handle.slot;
	job->generation = server->member.handle.generation;
	job->port = host->port;
	snprintf(job->name, sizeof(job->name), "%s", host->host);
	resolver_ask(worker->crew->resolver, job);
}

/* The next address of this host, or else the next host, or else the end. */
static void next_host(struct server *server)
{
	struct server_login *login = server->login;
	const struct conninfo *conninfo = &login->database->conninfo;

	if (login->next_address < login->address_count) {
		try_address(server);
		return;
	}
	if (login->next_host == conninfo->host_count) {
		login_fail(server, login->failure);
		return;
	}
	const struct conninfo_host *host = &conninfo->hosts[login->next_host++];
	const char *numeric = host->hostaddr ? host->hostaddr : host->host;
	login->next_address = 0;
	login->address_count = 1;
	if (host->is_local) {
		if (!address_set_local(&login->addresses[0], host->host, host->port)) {
			login_fail_setup(server, "08001", "the path of the unix socket is too long");
			return;
		}
	} else if (!address_parse_numeric(numeric, host->port, &login->addresses[0])) {
		login->address_count = 0;
		resolve(server, host);
		return;
	}
	try_address(server);
}

void server_login_start(struct server *server)
{
	struct server_login *login = calloc(1, sizeof(*login));

	server->login = login;
	if (!login) {
		struct pool_failure failure = { .sqlstate = "53200", .message = "out of memory" };
		link_login_failed(server, &failure);
		return;
	}
	login->config = config_hold(server->worker->config);
	login->database = config_find_database(login->config, server->shared->database);
	if (!login->database) {
		login_fail_setup(server, "3D000", "the database is no longer configured");
		return;
	}
	next_host(server);
}

bool server_login_is_connecting(const struct server *server)
{
	return server->login->step == LOGIN_RESOLVING || server->login->step == LOGIN_CONNECTING;
}

static void send_startup(struct server *server)
{
	const struct database *database = server->login->database;
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	struct pg_buffer out = PG_BUFFER_EMPTY;
	const char *const given[][2] = {
		{ "client_encoding", database->conninfo.client_encoding },
		{ "application_name", database->conninfo.application_name },
		{ "options", database->conninfo.options },
	};

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		if (!given[i][1])
			continue;
		pg_buffer_put_string(&pairs, given[i][0]);
		pg_buffer_put_string(&pairs, given[i][1]);
	}
	pg_startup_put_session(&out, server->shared->user, database_dbname(database, server->shared->database),
			       pairs.data, pairs.length);
	/* A failure to write shows when the server's last words are read. */
	out.failed |= pairs.failed;
	stream_send(&server->stream, &out);
	pg_buffer_clear(&pairs);
}

void server_login_connected(struct server *server)
{
	int error = stream_connect_error(&server->stream);

	if (error) {
		try_next(server, "08006", "could not connect to", strerror(error));
		return;
	}
	listener_tune_socket(server->stream.io.fd, &server->worker->config->settings);
	server->login->step = LOGIN_TALKING;
	stream_set_reading(&server->stream, true);
	send_startup(server);
}

/* ---- authentication ---- */

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

	if (!server->login->password)
		server->login->password = find_password(server, &md5_secret);
	if (server->login->password)
		return true;
	if (has_password(server)) {
		server_login_fail(server, "53200", "out of memory");
		return false;
	}
	snprintf(message, sizeof(message),
		 "the server asks user \"%s\" for a password (%s), and there is none: give one in conninfo, or a plain one in "
		 "auth_file",
		 server->shared->user, method);
	login_fail_setup(server, "28P01", message);
	return false;
}

static bool answer_cleartext(struct server *server)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (!need_password(server, "plain"))
		return false;
	pg_build_password(&out, server->login->password);
	send_and_clear(server, &out);
	return true;
}

static bool answer_md5(struct server *server, const struct pg_authentication_request *request)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char secret[PG_MD5_TEXT_BYTES], response[PG_MD5_TEXT_BYTES];
	const char *stored;

	free_secret(server->login->password);
	server->login->password = find_password(server, &stored);
	if (stored)
		snprintf(secret, sizeof(secret), "%s", stored);
	else if (!need_password(server, "md5"))
		return false;
	else if (!pg_md5_secret(server->login->password, server->shared->user, secret)) {
		login_fail_setup(server, "XX000", "md5 is not available in this OpenSSL");
		return false;
	}
	if (request->payload_bytes != 4 || !pg_md5_response(secret, request->payload, response)) {
		login_fail_setup(server, "08P01", "the server sent a broken md5 challenge");
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
		login_fail_setup(server, "28000", "the server offers no SASL mechanism that pgweir knows");
		return false;
	}
	if (!need_password(server, PG_SCRAM_MECHANISM))
		return false;
	if (login->scram_started || RAND_bytes(nonce, sizeof(nonce)) != 1) {
		login_fail_setup(server, "08P01", "the server began SASL twice, or there is no randomness");
		return false;
	}
	pg_scram_client_init(&login->scram, nonce);
	login->scram_started = true;
	pg_build_sasl_initial(&out, PG_SCRAM_MECHANISM, login->scram.client_first.data, login->scram.client_first.length);
	send_and_clear(server, &out);
	return true;
}

static void send_proof(struct server *server)
{
	struct server_login *login = server->login;
	struct pg_buffer answer = PG_BUFFER_EMPTY;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_scram_client_answer(&login->scram, &login->keys, &answer);
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
			server->login->keys = job->keys;
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
	struct pg_scram_client *scram = &login->scram;
	const char *error = "it came out of order";

	if (!login->scram_started || login->scram.salt_bytes ||
	    pg_scram_client_challenge(scram, request->payload, request->payload_bytes, &error) != PG_OK) {
		char message[200];
		snprintf(message, sizeof(message), "the server's SCRAM challenge is broken: %s", error);
		login_fail_setup(server, "08P01", message);
		return false;
	}
	if (keys_find(login->password, scram->salt, scram->salt_bytes, scram->iterations, &login->keys)) {
		send_proof(server);
		return true;
	}
	struct keys_job *job = keys_job_create(login->password, scram->salt, scram->salt_bytes, scram->iterations);
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

	if (login->scram_started && login->scram.salt_bytes && login->step == LOGIN_TALKING &&
	    pg_scram_client_verify(&login->scram, &login->keys, request->payload, request->payload_bytes, &error) ==
		    PG_OK) {
		login->scram_proven = true;
		return true;
	}
	char message[200];
	snprintf(message, sizeof(message), "the server did not prove that it knows the password: %s", error);
	login_fail_setup(server, "28000", message);
	return false;
}

/* False: the login has failed and the server is gone. */
static bool login_authentication(struct server *server, const uint8_t *body, size_t size)
{
	struct pg_authentication_request request;
	char message[120];

	if (pg_parse_authentication(body, size, &request) != PG_OK) {
		login_fail_setup(server, "08P01", "the server sent a broken authentication request");
		return false;
	}
	switch (request.code) {
	case PG_AUTH_OK:
		server->login->let_in = true;
		if (!server->login->scram_started || server->login->scram_proven)
			return true;
		login_fail_setup(server, "28000", "the server ended SCRAM without proving that it knows the password");
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
		snprintf(message, sizeof(message), "the server asks for authentication method %u, which pgweir does not know",
			 request.code);
		login_fail_setup(server, "28000", message);
		return false;
	}
}

/* ---- the other messages ---- */

/* A server that starts up, shuts down or recovers from a crash may do better in a moment, or its neighbour now. */
static bool is_passing(const char *sqlstate)
{
	return strcmp(sqlstate, "57P01") == 0 || strcmp(sqlstate, "57P02") == 0 || strcmp(sqlstate, "57P03") == 0;
}

static bool login_error(struct server *server, const uint8_t *body, size_t size)
{
	struct pg_error_fields fields;
	struct server_error error;
	struct pool_failure failure = { .by_server = true };

	if (pg_parse_error(body, size, &fields) != PG_OK)
		fields = (struct pg_error_fields){ "", "", "", "", "" };
	server_error_set(&error, &fields);
	memcpy(failure.sqlstate, error.sqlstate, sizeof(failure.sqlstate));
	memcpy(failure.message, error.message, sizeof(failure.message));
	memcpy(failure.detail, error.detail, sizeof(failure.detail));
	if (is_passing(failure.sqlstate)) {
		failure.by_server = false;
		server->login->failure = failure;
		stream_close(&server->stream);
		next_host(server);
	} else {
		login_fail(server, failure);
	}
	return false;
}

static void login_cancel_key(struct server *server, const uint8_t *body, size_t size)
{
	struct pg_cancel_key key;

	/* Some servers send none, or one that is of no use: then their queries cannot be cancelled. */
	if (pg_parse_cancel_key(body, size, &key) != PG_OK || key.key_bytes > sizeof(server->key))
		return;
	server->process_id = key.process_id;
	memcpy(server->key, key.key, key.key_bytes);
	server->key_bytes = (uint8_t)key.key_bytes;
}

/* False: the login has failed and the server is gone. */
static bool login_message(struct server *server, uint8_t type, const uint8_t *body, size_t size)
{
	struct pg_parameter_status status;
	char message[100];

	switch (type) {
	case PG_BACKEND_AUTHENTICATION:
		return login_authentication(server, body, size);
	case PG_BACKEND_PARAMETER_STATUS:
		if (pg_parse_parameter_status(body, size, &status) != PG_OK ||
		    server_note_parameter(server, status.name, status.value))
			return true;
		server_login_fail(server, "53200", "out of memory");
		return false;
	case PG_BACKEND_CANCEL_KEY:
		login_cancel_key(server, body, size);
		return true;
	case PG_BACKEND_NOTICE:
	case PG_BACKEND_NEGOTIATE_VERSION:
		return true;
	case PG_BACKEND_ERROR:
		return login_error(server, body, size);
	case PG_BACKEND_READY:
		if (!server->login->let_in) {
			login_fail_setup(server, "08P01", "the server was ready before it had let pgweir in");
			return false;
		}
		server->login->step = LOGIN_DONE;
		return true;
	default:
		snprintf(message, sizeof(message), "unexpected message type %u during the login", type);
		login_fail_setup(server, "08P01", message);
		return false;
	}
}

size_t server_login_input(struct server *server, const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (at < size && server->login->step != LOGIN_DONE) {
		struct pg_frame frame;
		enum pg_result parsed = pg_frame_parse(data + at, size - at, &frame);

		if (parsed == PG_MORE)
			break;
		if (parsed == PG_BAD || frame.total_bytes > LOGIN_MESSAGE_BYTES_MAX) {
			login_fail_setup(server, "08P01", "the server does not speak PostgreSQL's protocol");
			return SIZE_MAX;
		}
		if (frame.total_bytes > size - at)
			break;
		if (!login_message(server, frame.type, data + at + PG_FRAME_HEADER_BYTES, frame.body_bytes))
			return SIZE_MAX;
		at += frame.total_bytes;
	}
	return at;
}

/* ---- the end ---- */

static void connect_query_done(struct server *server, const struct server_error *error)
{
	struct pool_failure failure = { .by_server = true };

	if (!error) {
		link_give(server);
		return;
	}
	memcpy(failure.sqlstate, error->sqlstate, sizeof(failure.sqlstate));
	memcpy(failure.message, error->message, sizeof(failure.message));
	snprintf(failure.detail, sizeof(failure.detail), "It was the answer to connect_query.");
	login_fail(server, failure);
}

bool server_login_is_done(const struct server *server)
{
	return server->login->step == LOGIN_DONE;
}

void server_login_finish(struct server *server)
{
	struct server_login *login = server->login;
	const char *connect_query = login->database->own.connect_query;
	char name[SERVER_PRINT_BYTES];

	const struct params *tracked = server_tracked(login->config, server->reported);
	if (!tracked) {
		server_login_fail(server, "53200", "out of memory");
		return;
	}
	server->login = NULL;
	params_drop(server->params);
	params_drop(server->defaults);
	server->params = tracked;
	server->defaults = params_hold(tracked);
	server_print(server, name, sizeof(name));
	log_info("server %llu %s: opened", (unsigned long long)server->id, name);
	pools_note_server(server->shared, server->reported);
	if (connect_query && connect_query[0])
		server_run(server, connect_query, connect_query_done);
	else
		link_give(server);
	server_login_free(login);
}
