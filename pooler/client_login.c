#include "pooler/client_login.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "pooler/admin_state.h"
#include "pooler/cancel.h"
#include "pooler/client_auth.h"
#include "pooler/console_client.h"
#include "pooler/link.h"
#include "pooler/log.h"
#include "pooler/relay.h"
#include "protocol/parse.h"
#include "protocol/startup.h"

/* The newest minor version of protocol 3 that we speak. */
#define NEWEST_MINOR 0u

struct client_login {
	const struct params *asked; /* held; all startup parameters */
	struct client_auth *auth;   /* owned; NULL when nothing is to be proven, or all is */
	bool requests_refused[2];   /* SSLRequest, GSSENCRequest: each may come once */
};

void client_login_free(struct client_login *login)
{
	if (!login)
		return;
	params_drop(login->asked);
	client_auth_free(login->auth);
	free(login);
}

static void refuse(struct client *client, const char *sqlstate, const char *message, const char *hint)
{
	char name[CLIENT_PRINT_BYTES];

	client_print(client, name, sizeof(name));
	if (client->worker->config->settings.log_pooler_errors)
		log_info("client %llu %s: login refused: %s", (unsigned long long)client->id, name, message);
	client_send_error(client, &(struct pg_report){ "FATAL", sqlstate, message, NULL, hint });
	client->leaving = true;
}

/* ---- the startup packet ---- */

/* SSL and GSS encryption are not offered: the client goes on in plain, or leaves. */
static void refuse_encryption(struct client *client, bool gss)
{
	static const uint8_t no = 'N';

	if (client->login->requests_refused[gss]) {
		refuse(client, "08P01", "the same encryption was asked for twice", NULL);
		return;
	}
	client->login->requests_refused[gss] = true;
	stream_write(&client->stream, &no, 1);
}

/* PostgreSQL would cut a longer name and then speak of another one. */
static char *copy_name(struct client *client, const char *name, const char *what)
{
	char message[100];

	if (strlen(name) > PG_NAME_BYTES_MAX) {
		snprintf(message, sizeof(message), "the %s name is longer than %d bytes", what, PG_NAME_BYTES_MAX);
		refuse(client, "42622", message, NULL);
		return NULL;
	}
	char *copy = strdup(name);
	if (!copy)
		refuse(client, "53200", "out of memory", NULL);
	return copy;
}

static bool is_off(const char *value)
{
	return strcasecmp(value, "false") == 0 || strcasecmp(value, "off") == 0 || strcasecmp(value, "no") == 0 ||
	       strcmp(value, "0") == 0;
}

/* What the walk over the startup parameters finds besides the session parameters. */
struct startup_facts {
	const char *user;
	const char *database;
	const char *options;
	bool replication;
	struct pg_buffer unknown; /* names of `_pq_.` options */
	uint32_t unknown_count;
};

static void sort_startup(struct client *client, const struct pg_startup *startup, struct startup_facts *facts,
			 struct pg_buffer *pairs)
{
	const struct settings *settings = &client->worker->config->settings;
	const char *name, *value;
	size_t at = 0;

	while (pg_startup_next(startup, &at, &name, &value) == PG_OK) {
		if (strcmp(name, "user") == 0) {
			facts->user = value;
		} else if (strcmp(name, "database") == 0) {
			facts->database = value;
		} else if (strcmp(name, "options") == 0) {
			facts->options = value;
		} else if (strcmp(name, "replication") == 0) {
			facts->replication = !is_off(value);
		} else if (strncmp(name, "_pq_.", 5) == 0) {
			pg_buffer_put_string(&facts->unknown, name);
			facts->unknown_count++;
		} else if (!string_list_contains(&settings->ignore_startup_parameters, name)) {
			pg_buffer_put_string(pairs, name);
			pg_buffer_put_string(pairs, value);
		}
	}
}

static const char *host_of_peer(const struct client *client, char *out, size_t out_bytes)
{
	peer_print(&client->peer, out, out_bytes);
	return out;
}

