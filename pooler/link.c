#include "pooler/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pooler/cancel.h"
#include "pooler/cleanup.h"
#include "pooler/client_login.h"
#include "pooler/console_client.h"
#include "pooler/link_letters.h"
#include "pooler/log.h"
#include "pooler/relay.h"
#include "pooler/server_login.h"

static const struct pg_report shutting_down = { "FATAL", "57P01", "the connection pooler is shutting down", NULL,
						NULL };

/* The only two assignments of their kind. */
static void pair(struct client *client, struct server *server)
{
	client->server = server;
	server->client = client;
	server->aligned = false;
}

static void part(struct client *client, struct server *server)
{
	client->server = NULL;
	server->client = NULL;
}

static struct stats *stats_of(struct client *client)
{
	return &client->shared->stats[client->worker->index];
}

/* ---- a client gets a server ---- */

/* Both have the same parameters in force: the client's own words may pass. */
static void link_ready(struct client *client, struct server *server)
{
	if (client->login)
		client_login_with_server(client, server);
}

/* The client's parameters are in force on the server. Where the server reports one, its way of writing it counts. */
static void adopt_params(struct client *client, struct server *server)
{
	const struct params *merged = params_hold(client->params);

	for (size_t i = 0; merged && i < params_count(client->params); i++) {
		const struct param *param = params_at(client->params, i);
		const char *reported = params_find(server->reported, param->name);
		if (!reported || strcmp(reported, param->value) == 0)
			continue;
		const struct params *next = params_with(merged, param->name, reported);
		params_drop(merged);
		merged = next;
	}
	if (!merged) {
		client->leaving = true;
		return;
	}
	params_drop(client->params);
	params_drop(server->params);
	client->params = merged;
	server->params = params_hold(merged);
	server->params_unknown = false;
}

static void params_refused(struct client *client, const struct server_error *error)
{
	link_leave(client,
		   &(struct pg_report){ "FATAL", error->sqlstate, error->message, error->detail,
					error->hint[0]
						? error->hint
						: "It is one of the session parameters that this client asked for." },
		   "its session parameters were refused by the server");
}

/* The client left meanwhile. What went well is in force all the same, for the next client to find and undo. */
static void params_left_behind(struct server *server, const struct params *applied)
{
	const struct params *both = params_overlay(server->params, applied);

	if (!both) {
		link_close(server, "out of memory");
		return;
	}
	params_drop(server->params);
	server->params = both;
	server->params_unknown = true;
	cleanup_step(server);
}

static void params_applied(struct server *server, const struct server_error *error)
{
	struct client *client = server->client;
	const struct params *applied = server->applying;

	server->applying = NULL;
	if (!client) {
		/* One Query is one transaction: after an error all is as before. */
		params_left_behind(server, error ? server->params : applied);
		params_drop(applied);
		return;
	}
	params_drop(applied);
	if (error) {
		server->params_unknown = true;
		params_refused(client, error);
		return;
	}
	adopt_params(client, server);
	if (!client->leaving)
		link_ready(client, server);
	relay_resume(client);
}

/* True: nothing is left to be done. */
static bool apply_params(struct client *client, struct server *server)
{
	struct pg_buffer sql = PG_BUFFER_EMPTY;

	params_put_sql(server->params, client->params, server->params_unknown, &sql);
	pg_buffer_put_u8(&sql, '\0');
	if (sql.failed) {
		client->leaving = true;
	} else if (sql.length == 1) {
		adopt_params(client, server);
	} else {
		server->applying = params_hold(client->params);
		server_run(server, (const char *)sql.data, params_applied);
	}
	pg_buffer_clear(&sql);
	return !server->task && !client->leaving;
}

static void link_bind(struct client *client, struct server *server)
{
	struct worker *worker = client->worker;
	struct stats *stats = stats_of(client);

	if (client->state == CLIENT_WAITING)
		stats_add(stats, STAT_WAIT_TIME, worker->now_us - client->waiter.since_us);
	stats_add(stats, STAT_SERVER_ASSIGNMENT_COUNT, 1);
	pair(client, server);
	client_set_state(client, CLIENT_ACTIVE);
	if (server->state != SERVER_ACTIVE)
		server_set_state(server, SERVER_ACTIVE);
	server->assigned_us = worker->now_us;
	if (client->login)
		client_login_want(client, server);
	else if (client->mode == POOL_MODE_SESSION)
		server->dirty = true;
	if (__builtin_expect(client->leaving, 0))
		return; /* no memory: it is let go at the end of the event, and the server given back */
	if (__builtin_expect(client->params != server->params || server->params_unknown, 0) &&
	    !apply_params(client, server))
		return;
	link_ready(client, server);
}

