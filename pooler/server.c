#include "pooler/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pooler/clock.h"
#include "pooler/log.h"
#include "protocol/build.h"

#define BIT(state) (1u << (state))

/* From which states a state may be reached. */
static const unsigned allowed_from[SERVER_STATES] = {
	[SERVER_CONNECTING] = 0,
	[SERVER_IDLE] = BIT(SERVER_CONNECTING) | BIT(SERVER_ACTIVE) | BIT(SERVER_RESETTING) | BIT(SERVER_MOVING),
	[SERVER_ACTIVE] = BIT(SERVER_CONNECTING) | BIT(SERVER_IDLE) | BIT(SERVER_RESETTING) | BIT(SERVER_MOVING),
	[SERVER_RESETTING] = BIT(SERVER_ACTIVE) | BIT(SERVER_CONNECTING),
	/* Again from itself: who waited for it has gone, and the next in line is on a third worker. */
	[SERVER_MOVING] = BIT(SERVER_CONNECTING) | BIT(SERVER_IDLE) | BIT(SERVER_ACTIVE) | BIT(SERVER_RESETTING) |
			  BIT(SERVER_MOVING),
	[SERVER_CLOSING] = ~BIT(SERVER_CLOSING),
};

static const char *const names[SERVER_STATES] = {
	[SERVER_CONNECTING] = "connecting", [SERVER_IDLE] = "idle",     [SERVER_ACTIVE] = "active",
	[SERVER_RESETTING] = "resetting",   [SERVER_MOVING] = "moving", [SERVER_CLOSING] = "closing",
};

/* Parameters that every server reports and that belong to a session. */
static const char *const always_tracked[] = {
	"client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "application_name",
};

struct server *server_create(struct worker *worker, struct shared_pool *shared)
{
	struct server *server = calloc(1, sizeof(*server));
	const struct params *empty = params_empty();

	if (!server || !empty ||
	    !handles_take(&worker->servers, server, &server->member.handle.slot, &server->member.handle.generation)) {
		free(server);
		params_drop(empty);
		pool_unreserve(&shared->pool, worker->now_us);
		return NULL;
	}
	server->worker = worker;
	server->shared = shared;
	pools_hold(shared);
	server->member.handle.worker = worker->index;
	list_init(&server->member.node);
	server->stream.io.fd = -1;
	server->params = empty;
	server->defaults = params_hold(empty);
	server->reported = params_hold(empty);
	server->id = atomic_fetch_add(&worker->crew->next_id, 1) + 1;
	server->created_us = worker->now_us;
	server->state = SERVER_CONNECTING;
	server->state_since_us = worker->now_us;
	worker->server_counts[SERVER_CONNECTING]++;
	list_append(&worker->server_states[SERVER_CONNECTING], &server->node);
	pg_flow_init(&server->flow);
	pool_attach(&shared->pool, &server->member);
	return server;
}

void server_destroy(struct server *server)
{
	struct worker *worker = server->worker;

	assert(!server->client && !server->login && server->removed);
	stream_close(&server->stream);
	pending_clear(&server->pending, &worker->statements);
	statement_drop(&worker->statements, server->unnamed);
	params_drop(server->params);
	params_drop(server->applying);
	params_drop(server->defaults);
	params_drop(server->reported);
	pg_flow_clear(&server->flow);
	free(server->task_error);
	free(server->farewell);
	free(server->kept.data);
	pools_drop(server->shared, worker->now_us);
	handles_give_back(&worker->servers, server->member.handle.slot);
	worker->server_counts[server->state]--;
	list_remove(&server->node);
	list_append(&worker->dead_servers, &server->node);
}

void server_bury(struct worker *worker)
{
	struct list *node;

	while ((node = list_pop(&worker->dead_servers)))
		free(list_entry(node, struct server, node));
}

/* A broken invariant: the process must not go on, and says who it was. */
static __attribute__((noreturn)) void refuse_move(const struct server *server, enum server_state state)
{
	log_fatal("server %llu must not go from %s to %s", (unsigned long long)server->id, names[server->state],
		  names[state]);
	log_close(USEC_PER_SEC);
	abort();
}

void server_set_state(struct server *server, enum server_state state)
{
	struct worker *worker = server->worker;

	if (__builtin_expect(!(allowed_from[state] & BIT(server->state)), 0))
		refuse_move(server, state);
	log_noise("server %llu: %s -> %s", (unsigned long long)server->id, names[server->state], names[state]);
	worker->server_counts[server->state]--;
	worker->server_counts[state]++;
	server->state = state;
	server->state_since_us = worker->now_us;
	list_remove(&server->node);
	list_append(&worker->server_states[state], &server->node);
}

const char *server_state_name(enum server_state state)
{
	return names[state];
}

