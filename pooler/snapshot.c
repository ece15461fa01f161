#include "pooler/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/gather.h"

/* A worker's part. */
struct snapshot_letter {
	struct gather_letter letter;
	unsigned needs;
	uint32_t next_client; /* slots of worker->clients before it have been looked at */
	uint32_t next_server;
	size_t client_capacity;
	size_t server_capacity;
	bool failed;          /* no memory */
	struct snapshot part; /* its arrays are owned */
};

/* ---- in the worker's thread ---- */

/* Room for one more in an array that is asked to hold about `expected`. */
static bool make_room(void **rows, size_t *capacity, size_t count, size_t row_bytes, size_t expected)
{
	size_t wanted = *capacity ? *capacity * 2 : expected + 1;

	if (count < *capacity)
		return true;
	void *grown = realloc(*rows, wanted * row_bytes);
	if (!grown)
		return false;
	*rows = grown;
	*capacity = wanted;
	return true;
}

static void copy_name(snapshot_name out, const char *name)
{
	snprintf(out, sizeof(snapshot_name), "%s", name ? name : "");
}

static void copy_application_name(snapshot_name out, const struct client *client)
{
	copy_name(out, client && client->params ? params_find(client->params, "application_name") : NULL);
}

static void copy_local_address(struct peer *out, const struct stream *stream)
{
	union address address;
	socklen_t bytes = sizeof(address);

	memset(out, 0, sizeof(*out));
	memset(&address, 0, sizeof(address));
	if (stream_is_open(stream) && getsockname(stream->io.fd, &address.any, &bytes) == 0)
		peer_from_address(out, &address);
}

static void copy_client(struct client_row *row, const struct client *client)
{
	*row = (struct client_row){
		.id = client->id,
		.pool_id = client->shared ? client->shared->id : 0,
		.server_id = client->server ? client->server->id : 0,
		.connected_us = client->connected_us,
		.state_since_us = client->state_since_us,
		.query_since_us = client->query_since_us,
		.xact_since_us = client->xact_since_us,
		.waiting_since_us = client->state == CLIENT_WAITING ? client->waiter.since_us : 0,
		.peer = client->peer,
		.kept_bytes = client->kept.length,
		.passing_bytes = client->passing,
		.backlog_start = client->stream.backlog_start,
		.backlog_bytes = client->stream.backlog_length,
		.state = client->state,
		.mode = client->mode,
		.busy = client->console_busy,
	};
	copy_name(row->user, client->user);
	copy_name(row->database, client->database);
	copy_application_name(row->application_name, client);
	copy_local_address(&row->local, &client->stream);
}

static void copy_server(struct server_row *row, const struct server *server)
{
	*row = (struct server_row){
		.id = server->id,
		.pool_id = server->shared->id,
		.client_id = server->client ? server->client->id : 0,
		.created_us = server->created_us,
		.opened_us = server->login ? 0 : server->member.opened_us,
		.state_since_us = server->state_since_us,
		.assigned_us = server->assigned_us,
		.address = server->address,
		.kept_bytes = server->kept.length,
		.passing_bytes = server->passing,
		.backlog_start = server->stream.backlog_start,
		.backlog_bytes = server->stream.backlog_length,
		.process_id = server->process_id,
		.cancels = server->cancels,
		.state = server->state,
		.close_needed = server->doomed || pool_is_outdated(&server->shared->pool, &server->member),
	};
	copy_name(row->user, server->shared->user);
	copy_name(row->database, server->shared->database);
	copy_application_name(row->application_name, server->client);
	copy_local_address(&row->local, &server->stream);
}

/* One slice of the clients. True: all have been looked at, or memory ran out. */
static bool copy_clients(struct worker *worker, struct snapshot_letter *mine)
{
	const struct handles *handles = &worker->clients;
	struct snapshot *part = &mine->part;
	uint32_t end = mine->next_client + SNAPSHOT_SLICE;

	for (; mine->next_client < handles->capacity && mine->next_client < end; mine->next_client++) {
		const struct client *client = handles->slots[mine->next_client].object;
		if (!client)
			continue;
		void *rows = part->clients;
		if (!make_room(&rows, &mine->client_capacity, part->client_count, sizeof(*part->clients),
			       handles->used)) {
			mine->failed = true;
			return true;
		}
		part->clients = rows;
		copy_client(&part->clients[part->client_count++], client);
	}
	return mine->next_client >= handles->capacity;
}