/* "name NUL value NUL ..." as a set; an application name gets its host where that is wished for. */
static const struct params *make_asked(struct client *client, const struct pg_buffer *pairs)
{
	struct param *list = malloc((pairs->length / 2 + 2) * sizeof(*list));
	const char *at = (const char *)pairs->data;
	const char *end = at ? at + pairs->length : at;
	char from[64], application[200];
	size_t count = 0;

	if (!list)
		return NULL;
	while (at < end) {
		list[count].name = at;
		at += strlen(at) + 1;
		list[count].value = at;
		at += strlen(at) + 1;
		if (client->worker->config->settings.application_name_add_host &&
		    strcasecmp(list[count].name, "application_name") == 0) {
			snprintf(application, sizeof(application), "%.100s - %s", list[count].value,
				 host_of_peer(client, from, sizeof(from)));
			list[count].value = application;
		}
		count++;
	}
	const struct params *asked = params_make(list, count);
	free(list);
	return asked;
}

/* The session parameters of the packet and its `options`. */
static void take_parameters(struct client *client, const struct pg_startup *startup, struct startup_facts *facts)
{
	struct pg_buffer pairs = PG_BUFFER_EMPTY;
	struct pg_buffer all = PG_BUFFER_EMPTY;
	char error[200] = "";

	sort_startup(client, startup, facts, &pairs);
	/* A parameter of its own wins over one in `options`, as in PostgreSQL. */
	if (facts->options && pg_startup_parse_options(facts->options, &all, error, sizeof(error)) != PG_OK) {
		char message[260];
		snprintf(message, sizeof(message), "invalid startup parameter \"options\": %s", error);
		refuse(client, "08P01", message, NULL);
	}
	pg_buffer_put_bytes(&all, pairs.data, pairs.length);
	if (!client->leaving)
		client->login->asked = all.failed || pairs.failed ? NULL : make_asked(client, &all);
	if (!client->leaving && !client->login->asked)
		refuse(client, "53200", "out of memory", NULL);
	pg_buffer_clear(&pairs);
	pg_buffer_clear(&all);
}

static void negotiate(struct client *client, const struct pg_startup *startup, const struct startup_facts *facts)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (startup->minor <= NEWEST_MINOR && facts->unknown_count == 0)
		return;
	pg_build_negotiate_version(&out, NEWEST_MINOR, facts->unknown.data, facts->unknown.length,
				   facts->unknown_count);
	client_send(client, &out);
}

/* Counts it against max_client_conn. */
static bool has_room(struct client *client)
{
	uint32_t limit = client->worker->config->settings.max_client_conn;
	char message[120];

	client->counted = true;
	if (atomic_fetch_add(&client->worker->crew->session_count, 1) < limit)
		return true;
	snprintf(message, sizeof(message), "sorry, too many clients already: max_client_conn is %u", limit);
	refuse(client, "53300", message, NULL);
	return false;
}

static void begin_session(struct client *client, const struct pg_startup *startup)
{
	struct startup_facts facts = { .unknown = PG_BUFFER_EMPTY };
	char message[120];

	if (startup->major != 3) {
		snprintf(message, sizeof(message), "unsupported frontend protocol %u.%u: pgweir supports 3.0",
			 startup->major, startup->minor);
		refuse(client, "0A000", message, NULL);
		return;
	}
	if (!has_room(client))
		return;
	take_parameters(client, startup, &facts);
	if (!client->leaving && (!facts.user || !*facts.user))
		refuse(client, "28000", "no PostgreSQL user name specified in startup packet", NULL);
	if (!client->leaving)
		client->user = copy_name(client, facts.user, "user");
	if (!client->leaving)
		client->database =
			copy_name(client, facts.database && *facts.database ? facts.database : facts.user, "database");
	if (!client->leaving && facts.replication)
		refuse(client, "0A000", "replication connections are not supported by pgweir",
		       "Connect to the server itself for replication.");
	if (!client->leaving) {
		negotiate(client, startup, &facts);
		client_set_state(client, CLIENT_AUTH);
		client->login->auth = client_auth_start(client);
	}
	pg_buffer_clear(&facts.unknown);
}

/* ---- after authentication ---- */

static bool is_plain_text(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if (text[i] < 32 || text[i] > 126)
			return false;
	return length <= PG_NAME_BYTES_MAX;
}

/* What is remembered of a welcome does not depend on an application name that every server takes as it is, so that a
 * thousand clients with a thousand names need not each ask a server. */
