/*
 * What an administrator has said about databases: paused, disabled.
 *
 * It is said of a name, not of a pool: it holds for pools that appear later, and for a database that nobody has used yet.
 * Where nothing was said, nothing is kept.
 *
 * Threads: any; it has a lock of its own, held for nothing else. The main thread alone changes it.
 */
#ifndef POOLER_ADMIN_STATE_H
#define POOLER_ADMIN_STATE_H

#include <stdbool.h>

struct shared_pool;

struct admin_state {
	bool paused;   /* this database itself; admin_state_all_paused says the rest */
	bool disabled; /* takes no new clients */
};

struct admin_state admin_state_of(const char *database);
/* Every database is paused, whatever was said about it alone. */
bool admin_state_all_paused(void);
/* Itself, or with all others. */
bool admin_database_is_paused(const char *database);
/* Cheap while no database is disabled: every login asks. */
bool admin_database_is_disabled(const char *database);

/* NULL: all databases. False: no memory, nothing has changed. */
bool admin_state_set_paused(const char *database, bool paused);
/* False: no memory, nothing has changed. */
bool admin_state_set_disabled(const char *database, bool disabled);
/* Forgets everything: at the end of the process. */
void admin_state_clear(void);

/* Brings a pool in line with what was said about its database. For a pool that has just been put into the table (after, not
 * before: what is said in between would pass it by). */
void admin_apply_to_new_pool(struct shared_pool *shared);

#endif
