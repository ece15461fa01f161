#include "pooler/client.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/log.h"

#define BIT(state) (1u << (state))

/* From which states a state may be reached. */
static const unsigned allowed_from[CLIENT_STATES] = {
	[CLIENT_STARTUP] = 0,
	[CLIENT_TLS] = BIT(CLIENT_STARTUP),
	[CLIENT_AUTH] = BIT(CLIENT_STARTUP) | BIT(CLIENT_TLS) | BIT(CLIENT_ACTIVE),
	[CLIENT_IDLE] = BIT(CLIENT_AUTH) | BIT(CLIENT_ACTIVE) | BIT(CLIENT_WAITING),
	[CLIENT_WAITING] = BIT(CLIENT_AUTH) | BIT(CLIENT_IDLE),
	[CLIENT_ACTIVE] = BIT(CLIENT_AUTH) | BIT(CLIENT_IDLE) | BIT(CLIENT_WAITING),
	[CLIENT_CONSOLE] = BIT(CLIENT_AUTH),
	[CLIENT_CLOSING] = ~BIT(CLIENT_CLOSING),
};

static const char *const names[CLIENT_STATES] = {
	[CLIENT_STARTUP] = "startup", [CLIENT_TLS] = "tls",         [CLIENT_AUTH] = "auth",
	[CLIENT_IDLE] = "idle",       [CLIENT_WAITING] = "waiting", [CLIENT_ACTIVE] = "active",
	[CLIENT_CONSOLE] = "console", [CLIENT_CLOSING] = "closing",
};

struct client *client_create(struct worker *worker, int fd, const struct peer *peer, stream_event *event)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client ||
	    !handles_take(&worker->clients, client, &client->waiter.handle.slot, &client->waiter.handle.generation)) {
		free(client);
		close(fd);
		return NULL;
	}
	client->worker = worker;
	client->waiter.handle.worker = worker->index;
	list_init(&client->waiter.node);
	client->peer = *peer;
	client->id = atomic_fetch_add(&worker->crew->next_id, 1) + 1;
	client->connected_us = worker->now_us;
	client->state = CLIENT_STARTUP;
	client->state_since_us = worker->now_us;
	worker->client_counts[CLIENT_STARTUP]++;
	list_append(&worker->client_states[CLIENT_STARTUP], &client->node);
	stream_init(&client->stream, worker->loop, fd, STREAM_LAST, event, client);
	return client;
}

void client_destroy(struct client *client)
{
	struct worker *worker = client->worker;

	assert(!client->server && !client->login && client->waiter.waiting == POOL_NOT_WAITING);
	stream_close(&client->stream);
	if (client->counted)
		atomic_fetch_sub(&worker->crew->session_count, 1);
	if (client->shared)
		pools_drop(client->shared, worker->now_us);
	params_drop(client->params);
	statement_drop(&worker->statements, client->unnamed);
	free(client->kept.data);
	free(client->user);
	free(client->database);
	handles_give_back(&worker->clients, client->waiter.handle.slot);
	worker->client_counts[client->state]--;
	list_remove(&client->node);
	list_append(&worker->dead_clients, &client->node);
}

void client_bury(struct worker *worker)
{
	struct list *node;

	while ((node = list_pop(&worker->dead_clients)))
		free(list_entry(node, struct client, node));
}

/* A broken invariant: the process must not go on, and says who it was. */
static __attribute__((noreturn)) void refuse_move(const struct client *client, enum client_state state)
{
	log_fatal("client %llu must not go from %s to %s", (unsigned long long)client->id, names[client->state],
		  names[state]);
	log_close(USEC_PER_SEC);
	abort();
}

void client_set_state(struct client *client, enum client_state state)
{
	struct worker *worker = client->worker;

	if (__builtin_expect(!(allowed_from[state] & BIT(client->state)), 0))
		refuse_move(client, state);
	log_noise("client %llu: %s -> %s", (unsigned long long)client->id, names[client->state], names[state]);
	worker->client_counts[client->state]--;
	worker->client_counts[state]++;
	client->state = state;
	client->state_since_us = worker->now_us;
	list_remove(&client->node);
	list_append(&worker->client_states[state], &client->node);
}

const char *client_state_name(enum client_state state)
{
	return names[state];
}

void client_send(struct client *client, struct pg_buffer *out)
{
	if (out->failed)
		client->leaving = true;
	else
		stream_write(&client->stream, out->data, out->length);
	pg_buffer_clear(out);
}

void client_send_error(struct client *client, const struct pg_report *report)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_error(&out, report);
	client_send(client, &out);
	if (strcmp(report->severity, "FATAL") == 0)
		client->last_words = true;
}

void client_linger(struct client *client)
{
	if (stream_is_blocked(&client->stream))
		return;
	shutdown(client->stream.io.fd, SHUT_WR);
	stream_set_reading(&client->stream, true);
}

void peer_from_address(struct peer *peer, const union address *address)
{
	*peer = (struct peer){ .family = (uint8_t)address->any.sa_family };
	if (peer->family == AF_INET) {
		memcpy(peer->bytes, &address->v4.sin_addr, 4);
		peer->port = ntohs(address->v4.sin_port);
	} else if (peer->family == AF_INET6) {
		memcpy(peer->bytes, &address->v6.sin6_addr, 16);
		peer->port = ntohs(address->v6.sin6_port);
	}
}

void peer_print(const struct peer *peer, char *out, size_t out_bytes)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (peer->family == AF_UNIX) {
		snprintf(out, out_bytes, "unix(%u)", peer->pid);
		return;
	}
	inet_ntop(peer->family, peer->bytes, host, sizeof(host));
	snprintf(out, out_bytes, peer->family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, peer->port);
}

void client_print(const struct client *client, char *out, size_t out_bytes)
{
	char from[64];

	peer_print(&client->peer, from, sizeof(from));
	snprintf(out, out_bytes, "%s/%s@%s", client->database ? client->database : "(nodb)",
		 client->user ? client->user : "(nouser)", from);
}
