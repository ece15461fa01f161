#include "pooler/admin_state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/hash.h"
#include "pooler/pools.h"

struct entry {
	UT_hash_handle hh;
	struct admin_state state; /* at least one thing was said */
	char name[];              /* the key */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *table;        /* shared: lock */
static bool all_paused;            /* shared: lock */
static atomic_uint disabled_count; /* entries that are disabled; written under the lock */
static atomic_uint changes;        /* written under the lock */

static struct entry *find(const char *database)
{
	struct entry *entry = NULL;

	HASH_FIND_STR(table, database, entry);
	return entry;
}

/* NULL: no memory. */
static struct entry *find_or_make(const char *database)
{
	struct entry *entry = find(database);
	size_t bytes = strlen(database) + 1;

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry) + bytes);
	if (!entry)
		return NULL;
	memcpy(entry->name, database, bytes);
	HASH_ADD_STR(table, name, entry);
	if (find(database) == entry)
		return entry;
	free(entry);
	return NULL;
}

static void forget_if_empty(struct entry *entry)
{
	if (entry->state.paused || entry->state.disabled)
		return;
	HASH_DEL(table, entry);
	free(entry);
}

struct admin_state admin_state_of(const char *database)
{
	pthread_mutex_lock(&lock);
	const struct entry *entry = find(database);
	struct admin_state state = entry ? entry->state : (struct admin_state){ 0 };
	pthread_mutex_unlock(&lock);
	return state;
}

bool admin_state_all_paused(void)
{
	pthread_mutex_lock(&lock);
	bool paused = all_paused;
	pthread_mutex_unlock(&lock);
	return paused;
}

bool admin_database_is_paused(const char *database)
{
	return admin_state_all_paused() || admin_state_of(database).paused;
}

bool admin_database_is_disabled(const char *database)
{
	return atomic_load(&disabled_count) != 0 && admin_state_of(database).disabled;
}

bool admin_state_set_paused(const char *database, bool paused)
{
	pthread_mutex_lock(&lock);
	struct entry *entry = database ? find_or_make(database) : NULL;
	bool said = entry || !database;
	if (!database)
		all_paused = paused;
	if (entry) {
		entry->state.paused = paused;
		forget_if_empty(entry);
	}
	atomic_fetch_add(&changes, 1);
	pthread_mutex_unlock(&lock);
	return said;
}

bool admin_state_set_disabled(const char *database, bool disabled)
{
	pthread_mutex_lock(&lock);
	struct entry *entry = find_or_make(database);
	bool said = entry != NULL;
	if (entry) {
		if (entry->state.disabled != disabled)
			atomic_fetch_add(&disabled_count, disabled ? 1u : -1u);
		entry->state.disabled = disabled;
		forget_if_empty(entry);
	}
	atomic_fetch_add(&changes, 1);
	pthread_mutex_unlock(&lock);
	return said;
}

void admin_state_clear(void)
{
	struct entry *it, *spare;

	pthread_mutex_lock(&lock);
	HASH_ITER(hh, table, it, spare) {
		HASH_DEL(table, it);
		free(it);
	}
	all_paused = false;
	atomic_store(&disabled_count, 0);
	pthread_mutex_unlock(&lock);
}

/* No lock is held over the pool's own, so something may be said in between: then all is done again. */
void admin_apply_to_new_pool(struct shared_pool *shared)
{
	unsigned seen;
	bool paused_by_us = false;

	do {
		seen = atomic_load(&changes);
		bool paused = admin_database_is_paused(shared->database);
		if (paused)
			pool_pause(&shared->pool);
		else if (paused_by_us)
			pool_resume(&shared->pool);
		paused_by_us = paused;
		atomic_store(&shared->disabled, admin_state_of(shared->database).disabled);
	} while (seen != atomic_load(&changes));
}