/* The database refuses every login: nobody waits for it in vain. True: the client was refused. */
static bool refuse_by_failure(struct client *client)
{
	struct shared_pool *shared = client->shared;
	struct pool_failure failure;

	if (!atomic_load_explicit(&shared->failing, memory_order_relaxed))
		return false;
	struct pool_counts counts = pool_count(&shared->pool);
	pools_get_failure(shared, &failure);
	if (!failure.sqlstate[0] || counts.opening + counts.idle + counts.busy > 0)
		return false;
	link_refuse(client, &(struct pg_report){ "ERROR", failure.sqlstate, failure.message, failure.detail, NULL });
	return true;
}

static void set_waiting(struct client *client)
{
	if (client->state != CLIENT_WAITING)
		client_set_state(client, CLIENT_WAITING);
}

static void follow(struct client *client, const struct pool_decision *decision)
{
	switch (decision->answer) {
	case POOL_TAKE:
		link_bind(client, list_entry(decision->member, struct server, member));
		break;
	case POOL_ASK:
		set_waiting(client);
		letter_send_ask(client->worker->crew, client->shared, &decision->handle, &client->waiter.handle);
		break;
	case POOL_OPEN:
		set_waiting(client);
		link_open(client->worker, client->shared);
		break;
	case POOL_WAIT:
		set_waiting(client);
		refuse_by_failure(client);
		break;
	}
}

void link_request(struct client *client)
{
	if (client->worker->stop >= WORKER_WAITS_FOR_SERVERS) {
		client_send_error(client, &shutting_down);
		client->leaving = true;
		return;
	}
	struct pool_decision decision = pool_acquire(&client->shared->pool, &client->waiter, client->worker->now_us);
	follow(client, &decision);
}

void link_refuse(struct client *client, const struct pg_report *report)
{
	struct pg_report own = *report;

	assert(client->state == CLIENT_WAITING);
	pool_leave(&client->shared->pool, &client->waiter);
	stats_add(stats_of(client), STAT_WAIT_TIME, client->worker->now_us - client->waiter.since_us);
	if (client->login)
		own.severity = "FATAL";
	client_send_error(client, &own);
	if (client->last_words) {
		client->leaving = true;
		return;
	}
	client->refused = REFUSED_REQUEST;
	client_set_state(client, CLIENT_IDLE);
}

void link_refuse_waiting(struct client *client, const struct pg_report *report)
{
	link_refuse(client, report);
	if (client->leaving)
		link_leave(client, NULL, report->message);
	else
		relay_resume(client);
}

static struct client *find_claimed(struct worker *worker, const struct pool_handle *waiter)
{
	struct client *client = handles_find(&worker->clients, waiter->slot, waiter->generation);

	return client && client->waiter.waiting == POOL_CLAIMED ? client : NULL;
}

void link_arrived(struct server *server, const struct pool_handle *waiter)
{
	struct client *client = find_claimed(server->worker, waiter);

	if (!client) {
		link_give(server);
		return;
	}
	pool_arrived(&client->shared->pool, &client->waiter);
	link_bind(client, server);
	relay_resume(client);
}

void link_claim_lost(struct worker *worker, const struct pool_handle *waiter)
{
	struct client *client = find_claimed(worker, waiter);

	if (!client)
		return;
	struct pool_decision decision = pool_acquire_again(&client->shared->pool, &client->waiter, worker->now_us);
	follow(client, &decision);
	if (client->state == CLIENT_ACTIVE)
		relay_resume(client);
}

/* ---- a server becomes free ---- */

