#include "pooler/console/name_sums.h"

#include <stdlib.h>
#include <string.h>

#include "pooler/hash.h"
#include "pooler/pools.h"

struct entry {
	UT_hash_handle hh;
	struct name_sum sum;
	char name[]; /* the key */
};

struct name_sums {
	struct entry *table;
	struct name_sum console;
	bool by_user;
	bool failed;
};

static struct entry *find(const struct name_sums *sums, const char *name)
{
	struct entry *found = NULL;

	HASH_FIND_STR(sums->table, name, found);
	return found;
}

/* NULL: no memory, which is remembered. */
static struct name_sum *find_or_make(struct name_sums *sums, const char *name)
{
	struct entry *entry = find(sums, name);
	size_t bytes = strlen(name) + 1;

	if (entry)
		return &entry->sum;
	entry = calloc(1, sizeof(*entry) + bytes);
	if (entry) {
		memcpy(entry->name, name, bytes);
		HASH_ADD_STR(sums->table, name, entry);
		if (find(sums, name) == entry)
			return &entry->sum;
	}
	free(entry);
	sums->failed = true;
	return NULL;
}

static void count_client(struct name_sums *sums, const struct client_row *client)
{
	struct name_sum *sum = NULL;

	if (client->state < CLIENT_IDLE || client->state == CLIENT_CLOSING)
		return;
	if (client->state == CLIENT_CONSOLE && !sums->by_user)
		sum = &sums->console;
	else
		sum = find_or_make(sums, sums->by_user ? client->user : client->database);
	if (sum)
		sum->clients++;
}

static bool count_pool(struct shared_pool *shared, void *context)
{
	struct name_sums *sums = context;
	struct name_sum *sum = find_or_make(sums, sums->by_user ? shared->user : shared->database);
	struct pool_counts counts = pool_count(&shared->pool);

	if (sum)
		sum->servers += counts.opening + counts.idle + counts.busy + counts.closing;
	return sum != NULL;
}

static struct name_sums *make(const struct snapshot *snapshot, bool by_user)
{
	struct name_sums *sums = calloc(1, sizeof(*sums));

	if (!sums)
		return NULL;
	sums->by_user = by_user;
	for (size_t i = 0; i < snapshot->client_count; i++)
		count_client(sums, &snapshot->clients[i]);
	pools_each(count_pool, sums);
	if (!sums->failed)
		return sums;
	name_sums_free(sums);
	return NULL;
}

struct name_sums *name_sums_by_database(const struct snapshot *snapshot)
{
	return make(snapshot, false);
}

struct name_sums *name_sums_by_user(const struct snapshot *snapshot)
{
	return make(snapshot, true);
}

void name_sums_free(struct name_sums *sums)
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

const struct name_sum *name_sums_find(const struct name_sums *sums, const char *name)
{
	static const struct name_sum none;
	const struct entry *found = find(sums, name);

	return found ? &found->sum : &none;
}

const struct name_sum *name_sums_console(const struct name_sums *sums)
{
	return &sums->console;
}

void name_sums_each(const struct name_sums *sums,
		    void (*each)(void *context, const char *name, const struct name_sum *sum), void *context)
{
	struct entry *it, *spare;

	HASH_ITER(hh, sums->table, it, spare)
		each(context, it->name, &it->sum);
}
