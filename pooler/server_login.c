#include "pooler/server_login.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/link.h"
#include "pooler/listener.h"
#include "pooler/log.h"
#include "pooler/relay.h"
#include "pooler/resolver.h"
#include "pooler/server_auth.h"
#include "protocol/build.h"
#include "protocol/parse.h"
#include "protocol/startup.h"

/* A login message is never longer. */
#define LOGIN_MESSAGE_BYTES_MAX (64u * 1024u)

static void next_host(struct server *server);

/* ---- failing ---- */

void server_login_free(struct server_login *login)
{
	if (!login)
		return;
	config_drop(login->config);
	server_auth_clear(&login->auth);
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

void server_login_fail_setup(struct server *server, const char *sqlstate, const char *message)
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
	server_auth_clear(&login->auth);
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
			server_login_fail_setup(server, "08001", "the path of the unix socket is too long");
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
		server_login_fail_setup(server, "3D000", "the database is no longer configured");
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

static bool login_ready(struct server *server, const uint8_t *body, size_t size)
{
	enum pg_transaction_status status;

	if (!server->login->auth.let_in || pg_parse_ready(body, size, &status) != PG_OK ||
	    status != PG_TRANSACTION_IDLE) {
		server_login_fail_setup(server, "08P01",
					"the server was ready before it had let pgweir in, or not idle");
		return false;
	}
	server->login->step = LOGIN_DONE;
	return true;
}

/* False: the login has failed and the server is gone. */
static bool login_message(struct server *server, uint8_t type, const uint8_t *body, size_t size)
{
	struct pg_parameter_status status;
	char message[100];

	switch (type) {
	case PG_BACKEND_AUTHENTICATION:
		return server_auth_request(server, body, size);
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
		return login_ready(server, body, size);
	default:
		snprintf(message, sizeof(message), "unexpected message type %u during the login", type);
		server_login_fail_setup(server, "08P01", message);
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
			server_login_fail_setup(server, "08P01", "the server does not speak PostgreSQL's protocol");
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