void link_give(struct server *server)
{
	struct worker *worker = server->worker;
	struct shared_pool *shared = server->shared;

	if (server->doomed || worker->stop >= WORKER_WAITS_FOR_SERVERS) {
		link_close(server, server->doomed ? "it was to be replaced" : "shutdown");
		return;
	}
	struct pool_release release = pool_release(&shared->pool, &server->member, worker->now_us);
	switch (release.verdict) {
	case POOL_GIVE:
		if (release.waiter) {
			struct client *client = list_entry(release.waiter, struct client, waiter);
			link_bind(client, server);
			relay_resume(client);
		} else {
			letter_send_server(server, &release.handle);
		}
		break;
	case POOL_KEEP:
		server_set_state(server, SERVER_IDLE);
		break;
	case POOL_RETIRE:
		server->retired = true;
		link_close(server, "it is old, or one too many");
		break;
	}
	if (__builtin_expect(atomic_load_explicit(&shared->draining, memory_order_relaxed), 0))
		worker->crew->member_returned(worker->crew);
}

static bool is_clean(const struct server *server)
{
	return pg_flow_is_free(&server->flow) && !server->dirty && !server->cancels && !server->farewell &&
	       !server->worker->config->settings.server_reset_query_always;
}

void link_release(struct server *server)
{
	struct client *client = server->client;
	bool held_back = client->held_back;

	part(client, server);
	server->cancel_sent = false;
	client->query_since_us = 0;
	client->xact_since_us = 0;
	client_set_state(client, CLIENT_IDLE);
	/* Answers that it has not read yet: it gets no server until it has. */
	stream_set_reading(&client->stream, !stream_is_blocked(&client->stream));
	stream_set_reading(&server->stream, true);
	if (__builtin_expect(client->worker->stop >= WORKER_WAITS_FOR_SERVERS && !client->login, 0))
		link_leave(client, &shutting_down, "shutdown");
	if (__builtin_expect(is_clean(server), 1))
		link_give(server);
	else
		cleanup_start(server);
	if (__builtin_expect(held_back, 0))
		relay_resume(client); /* its goodbye waited for its last answer */
}

/* ---- a client goes ---- */

static void log_leaving(struct client *client, const char *reason)
{
	char name[CLIENT_PRINT_BYTES];

	if (!client->worker->config->settings.log_disconnections || client->state == CLIENT_STARTUP)
		return;
	client_print(client, name, sizeof(name));
	log_info("client %llu %s: closed after %llu s: %s", (unsigned long long)client->id, name,
		 (unsigned long long)((client->worker->now_us - client->connected_us) / 1000000), reason);
}

/* The client's server after its client. */
static void abandon_server(struct client *client)
{
	struct server *server = client->server;
	bool half = client->passing && !client->passing_dropped;

	/* A query that was sent before a Terminate is done all the same, as by PostgreSQL. */
	server->cancel_sent = client->said_goodbye;
	part(client, server);
	stream_set_reading(&server->stream, true);
	if (half || server->stream.write_failed)
		link_close(server, "its client left in the middle of a message");
	else if (is_clean(server) && !server->task && !server->passing && !server->kept.length)
		link_give(server);
	else
		cleanup_start(server);
}

void link_leave(struct client *client, const struct pg_report *report, const char *reason)
{
	if (client->state == CLIENT_CLOSING) {
		client_destroy(client);
		return;
	}
	log_leaving(client, reason);
	if (client->waiter.waiting != POOL_NOT_WAITING)
		pool_leave(&client->shared->pool, &client->waiter);
	if (client->state == CLIENT_CONSOLE)
		console_client_left(client);
	client_login_free(client->login);
	client->login = NULL;
	if (report)
		client_send_error(client, report);
	client_set_state(client, CLIENT_CLOSING);
	client->leaving = true;
	if (client->server)
		abandon_server(client);
	if (!client->last_words || client->stream.write_failed)
		client_destroy(client);
	else {
		client->leaving = false; /* its further events only drain it */
		client_linger(client);
	}
}

/* ---- a server goes ---- */

static void log_lost(struct server *server, const char *reason)
{
	char name[SERVER_PRINT_BYTES];

	server_print(server, name, sizeof(name));
	if (server->state == SERVER_CLOSING)
		log_debug("server %llu %s: closed", (unsigned long long)server->id, name);
	else
		log_warning("server %llu %s: lost while %s: %s", (unsigned long long)server->id, name,
			    server_state_name(server->state), server->farewell ? server->farewell->message : reason);
}

/* Out of the pool and away; opens another where one is due. */
static void remove_server(struct server *server, bool failed)
{
	struct worker *worker = server->worker;
	struct shared_pool *shared = server->shared;

	pools_hold(shared); /* over the server's end */
	bool due = pool_remove(&shared->pool, &server->member, failed, worker->now_us);
	server->removed = true;
	server_destroy(server);
	if (due && worker->stop >= WORKER_WAITS_FOR_SERVERS)
		pool_unreserve(&shared->pool, worker->now_us);
	else if (due)
		link_open(worker, shared);
	if (atomic_load(&shared->draining))
		worker->crew->member_returned(worker->crew);
	pools_drop(shared, worker->now_us);
}

