#include "pooler/admin_kill.h"

#include <stdio.h>
#include <string.h>

#include "pooler/link.h"

struct kill_letter {
	struct gather_letter letter;
	uint64_t client_id; /* 0: by database */
	bool all;
	char database[PG_NAME_BYTES_MAX + 1];
	unsigned dropped;
};

static bool matches(const struct kill_letter *mine, const char *database)
{
	return mine->all || (database && strcmp(mine->database, database) == 0);
}

static bool is_meant(const struct kill_letter *mine, const struct client *client)
{
	if (client->state == CLIENT_CLOSING)
		return false;
	if (mine->client_id)
		return client->id == mine->client_id;
	return client->state != CLIENT_CONSOLE && client->shared && matches(mine, client->shared->database);
}

static void drop_client(struct client *client, const struct kill_letter *mine)
{
	const struct pg_report report = {
		"FATAL",
		"57P01",
		"terminating connection due to administrator command",
		mine->client_id ? "KILL_CLIENT was issued on the pooler's console."
				: "KILL was issued on the pooler's console.",
		NULL,
	};

	if (client->server)
		client->server->doomed = true;
	link_leave(client, &report, "dropped by an administrator");
}

/* Dropping one never creates another, so the slots stay where they are. */
static bool answer(struct worker *worker, struct gather_letter *letter)
{
	struct kill_letter *mine = (struct kill_letter *)(void *)letter;

	for (uint32_t i = 0; i < worker->servers.capacity && !mine->client_id; i++) {
		struct server *server = worker->servers.slots[i].object;
		if (server && matches(mine, server->shared->database))
			server->doomed = true;
	}
	for (uint32_t i = 0; i < worker->clients.capacity; i++) {
		struct client *client = worker->clients.slots[i].object;
		if (!client || !is_meant(mine, client))
			continue;
		mine->dropped++;
		drop_client(client, mine);
	}
	return true;
}

static const struct gather_kind kind = { sizeof(struct kill_letter), answer, NULL };

uint64_t admin_kill_ask(struct crew *crew, const char *database, uint64_t client_id, gather_done *done, void *context)
{
	struct kill_letter question = { .client_id = client_id, .all = !database };

	if (database)
		snprintf(question.database, sizeof(question.database), "%s", database);
	return gather_ask(crew, &kind, &question, done, context);
}

unsigned admin_kill_count(const struct gather_letter *letter)
{
	return ((const struct kill_letter *)(const void *)letter)->dropped;
}
