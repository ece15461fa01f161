#include "pooler/pools.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/admin_state.h"
#include "pooler/clock.h"
#include "pooler/hash.h"

/* Welcomes remembered for one pool. More different wishes than that: all are forgotten and learnt again. */
#define WELCOMES_MAX 256

struct welcome {
	UT_hash_handle hh;
	const struct params *asked; /* held; the key is the pointer: sets are interned */
	struct pool_welcome welcome;
};

struct pool_welcomes {
	struct welcome *table;
};

/* The public part comes first: the key is "database NUL user NUL". */
struct pool_entry {
	struct shared_pool shared;
	UT_hash_handle hh;
	char *key; /* owned */
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool_entry *table; /* shared: table_lock */
static uint64_t last_id;         /* shared: table_lock */

/* ---- the table ---- */

static char *make_key(const char *database, const char *user, size_t *bytes)
{
	size_t database_bytes = strlen(database) + 1;
	size_t user_bytes = strlen(user) + 1;
	char *key = malloc(database_bytes + user_bytes);

	*bytes = database_bytes + user_bytes;
	if (key) {
		memcpy(key, database, database_bytes);
		memcpy(key + database_bytes, user, user_bytes);
	}
	return key;
}

static void entry_policy(const struct config *config, struct pool_entry *entry, struct pool_policy *policy)
{
	const struct database *database = config_find_database(config, entry->shared.database);

	if (database)
		config_pool_policy(config, database, entry->shared.user, policy);
	else
		*policy = entry->shared.pool.policy; /* left over from before a reload: as it was, until it is unused */
}

static void entry_free(struct pool_entry *entry);

/* Takes the key. */
static struct pool_entry *entry_create(const struct config *config, char *key, size_t database_bytes)
{
	struct pool_entry *entry = NULL;
	struct pool_policy policy = { .size = 1 };

	/* The counters of each worker have a cache line of their own. */
	if (posix_memalign((void **)&entry, _Alignof(struct shared_pool), sizeof(*entry)) != 0)
		entry = NULL;
	if (!entry) {
		free(key);
		return NULL;
	}
	memset(entry, 0, sizeof(*entry));
	entry->key = key;
	entry->shared.database = key;
	entry->shared.user = key + database_bytes;
	pthread_mutex_init(&entry->shared.lock, NULL);
	entry->shared.pool.policy = policy;
	entry_policy(config, entry, &policy);
	pool_init(&entry->shared.pool, &policy);
	entry->shared.welcomes = calloc(1, sizeof(*entry->shared.welcomes));
	if (!entry->shared.welcomes) {
		entry_free(entry);
		return NULL;
	}
	return entry;
}

static void welcome_free(struct welcome *welcome)
{
	params_drop(welcome->asked);
	params_drop(welcome->welcome.params);
	params_drop(welcome->welcome.reported);
	free(welcome);
}

static void forget_welcomes(struct shared_pool *shared)
{
	struct welcome *it, *spare;

	HASH_ITER(hh, shared->welcomes->table, it, spare) {
		HASH_DEL(shared->welcomes->table, it);
		welcome_free(it);
	}
}

static void free_password(char *password)
{
	if (password)
		OPENSSL_cleanse(password, strlen(password));
	free(password);
}

static void entry_free(struct pool_entry *entry)
{
	struct shared_pool *shared = &entry->shared;

	if (shared->welcomes)
		forget_welcomes(shared);
	free(shared->welcomes);
	params_drop(shared->server_defaults);
	free_password(shared->client_password);
	pool_clear(&shared->pool);
	pthread_mutex_destroy(&shared->lock);
	free(entry->key);
	free(entry);
}

struct shared_pool *pools_find(const struct config *config, const char *database, const char *user)
{
	struct pool_entry *found = NULL, *made = NULL;
	size_t key_bytes;
	char *key = make_key(database, user, &key_bytes);

	if (!key)
		return NULL;
	pthread_mutex_lock(&table_lock);
	HASH_FIND(hh, table, key, key_bytes, found);
	if (found)
		atomic_fetch_add(&found->shared.users, 1);
	pthread_mutex_unlock(&table_lock);
	if (found) {
		free(key);
		return &found->shared;
	}