/* Sends a Query of ours. What was prepared without a name is gone with any simple Query. */
static bool server_send_query(struct server *server, const char *sql, server_task_done *done)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	assert(!server->task);
	free(server->task_error);
	server->task_error = NULL;
	server->task_failed = false;
	server->task = done;
	server->task_since_us = server->worker->now_us;
	statement_drop(&server->worker->statements, server->unnamed);
	server->unnamed = NULL;
	server->unnamed_unknown = false;
	server->aligned = false;
	pg_build_query(&out, sql);
	return stream_send(&server->stream, &out);
}

bool server_run(struct server *server, const char *sql, server_task_done *done)
{
	if (pg_flow_client(&server->flow, PG_FRONTEND_QUERY, true) != PG_FLOW_SENT)
		return false;
	return server_send_query(server, sql, done);
}

bool server_resync(struct server *server, server_task_done *done)
{
	pg_flow_resync(&server->flow);
	return server_send_query(server, "", done);
}

bool server_tracks(const struct config *config, const char *name)
{
	for (size_t i = 0; i < sizeof(always_tracked) / sizeof(always_tracked[0]); i++)
		if (strcasecmp(always_tracked[i], name) == 0)
			return true;
	return string_list_contains(&config->settings.track_extra_parameters, name);
}

const struct params *server_tracked(const struct config *config, const struct params *reported)
{
	size_t count = params_count(reported);
	struct param *pairs = malloc((count + 1) * sizeof(*pairs));
	size_t kept = 0;

	if (!pairs)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		const struct param *param = params_at(reported, i);
		if (server_tracks(config, param->name))
			pairs[kept++] = *param;
	}
	const struct params *made = params_make(pairs, kept);
	free(pairs);
	return made;
}

/* Puts a parameter into a held set. False: no memory, and it is as it was. */
static bool change_params(const struct params **held, const char *name, const char *value)
{
	const char *known = params_find(*held, name);

	if (known && strcmp(known, value) == 0)
		return true;
	const struct params *made = params_with(*held, name, value);
	if (!made)
		return false;
	params_drop(*held);
	*held = made;
	return true;
}

bool server_note_parameter(struct server *server, const char *name, const char *value)
{
	if (!change_params(&server->reported, name, value))
		return false;
	if (server->login || (!server_tracks(server->worker->config, name) && !params_find(server->params, name)))
		return true;
	if (!change_params(&server->params, name, value))
		return false;
	/* The client did it itself: from now on it wants it so. */
	if (server->client && !server->task) {
		params_drop(server->client->params);
		server->client->params = params_hold(server->params);
	}
	return true;
}

static void copy_cut(char *out, size_t out_bytes, const char *text)
{
	snprintf(out, out_bytes, "%s", text);
}

void server_error_set(struct server_error *error, const struct pg_error_fields *fields)
{
	copy_cut(error->severity, sizeof(error->severity), fields->severity);
	copy_cut(error->sqlstate, sizeof(error->sqlstate), fields->sqlstate);
	copy_cut(error->message, sizeof(error->message), fields->message);
	copy_cut(error->detail, sizeof(error->detail), fields->detail);
	copy_cut(error->hint, sizeof(error->hint), fields->hint);
	/* Servers exist that leave fields out. */
	if (!error->sqlstate[0])
		copy_cut(error->sqlstate, sizeof(error->sqlstate), "XX000");
	if (!error->message[0])
		copy_cut(error->message, sizeof(error->message), "the server reported an error without a text");
}

void server_detach(struct server *server)
{
	struct worker *worker = server->worker;

	server_set_state(server, SERVER_MOVING);
	pending_clear(&server->pending, &worker->statements);
	server->unnamed_unknown |= server->unnamed != NULL;
	statement_drop(&worker->statements, server->unnamed);
	server->unnamed = NULL;
	stream_detach(&server->stream);
	handles_give_back(&worker->servers, server->member.handle.slot);
	worker->server_counts[SERVER_MOVING]--;
	list_remove(&server->node);
}

bool server_attach(struct server *server, struct worker *worker)
{
	struct pool_handle handle = { .worker = worker->index };

	server->worker = worker;
	if (!handles_take(&worker->servers, server, &handle.slot, &handle.generation))
		return false;
	server->state_since_us = worker->now_us;
	worker->server_counts[SERVER_MOVING]++;
	list_append(&worker->server_states[SERVER_MOVING], &server->node);
	stream_attach(&server->stream, worker->loop);
	pool_moved(&server->shared->pool, &server->member, handle);
	return true;
}

void server_print(const struct server *server, char *out, size_t out_bytes)
{
	char where[120];

	address_print(&server->address, where, sizeof(where));
	snprintf(out, out_bytes, "%s/%s@%s (pid %u)", server->shared->database, server->shared->user, where,
		 server->process_id);
}
