/*
 * The table of pools, one for each (database, server user), and what belongs to a pool besides its connections: counters,
 * the last failure, what a new client is welcomed with.
 *
 * A pool appears when the first client (or a configured minimum) needs it and lives as long as the process, except pools
 * of databases that only the "*" entry knows: those go when nobody has used them for POOLS_UNUSED_US, so that a stranger's
 * random names do not fill the memory.
 *
 * Threads: the table has a lock, taken at login and by the main thread; each pool's facts have another. No two locks are
 * ever held at once, but for that of the parameter sets, which takes no other.
 */
#ifndef POOLER_POOLS_H
#define POOLER_POOLS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/params.h"
#include "pooler/pool.h"
#include "pooler/settings.h"
#include "pooler/stats.h"

#define POOLS_UNUSED_US (60ull * 1000000ull)

/* Why a server could not be had, for those who wait. */
struct pool_failure {
	char sqlstate[6]; /* "" when nothing failed lately */
	char message[400];
	char detail[400];
	bool by_server; /* the server said so itself: an ErrorResponse at login */
	uint64_t at_us;
};

struct pool_welcomes; /* the welcomes known, by what the client asked for */

struct shared_pool {
	struct pool pool;
	struct stats stats[POOL_WORKERS_MAX];
	char *database; /* owned, with user: as clients name it */
	char *user;     /* as whom we log in to the server */
	uint64_t id;
	atomic_uint users; /* clients and servers that point here */
	atomic_bool disabled;
	atomic_bool failing;  /* the last login failed, and the server itself said why: failure */
	atomic_bool draining; /* somebody waits for busy members to come back: PAUSE, WAIT_CLOSE */
	_Atomic uint64_t unused_since_us;

	pthread_mutex_t lock;
	struct pool_failure failure;          /* shared: lock */
	struct pool_welcomes *welcomes;       /* shared: lock; owned */
	const struct params *server_defaults; /* shared: lock; what a fresh server reports; held */
	char *client_password;                /* shared: lock; owned; of the last plain login, wiped */
};

/* Finds or makes the pool of these names and adds one to its users. `config` gives a new pool its policy. NULL: no memory. */
struct shared_pool *pools_find(const struct config *config, const char *database, const char *user);
void pools_hold(struct shared_pool *shared);
void pools_drop(struct shared_pool *shared, uint64_t now_us);
/* Calls `each` for every pool, with one added to its users for that time. Stops when `each` answers false. */
void pools_each(bool (*each)(struct shared_pool *shared, void *context), void *context);
size_t pools_count(void);
/* Main thread: new policies after a reload, and away with what nobody uses. */
void pools_configure(const struct config *config);
void pools_forget_unused(const struct config *config, uint64_t now_us);
/* At the end of the process. */
void pools_free_all(void);

/* ---- facts ---- */

void pools_set_failure(struct shared_pool *shared, const struct pool_failure *failure);
void pools_get_failure(struct shared_pool *shared, struct pool_failure *failure);

/* A fresh server logged in and reported these parameters. Different ones than before mean that the server changed: the
 * known welcomes are forgotten. */
void pools_note_server(struct shared_pool *shared, const struct params *reported);

/* What a client that asked for the startup parameters `asked` gets: which of them are in force as the server writes them
 * (`params`), and all that the server reports (`reported`). */
struct pool_welcome {
	const struct params *params;   /* held */
	const struct params *reported; /* held */
};
bool pools_find_welcome(struct shared_pool *shared, const struct params *asked, struct pool_welcome *welcome);
void pools_add_welcome(struct shared_pool *shared, const struct params *asked, const struct pool_welcome *welcome);

/* The password of a client's own plain login, to log in to the server with. Returns a copy to be freed, or NULL. */
void pools_set_client_password(struct shared_pool *shared, const char *password);
char *pools_get_client_password(struct shared_pool *shared);

/* The sum over all workers. */
uint64_t pools_stat(const struct shared_pool *shared, enum stat_kind stat);

#endif