static bool copy_servers(struct worker *worker, struct snapshot_letter *mine)
{
	const struct handles *handles = &worker->servers;
	struct snapshot *part = &mine->part;
	uint32_t end = mine->next_server + SNAPSHOT_SLICE;

	for (; mine->next_server < handles->capacity && mine->next_server < end; mine->next_server++) {
		const struct server *server = handles->slots[mine->next_server].object;
		if (!server)
			continue;
		void *rows = part->servers;
		if (!make_room(&rows, &mine->server_capacity, part->server_count, sizeof(*part->servers),
			       handles->used)) {
			mine->failed = true;
			return true;
		}
		part->servers = rows;
		copy_server(&part->servers[part->server_count++], server);
	}
	return mine->next_server >= handles->capacity;
}

static bool answer(struct worker *worker, struct gather_letter *letter)
{
	struct snapshot_letter *mine = (struct snapshot_letter *)(void *)letter;

	if ((mine->needs & SNAPSHOT_CLIENTS) && !copy_clients(worker, mine))
		return false;
	if ((mine->needs & SNAPSHOT_SERVERS) && !mine->failed && !copy_servers(worker, mine))
		return false;
	memcpy(mine->part.client_states, worker->client_counts, sizeof(mine->part.client_states));
	memcpy(mine->part.server_states, worker->server_counts, sizeof(mine->part.server_states));
	mine->part.statement_bytes = worker->statements.bytes;
	return true;
}

static void discard(struct gather_letter *letter)
{
	struct snapshot_letter *mine = (struct snapshot_letter *)(void *)letter;

	free(mine->part.clients);
	free(mine->part.servers);
}

static const struct gather_kind kind = { sizeof(struct snapshot_letter), answer, discard };

/* ---- in the main thread ---- */

/* Appends one part's rows. */
static bool append(void **rows, size_t *count, const void *more, size_t more_count, size_t row_bytes)
{
	if (more_count == 0)
		return true;
	void *grown = realloc(*rows, (*count + more_count) * row_bytes);
	if (!grown)
		return false;
	memcpy((char *)grown + *count * row_bytes, more, more_count * row_bytes);
	*rows = grown;
	*count += more_count;
	return true;
}

static bool add_part(struct snapshot *whole, const struct snapshot_letter *letter)
{
	const struct snapshot *part = &letter->part;
	void *clients = whole->clients, *servers = whole->servers;
	bool added =
		!letter->failed &&
		append(&clients, &whole->client_count, part->clients, part->client_count, sizeof(*part->clients)) &&
		append(&servers, &whole->server_count, part->servers, part->server_count, sizeof(*part->servers));

	whole->clients = clients;
	whole->servers = servers;
	for (size_t i = 0; i < CLIENT_STATES; i++)
		whole->client_states[i] += part->client_states[i];
	for (size_t i = 0; i < SERVER_STATES; i++)
		whole->server_states[i] += part->server_states[i];
	whole->statement_bytes += part->statement_bytes;
	whole->worker_count++;
	return added;
}

static void all_home(void *context, struct gather_letter **letters, unsigned count, bool complete)
{
	struct snapshot_wish *wish = context;
	struct snapshot *whole = complete ? calloc(1, sizeof(*whole)) : NULL;

	for (unsigned i = 0; i < count && whole; i++) {
		if (add_part(whole, (const struct snapshot_letter *)(const void *)letters[i]))
			continue;
		snapshot_free(whole);
		whole = NULL;
	}
	if (whole)
		whole->taken_us = clock_now_us();
	wish->question = 0;
	wish->taken(wish->context, whole);
}

bool snapshot_ask(struct snapshot_wish *wish, struct crew *crew, unsigned needs)
{
	struct snapshot_letter question = { .needs = needs };

	wish->question = gather_ask(crew, &kind, &question, all_home, wish);
	return wish->question != 0;
}

void snapshot_forget(struct snapshot_wish *wish)
{
	gather_forget(wish->question);
	wish->question = 0;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	free(snapshot->clients);
	free(snapshot->servers);
	free(snapshot);
}