	made = entry_create(config, key, strlen(database) + 1);
	if (!made)
		return NULL;
	pthread_mutex_lock(&table_lock);
	HASH_FIND(hh, table, made->key, key_bytes, found);
	if (!found) {
		made->shared.id = ++last_id;
		HASH_ADD_KEYPTR(hh, table, made->key, key_bytes, made);
		if (HASH_ADDED(made)) {
			found = made;
			made = NULL;
		}
	}
	if (found)
		atomic_fetch_add(&found->shared.users, 1);
	pthread_mutex_unlock(&table_lock);
	if (made)
		entry_free(made); /* somebody was faster, or there is no memory */
	else
		admin_apply_to_new_pool(&found->shared);
	return found ? &found->shared : NULL;
}

void pools_hold(struct shared_pool *shared)
{
	atomic_fetch_add(&shared->users, 1);
}

void pools_drop(struct shared_pool *shared, uint64_t now_us)
{
	atomic_store(&shared->unused_since_us, now_us);
	atomic_fetch_sub(&shared->users, 1);
}

/* The one before is held until its successor is: what has users stays in the table, so the walk needs no list of its own.
 * `each` runs without the lock: it may take others. */
void pools_each(bool (*each)(struct shared_pool *shared, void *context), void *context)
{
	pthread_mutex_lock(&table_lock);
	struct pool_entry *it = table;
	if (it)
		atomic_fetch_add(&it->shared.users, 1);
	pthread_mutex_unlock(&table_lock);

	while (it) {
		bool more = each(&it->shared, context);
		pthread_mutex_lock(&table_lock);
		struct pool_entry *next = more ? it->hh.next : NULL;
		if (next)
			atomic_fetch_add(&next->shared.users, 1);
		atomic_fetch_sub(&it->shared.users, 1);
		pthread_mutex_unlock(&table_lock);
		it = next;
	}
}

size_t pools_count(void)
{
	pthread_mutex_lock(&table_lock);
	size_t count = HASH_COUNT(table);
	pthread_mutex_unlock(&table_lock);
	return count;
}

static bool configure_one(struct shared_pool *shared, void *context)
{
	struct pool_policy policy;

	entry_policy(context, (struct pool_entry *)(void *)shared, &policy);
	pool_set_policy(&shared->pool, &policy);
	return true;
}

void pools_configure(const struct config *config)
{
	pools_each(configure_one, (void *)(uintptr_t)config);
}

/* Only a pool that no entry of its own names; nobody points to it, so nobody can begin to but through the table. */
static bool is_unused(const struct config *config, const struct pool_entry *entry, uint64_t now_us)
{
	const struct database *database = config_find_database(config, entry->shared.database);

	if (database && strcmp(database->name, entry->shared.database) == 0)
		return false;
	return atomic_load(&entry->shared.users) == 0 &&
	       now_us - atomic_load(&entry->shared.unused_since_us) >= POOLS_UNUSED_US;
}

void pools_forget_unused(const struct config *config, uint64_t now_us)
{
	struct pool_entry *it, *spare, *unused = NULL;

	pthread_mutex_lock(&table_lock);
	HASH_ITER(hh, table, it, spare) {
		if (!unused && is_unused(config, it, now_us)) {
			HASH_DEL(table, it);
			unused = it;
		}
	}
	pthread_mutex_unlock(&table_lock);
	if (unused)
		entry_free(unused); /* one at a time is enough: this is called often */
}

void pools_free_all(void)
{
	struct pool_entry *it, *spare;

	HASH_ITER(hh, table, it, spare) {
		HASH_DEL(table, it);
		entry_free(it);
	}
}

/* ---- facts ---- */

void pools_set_failure(struct shared_pool *shared, const struct pool_failure *failure)
{
	pthread_mutex_lock(&shared->lock);
	shared->failure = *failure;
	pthread_mutex_unlock(&shared->lock);
	atomic_store(&shared->failing, failure->by_server);
}

void pools_get_failure(struct shared_pool *shared, struct pool_failure *failure)
{
	pthread_mutex_lock(&shared->lock);
	*failure = shared->failure;
	pthread_mutex_unlock(&shared->lock);
}

void pools_note_server(struct shared_pool *shared, const struct params *reported)
{
	atomic_store(&shared->failing, false);
	pthread_mutex_lock(&shared->lock);
	shared->failure.sqlstate[0] = '\0';
	if (shared->server_defaults != reported) {
		forget_welcomes(shared);
		params_drop(shared->server_defaults);
		shared->server_defaults = params_hold(reported);
	}
	pthread_mutex_unlock(&shared->lock);
}

bool pools_find_welcome(struct shared_pool *shared, const struct params *asked, struct pool_welcome *welcome)
{
	struct welcome *found = NULL;

	pthread_mutex_lock(&shared->lock);
	HASH_FIND_PTR(shared->welcomes->table, &asked, found);
	if (found) {
		welcome->params = params_hold(found->welcome.params);
		welcome->reported = params_hold(found->welcome.reported);
	}
	pthread_mutex_unlock(&shared->lock);
	return found != NULL;
}

void pools_add_welcome(struct shared_pool *shared, const struct params *asked, const struct pool_welcome *welcome)
{
	struct welcome *found = NULL;
	struct welcome *made = calloc(1, sizeof(*made));

	if (!made)
		return; /* it will be learnt again */
	*made = (struct welcome){ .asked = params_hold(asked),
				  .welcome = { params_hold(welcome->params), params_hold(welcome->reported) } };
	pthread_mutex_lock(&shared->lock);
	if (HASH_COUNT(shared->welcomes->table) >= WELCOMES_MAX)
		forget_welcomes(shared);
	HASH_FIND_PTR(shared->welcomes->table, &asked, found);
	if (!found)
		HASH_ADD_PTR(shared->welcomes->table, asked, made);
	bool added = !found && HASH_ADDED(made);
	pthread_mutex_unlock(&shared->lock);
	if (!added)
		welcome_free(made);
}

void pools_set_client_password(struct shared_pool *shared, const char *password)
{
	char *mine = strdup(password);

	if (!mine)
		return;
	pthread_mutex_lock(&shared->lock);
	char *old = shared->client_password;
	shared->client_password = mine;
	pthread_mutex_unlock(&shared->lock);
	free_password(old);
}

char *pools_get_client_password(struct shared_pool *shared)
{
	pthread_mutex_lock(&shared->lock);
	char *copy = shared->client_password ? strdup(shared->client_password) : NULL;
	pthread_mutex_unlock(&shared->lock);
	return copy;
}

uint64_t pools_stat(const struct shared_pool *shared, enum stat_kind stat)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < POOL_WORKERS_MAX; i++)
		sum += stats_read(&shared->stats[i], stat);
	return sum;
}
