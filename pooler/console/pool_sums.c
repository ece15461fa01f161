#include "pooler/console/pool_sums.h"

#include <stdlib.h>

#include "pooler/hash.h"

struct entry {
	UT_hash_handle hh;
	uint64_t pool_id; /* the key */
	struct pool_sum sum;
};

struct pool_sums {
	struct entry *table;
};

static struct entry *find(const struct pool_sums *sums, uint64_t pool_id)
{
	struct entry *found = NULL;

	HASH_FIND(hh, sums->table, &pool_id, sizeof(pool_id), found);
	return found;
}

/* NULL: no memory. */
static struct pool_sum *find_or_make(struct pool_sums *sums, uint64_t pool_id)
{
	struct entry *entry = find(sums, pool_id);

	if (entry)
		return &entry->sum;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->pool_id = pool_id;
	HASH_ADD(hh, sums->table, pool_id, sizeof(entry->pool_id), entry);
	if (find(sums, pool_id) == entry)
		return &entry->sum;
	free(entry);
	return NULL;
}

static bool count_client(struct pool_sums *sums, const struct client_row *client)
{
	struct pool_sum *sum = find_or_make(sums, client->pool_id);

	if (!sum)
		return false;
	sum->clients++;
	sum->cl_active += client->state == CLIENT_ACTIVE || client->state == CLIENT_IDLE;
	sum->cl_waiting += client->state == CLIENT_WAITING;
	return true;
}

static bool count_server(struct pool_sums *sums, const struct server_row *server)
{
	struct pool_sum *sum = find_or_make(sums, server->pool_id);

	if (!sum)
		return false;
	sum->sv_tested += server->state == SERVER_RESETTING && !server->cancels;
	sum->sv_being_canceled += server->state == SERVER_RESETTING && server->cancels;
	sum->cancels += server->cancels;
	return true;
}

struct pool_sums *pool_sums_create(const struct snapshot *snapshot)
{
	struct pool_sums *sums = calloc(1, sizeof(*sums));
	bool counted = sums != NULL;

	for (size_t i = 0; i < snapshot->client_count && counted; i++)
		counted = count_client(sums, &snapshot->clients[i]);
	for (size_t i = 0; i < snapshot->server_count && counted; i++)
		counted = count_server(sums, &snapshot->servers[i]);
	if (counted)
		return sums;
	pool_sums_free(sums);
	return NULL;
}

void pool_sums_free(struct pool_sums *sums)
{
	struct entry *it, *spare;

	if (!sums)
		return;
	HASH_ITER(hh, sums->table, it, spare) {
		HASH_DEL(sums->table, it);
		free(it);
	}
	free(sums);
}

const struct pool_sum *pool_sums_find(const struct pool_sums *sums, uint64_t pool_id)
{
	static const struct pool_sum none;
	const struct entry *found = find(sums, pool_id);

	return found ? &found->sum : &none;
}