/* The client of a server that was lost is told once, and goes. */
static void tell_lost(struct client *client, struct server *server, const char *sqlstate, const char *reason)
{
	char message[200];
	char name[SERVER_PRINT_BYTES];
	const struct server_error *farewell = server->farewell;

	if (farewell && server->farewell_passed) {
		link_leave(client, NULL, farewell->message);
		return;
	}
	if (farewell) {
		link_leave(client,
			   &(struct pg_report){ "FATAL", farewell->sqlstate, farewell->message, farewell->detail,
						farewell->hint },
			   farewell->message);
		return;
	}
	server_print(server, name, sizeof(name));
	snprintf(message, sizeof(message), "the server connection was lost: %s", reason);
	link_leave(client,
		   &(struct pg_report){ "FATAL", sqlstate, message,
					client->query_since_us
						? "A statement was under way: it is unknown whether it took effect."
						: "No statement was under way.",
					NULL },
		   message);
}

void link_lost(struct server *server, const char *sqlstate, const char *reason)
{
	struct client *client = server->client;

	log_lost(server, reason);
	if (client)
		part(client, server);
	if (client && !client->login && !client->xact_since_us && client->mode != POOL_MODE_SESSION &&
	    !client->unnamed_too_large && server->task) {
		/* It only got its parameters: the client has said nothing on it yet and asks for another. */
		client_set_state(client, CLIENT_IDLE);
		remove_server(server, false);
		relay_resume(client);
		return;
	}
	if (client)
		tell_lost(client, server, sqlstate, reason);
	remove_server(server, false);
}

void link_login_failed(struct server *server, const struct pool_failure *failure)
{
	struct worker *worker = server->worker;
	struct shared_pool *shared = server->shared;

	pools_hold(shared);
	pools_set_failure(shared, failure);
	remove_server(server, true);
	struct pool_counts counts = pool_count(&shared->pool);
	if (failure->by_server && counts.idle + counts.busy == 0)
		letter_refuse_everywhere(worker->crew, shared, failure);
	pools_drop(shared, worker->now_us);
}

void link_refuse_pool(struct worker *worker, struct shared_pool *shared, const struct pool_failure *failure)
{
	struct list *it, *spare;
	struct list *waiting = &worker->client_states[CLIENT_WAITING];
	const struct pg_report report = { "ERROR", failure->sqlstate, failure->message, failure->detail, NULL };

	/* Refusing may bring other clients into the list, but only at its end: stop where it ends now. */
	struct list *last = waiting->prev;
	for (it = waiting->next, spare = it->next; it != waiting; it = spare, spare = it->next) {
		struct client *client = list_entry(it, struct client, node);
		bool at_last = it == last;
		if (client->shared == shared && client->waiter.waiting == POOL_QUEUED)
			link_refuse_waiting(client, &report);
		if (at_last)
			break;
	}
}

void link_close(struct server *server, const char *reason)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	char name[SERVER_PRINT_BYTES];
	bool busy = server->flow.count > 0;

	assert(!server->client && !server->login);
	if (server->state == SERVER_CLOSING)
		return;
	server_print(server, name, sizeof(name));
	log_debug("server %llu %s: closing: %s", (unsigned long long)server->id, name, reason);
	if (!server->retired)
		pool_retire(&server->shared->pool, &server->member);
	server->retired = true;
	server_set_state(server, SERVER_CLOSING);
	if (busy && !server->cancels)
		cancel_server(server, NULL);
	pg_build_terminate(&out);
	stream_send(&server->stream, &out);
	stream_set_reading(&server->stream, true);
	shutdown(server->stream.io.fd, SHUT_WR);
}

void link_drop(struct server *server)
{
	server_login_free(server->login);
	server->login = NULL;
	remove_server(server, false);
}

void link_open(struct worker *worker, struct shared_pool *shared)
{
	struct server *server = server_create(worker, shared);

	if (!server) {
		log_error("out of memory: no server connection for %s/%s", shared->database, shared->user);
		return;
	}
	server_login_start(server);
}