static const struct params *welcome_key(const struct client_login *login, const char **application_name)
{
	const char *name = params_find(login->asked, "application_name");

	*application_name = name && is_plain_text(name) ? name : NULL;
	return *application_name ? params_with(login->asked, "application_name", NULL) : params_hold(login->asked);
}

/* A set with its application name put in, or as it is. Takes the hold of `params`. */
static const struct params *with_application_name(const struct params *params, const char *name)
{
	if (!name || !params)
		return params;
	const struct params *made = params_with(params, "application_name", name);
	params_drop(params);
	return made;
}

/* Tells the client that it is in. */
static void send_welcome(struct client *client, const struct params *reported)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	uint8_t key[4];

	for (size_t i = 0; i < params_count(reported); i++)
		pg_build_parameter_status(&out, params_at(reported, i)->name, params_at(reported, i)->value);
	for (unsigned i = 0; i < 4; i++)
		key[i] = (uint8_t)(client->secret >> (24 - 8 * i));
	pg_build_cancel_key(&out, cancel_process_id(client), key, sizeof(key));
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	client_send(client, &out);
	stats_add(&client->shared->stats[client->worker->index], STAT_CLIENT_LOGIN_COUNT, 1);
	client_login_free(client->login);
	client->login = NULL;
}

static bool welcome_from_memory(struct client *client)
{
	const char *application_name;
	struct pool_welcome welcome;
	const struct params *key = welcome_key(client->login, &application_name);
	bool found = key && pools_find_welcome(client->shared, key, &welcome);

	params_drop(key);
	if (!found)
		return false;
	const struct params *reported = with_application_name(welcome.reported, application_name);
	client->params = with_application_name(welcome.params, application_name);
	if (client->params && reported) {
		client_set_state(client, CLIENT_IDLE);
		send_welcome(client, reported);
	} else {
		client->leaving = true;
	}
	params_drop(reported);
	return true;
}

void client_login_want(struct client *client, const struct server *server)
{
	const struct params *wanted = params_overlay(server->defaults, client->login->asked);

	if (!wanted) {
		client->leaving = true;
		return;
	}
	params_drop(client->params);
	client->params = wanted;
}

/* Remembers for the next client that asks for the same. */
static void remember_welcome(struct client *client, const struct server *server)
{
	const char *application_name;
	const struct params *key = welcome_key(client->login, &application_name);
	const char *usual = params_find(server->defaults, "application_name");
	struct pool_welcome welcome = { params_hold(client->params), params_hold(server->reported) };

	if (application_name) {
		welcome.params = with_application_name(welcome.params, usual ? usual : "");
		welcome.reported = with_application_name(welcome.reported, usual ? usual : "");
	}
	if (key && welcome.params && welcome.reported)
		pools_add_welcome(client->shared, key, &welcome);
	params_drop(key);
	params_drop(welcome.params);
	params_drop(welcome.reported);
}

void client_login_with_server(struct client *client, struct server *server)
{
	remember_welcome(client, server);
	send_welcome(client, server->reported);
	link_release(server);
}

static void enter_console(struct client *client)
{
	const struct config *config = client->worker->config;

	client->admin = config_user_is_admin(config, client->user) || client_auth_is_own_user(client);
	if (!client->admin && !config_user_is_stats(config, client->user)) {
		refuse(client, "42501", "this user may not use the console", "Name it in admin_users or stats_users.");
		return;
	}
	client->params = params_hold(client->login->asked);
	client_login_free(client->login);
	client->login = NULL;
	console_client_start(client);
}

static void enter_database(struct client *client)
{
	const struct config *config = client->worker->config;
	const struct database *database = config_find_database(config, client->database);
	char message[120];

	if (!database) {
		snprintf(message, sizeof(message), "database \"%s\" does not exist in the configuration of pgweir",
			 client->database);
		refuse(client, "3D000", message, NULL);
		return;
	}
	if (database->own.disabled || admin_database_is_disabled(client->database)) {
		snprintf(message, sizeof(message), "database \"%s\" is disabled in pgweir", client->database);
		refuse(client, "57P03", message, NULL);
		return;
	}
	const char *server_user = database->conninfo.user ? database->conninfo.user : client->user;
	client->mode = (uint8_t)config_pool_mode(config, database, client->user);
	client->shared = pools_find(config, client->database, server_user);
	if (!client->shared) {
		refuse(client, "53200", "out of memory", NULL);
		return;
	}
	client_auth_pass_on(client->login->auth, client->shared);
	if (!welcome_from_memory(client))
		link_request(client);
}

