/* A snapshot: its life, and what is looked up in it. */
#include "pooler/settings.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "pooler/hash.h"
#include "pooler/pool_policy.h"
#include "pooler/settings_build.h"
#include "pooler/settings_table.h"

#define FALLBACK_DATABASE "*"

struct index_node {
	const char *name; /* borrowed from the entry, which lives as long */
	size_t position;
	UT_hash_handle hh;
};

struct config_index {
	struct index_node *databases; /* owned */
	struct index_node *users;     /* owned */
};

/* ---- life ---- */

struct config *config_create(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	atomic_init(&config->holders, 1);
	config->index = calloc(1, sizeof(*config->index));
	config->sources = calloc(settings_count, sizeof(*config->sources));
	if (!config->index || !config->sources || !settings_init(&config->settings)) {
		config_drop(config);
		return NULL;
	}
	return config;
}

static void index_clear(struct index_node **head)
{
	struct index_node *node, *next;

	HASH_ITER(hh, *head, node, next) {
		HASH_DEL(*head, node);
		free(node);
	}
}

void database_clear(struct database *database)
{
	free(database->name);
	conninfo_clear(&database->conninfo);
	free(database->own.connect_query);
	memset(database, 0, sizeof(*database));
}

void user_settings_clear(struct user_settings *user)
{
	free(user->name);
	memset(user, 0, sizeof(*user));
}

static void entries_free(struct config *config)
{
	if (config->index) {
		index_clear(&config->index->databases);
		index_clear(&config->index->users);
	}
	free(config->index);
	for (size_t i = 0; i < config->database_count; i++)
		database_clear(&config->databases[i]);
	free(config->databases);
	for (size_t i = 0; i < config->user_settings_count; i++)
		user_settings_clear(&config->user_settings[i]);
	free(config->user_settings);
	free(config->path);
	if (config->url)
		OPENSSL_cleanse(config->url, strlen(config->url));
	free(config->url);
}

const struct config *config_hold(const struct config *config)
{
	/* The count is the one thing in a shared snapshot that changes. */
	atomic_fetch_add_explicit(&((struct config *)(uintptr_t)config)->holders, 1, memory_order_relaxed);
	return config;
}

void config_drop(const struct config *held)
{
	struct config *config = (struct config *)(uintptr_t)held;

	if (!config || atomic_fetch_sub_explicit(&config->holders, 1, memory_order_acq_rel) != 1)
		return;
	settings_clear(&config->settings);
	free(config->sources);
	users_drop(config->users);
	if (!config->base)
		entries_free(config);
	config_drop(config->base);
	free(config);
}

static bool index_add(struct index_node **head, const char *name, size_t position)
{
	struct index_node *node = calloc(1, sizeof(*node)), *found = NULL;

	if (!node)
		return false;
	node->name = name;
	node->position = position;
	HASH_ADD_KEYPTR(hh, *head, node->name, strlen(node->name), node);
	HASH_FIND_STR(*head, name, found);
	if (!found)
		free(node);
	return found != NULL;
}

bool config_add_database(struct config *config, struct database *database)
{
	struct database *grown = realloc(config->databases, (config->database_count + 1) * sizeof(*grown));

	if (grown)
		config->databases = grown;
	if (!grown || !index_add(&config->index->databases, database->name, config->database_count)) {
		database_clear(database);
		return false;
	}
	grown[config->database_count++] = *database;
	return true;
}

bool config_add_user_settings(struct config *config, struct user_settings *user)
{
	struct user_settings *grown =
		realloc(config->user_settings, (config->user_settings_count + 1) * sizeof(*grown));

	if (grown)
		config->user_settings = grown;
	if (!grown || !index_add(&config->index->users, user->name, config->user_settings_count)) {
		user_settings_clear(user);
		return false;
	}
	grown[config->user_settings_count++] = *user;
	return true;
}

/* ---- looking up ---- */

static const struct index_node *index_find(const struct index_node *head, const char *name)
{
	const struct index_node *node;

	HASH_FIND_STR(head, name, node);
	return node;
}

const struct database *config_find_database(const struct config *config, const char *name)
{
	const struct index_node *node = index_find(config->index->databases, name);

	if (!node)
		node = index_find(config->index->databases, FALLBACK_DATABASE);
	return node ? &config->databases[node->position] : NULL;
}

const struct user_settings *config_find_user_settings(const struct config *config, const char *user)
{
	const struct index_node *node = index_find(config->index->users, user);

	return node ? &config->user_settings[node->position] : NULL;
}

const char *database_dbname(const struct database *database, const char *requested)
{
	return database->conninfo.dbname ? database->conninfo.dbname : requested;
}

/* Names of users are exact. */
static bool names_user(const struct string_list *list, const char *user)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], user) == 0)
			return true;
	}
	return false;
}

bool config_user_is_admin(const struct config *config, const char *user)
{
	return names_user(&config->settings.admin_users, user);
}

bool config_user_is_stats(const struct config *config, const char *user)
{
	return names_user(&config->settings.stats_users, user);
}

/* ---- what counts for a pool ---- */

/* Whose own value counts: the user's, else the database's. NULL: nobody's, so the global one. */
static const struct own_settings *find_own(const struct config *config, const struct database *database,
					   const char *user, uint32_t bit)
{
	const struct user_settings *of_user = config_find_user_settings(config, user);

	if (of_user && (of_user->own.given & bit))
		return &of_user->own;
	return database->own.given & bit ? &database->own : NULL;
}

void config_pool_policy(const struct config *config, const struct database *database, const char *user,
			struct pool_policy *policy)
{
	const struct settings *settings = &config->settings;
	const struct own_settings *size = find_own(config, database, user, OWN_POOL_SIZE);
	const struct own_settings *minimum = find_own(config, database, user, OWN_MIN_POOL_SIZE);
	const struct own_settings *lifetime = find_own(config, database, user, OWN_SERVER_LIFETIME);
	const struct own_settings *idle = find_own(config, database, user, OWN_SERVER_IDLE_TIMEOUT);

	policy->size = size ? size->pool_size : settings->default_pool_size;
	policy->min_size = minimum ? minimum->min_pool_size : settings->min_pool_size;
	policy->lifetime_us = lifetime ? lifetime->server_lifetime_us : settings->server_lifetime_us;
	policy->idle_timeout_us = idle ? idle->server_idle_timeout_us : settings->server_idle_timeout_us;
	policy->retry_us = settings->server_login_retry_us;
	if (policy->min_size > policy->size)
		policy->min_size = policy->size;
	if (policy->lifetime_us == 0) {
		/* Serves once: for the pool 0 is never, and one kept open without work would be renewed all the time. */
		policy->lifetime_us = 1;
		policy->min_size = 0;
	}
}

enum pool_mode config_pool_mode(const struct config *config, const struct database *database, const char *client_user)
{
	const struct own_settings *own = find_own(config, database, client_user, OWN_POOL_MODE);

	return own ? own->pool_mode : config->settings.pool_mode;
}

uint64_t config_query_wait_timeout_us(const struct config *config, const struct database *database, const char *user)
{
	const struct own_settings *own = find_own(config, database, user, OWN_QUERY_WAIT_TIMEOUT);

	return own ? own->query_wait_timeout_us : config->settings.query_wait_timeout_us;
}
