#include "pooler/janitor.h"

#include <stdio.h>

#include "pooler/cancel.h"
#include "pooler/client.h"
#include "pooler/clock.h"
#include "pooler/link.h"
#include "pooler/log.h"
#include "pooler/server.h"
#include "pooler/server_login.h"

/* How long a client may take to read our last words, and a server process to end. */
#define CLIENT_CLOSE_WAIT_US (2 * USEC_PER_SEC)
#define SERVER_CLOSE_WAIT_US (5 * USEC_PER_SEC)

static bool is_over(uint64_t limit_us, uint64_t since_us, uint64_t now_us)
{
	return limit_us && now_us - since_us >= limit_us;
}

/* The list of a state is in the order of entry: the first that has time left ends the walk. */
static void login_timeouts(struct worker *worker, enum client_state state)
{
	uint64_t limit_us = worker->config->settings.client_login_timeout_us;
	struct list *it, *spare;

	list_each(it, spare, &worker->client_states[state]) {
		struct client *client = list_entry(it, struct client, node);
		if (!is_over(limit_us, client->state_since_us, worker->now_us))
			return;
		link_leave(client,
			   &(struct pg_report){ "FATAL", "57014", "the login took longer than client_login_timeout",
						NULL, NULL },
			   "client_login_timeout");
	}
}

static void close_timeouts(struct worker *worker)
{
	struct list *it, *spare;

	list_each(it, spare, &worker->client_states[CLIENT_CLOSING]) {
		struct client *client = list_entry(it, struct client, node);
		if (!is_over(CLIENT_CLOSE_WAIT_US, client->state_since_us, worker->now_us))
			return;
		client_destroy(client);
	}
}

/* Who holds the servers, in a few words: the one that has had its server longest among this worker's clients. */
static void describe_holder(struct worker *worker, struct shared_pool *shared, char *out, size_t out_bytes)
{
	const struct server *longest = NULL;
	struct list *it, *spare;
	char name[CLIENT_PRINT_BYTES];

	list_each(it, spare, &worker->server_states[SERVER_ACTIVE]) {
		const struct server *server = list_entry(it, struct server, node);
		if (server->shared == shared && (!longest || server->assigned_us < longest->assigned_us))
			longest = server;
	}
	out[0] = '\0';
	if (!longest || !longest->client)
		return;
	client_print(longest->client, name, sizeof(name));
	const char *application = params_find(longest->client->params, "application_name");
	snprintf(out, out_bytes, " The longest is held for %.1f s by client %llu %s (application_name \"%s\", %s).",
		 (double)(worker->now_us - longest->assigned_us) / 1e6, (unsigned long long)longest->client->id, name,
		 application ? application : "",
		 pg_flow_is_quiet(&longest->flow) ? "idle in transaction" : "running a statement");
}

static void refuse_waiter(struct worker *worker, struct client *client)
{
	struct shared_pool *shared = client->shared;
	struct pool_counts counts = pool_count(&shared->pool);
	struct pool_failure failure;
	char message[256], detail[1200], holder[500];

	pools_get_failure(shared, &failure);
	describe_holder(worker, shared, holder, sizeof(holder));
	snprintf(message, sizeof(message),
		 "no server connection became free for %s/%s within query_wait_timeout (%.1f s)", shared->database,
		 shared->user, (double)(worker->now_us - client->waiter.since_us) / 1e6);
	snprintf(detail, sizeof(detail),
		 "pool_size is %u: %u in use, %u idle, %u being opened, %u being closed; %u clients wait.%s%s%s",
		 counts.size, counts.busy, counts.idle, counts.opening, counts.closing, counts.waiting, holder,
		 failure.sqlstate[0] ? " The last login failed: " : "", failure.sqlstate[0] ? failure.message : "");
	if (worker->config->settings.log_pooler_errors)
		log_warning("client %llu: %s. %s", (unsigned long long)client->id, message, detail);
	link_refuse_waiting(client, &(struct pg_report){ "ERROR", "53300", message, detail,
							 "SHOW POOLS and SHOW CLIENTS on the console tell more." });
}

static void wait_timeouts(struct worker *worker)
{
	struct list *it, *spare;
	const struct config *config = worker->config;

	list_each(it, spare, &worker->client_states[CLIENT_WAITING]) {
		struct client *client = list_entry(it, struct client, node);
		const struct database *database = config_find_database(config, client->shared->database);
		uint64_t limit_us = database ? config_query_wait_timeout_us(config, database, client->user)
					     : config->settings.query_wait_timeout_us;
		if (is_over(limit_us, client->waiter.since_us, worker->now_us) && client->waiter.waiting == POOL_QUEUED)
			refuse_waiter(worker, client);
	}
}

static void connect_timeouts(struct worker *worker)
{
	struct list *it, *spare;

	list_each(it, spare, &worker->server_states[SERVER_CONNECTING]) {
		struct server *server = list_entry(it, struct server, node);
		if (is_over(server_login_limit_us(server), server->state_since_us, worker->now_us))
			server_login_timed_out(server);
	}
}

static void reset_timeouts(struct worker *worker)
{
	struct list *it, *spare;

	list_each(it, spare, &worker->server_states[SERVER_RESETTING]) {
		struct server *server = list_entry(it, struct server, node);
		if (!is_over(worker->config->settings.server_reset_timeout_us, server->state_since_us, worker->now_us))
			break;
		log_warning("server %llu: could not be cleaned up within server_reset_timeout",
			    (unsigned long long)server->id);
		server->task = NULL;
		link_close(server, "server_reset_timeout");
	}
	list_each(it, spare, &worker->server_states[SERVER_CLOSING]) {
		struct server *server = list_entry(it, struct server, node);
		if (!is_over(SERVER_CLOSE_WAIT_US, server->state_since_us, worker->now_us))
			break;
		link_lost(server, "08006", "it did not end");
	}
}

/* A server that does not answer what it is asked on its client's behalf, before the client's own words may pass. */
static void task_timeouts(struct worker *worker)
{
	uint64_t limit_us = worker->config->settings.server_reset_timeout_us;
	struct list *it, *spare;

	list_each(it, spare, &worker->server_states[SERVER_ACTIVE]) {
		struct server *server = list_entry(it, struct server, node);
		if (server->task && is_over(limit_us, server->task_since_us, worker->now_us))
			link_lost(server, "08006", "it did not take its client's session parameters in time");
	}
}

static bool reap(struct shared_pool *shared, void *context)
{
	struct worker *worker = context;
	struct pool_member *member;

	while ((member = pool_reap(&shared->pool, worker->index, worker->now_us))) {
		struct server *server = list_entry(member, struct server, member);
		server->retired = true;
		link_close(server, "idle for too long, old, or one too many");
	}
	return true;
}

void janitor_tick(struct worker *worker)
{
	login_timeouts(worker, CLIENT_STARTUP);
	login_timeouts(worker, CLIENT_TLS);
	login_timeouts(worker, CLIENT_AUTH);
	close_timeouts(worker);
	wait_timeouts(worker);
	connect_timeouts(worker);
	reset_timeouts(worker);
	task_timeouts(worker);
	cancel_expire(worker);
	if (worker->server_counts[SERVER_IDLE])
		pools_each(reap, worker);
}