/* It has proven who it is. */
static void authenticated(struct client *client)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char name[CLIENT_PRINT_BYTES];

	client_print(client, name, sizeof(name));
	if (client->worker->config->settings.log_connections)
		log_info("client %llu %s: logged in", (unsigned long long)client->id, name);
	if (RAND_bytes((unsigned char *)&client->secret, sizeof(client->secret)) != 1) {
		refuse(client, "XX000", "no randomness for a cancel key", NULL);
		return;
	}
	pg_build_authentication(&out, PG_AUTH_OK, NULL, 0);
	client_send(client, &out);
	if (console_is_database(client->database))
		enter_console(client);
	else
		enter_database(client);
}

static void follow_auth(struct client *client, enum auth_outcome outcome)
{
	char message[120];

	switch (outcome) {
	case AUTH_MORE:
		break;
	case AUTH_PROVEN:
		authenticated(client);
		break;
	case AUTH_DENIED:
		/* One text for an unknown user and a wrong password. */
		snprintf(message, sizeof(message), "password authentication failed for user \"%s\"", client->user);
		refuse(client, "28P01", message, NULL);
		break;
	case AUTH_BROKEN:
		refuse(client, "08P01", client_auth_error(client->login->auth), NULL);
		break;
	}
}

/* ---- input ---- */

static size_t startup_input(struct client *client, const uint8_t *data, size_t size)
{
	struct pg_startup startup;
	enum pg_result parsed = pg_startup_parse(data, size, &startup);

	if (parsed == PG_MORE)
		return 0;
	if (parsed == PG_BAD) {
		refuse(client, "08P01", "invalid startup packet", NULL);
		return 0;
	}
	switch (startup.kind) {
	case PG_STARTUP_SSL_REQUEST:
	case PG_STARTUP_GSSENC_REQUEST:
		refuse_encryption(client, startup.kind == PG_STARTUP_GSSENC_REQUEST);
		break;
	case PG_STARTUP_CANCEL_REQUEST:
		cancel_from_client(client, startup.process_id, startup.key, startup.key_bytes);
		break;
	case PG_STARTUP_SESSION:
		begin_session(client, &startup);
		if (!client->leaving)
			follow_auth(client, client_auth_begin(client->login->auth));
		break;
	}
	return startup.total_bytes;
}

static size_t auth_input(struct client *client, const uint8_t *data, size_t size)
{
	struct pg_frame frame;
	enum pg_result parsed = pg_frame_parse(data, size, &frame);

	if (parsed == PG_MORE)
		return 0;
	if (parsed == PG_BAD || frame.type != PG_FRONTEND_PASSWORD || frame.total_bytes > CLIENT_AUTH_BYTES_MAX) {
		refuse(client, "08P01", "expected a password message", NULL);
		return 0;
	}
	if (frame.total_bytes > size)
		return 0;
	follow_auth(client, client_auth_input(client->login->auth, data + PG_FRAME_HEADER_BYTES, frame.body_bytes));
	return frame.total_bytes;
}

bool client_login_expects_input(const struct client *client)
{
	return client->login && client_auth_expects_input(client->login->auth);
}

size_t client_login_input(struct client *client, const uint8_t *data, size_t size)
{
	size_t at = 0;
	size_t done = 1;

	if (!client->login)
		client->login = calloc(1, sizeof(*client->login));
	if (!client->login) {
		client->leaving = true;
		return 0;
	}
	while (done > 0 && at < size && client->state <= CLIENT_AUTH && !client->leaving) {
		if (client->state == CLIENT_STARTUP)
			done = startup_input(client, data + at, size - at);
		else if (client_login_expects_input(client))
			done = auth_input(client, data + at, size - at);
		else
			break; /* what comes next waits for the welcome */
		at += done;
	}
	return at;
}

void client_login_keys(struct client *client, struct keys_job *job)
{
	if (!client->login || client->state != CLIENT_AUTH)
		return;
	follow_auth(client, client_auth_keys(client->login->auth, job));
	relay_resume(client);
}
