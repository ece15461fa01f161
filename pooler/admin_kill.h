/*
 * The workers' part of KILL and KILL_CLIENT: each drops what it owns of a database, or one client.
 *
 * Asked in the main thread, done in the workers'.
 */
#ifndef POOLER_ADMIN_KILL_H
#define POOLER_ADMIN_KILL_H

#include <stdint.h>

#include "pooler/gather.h"

/* With a client's id that client; with 0 all clients of the database (NULL: of all databases; the console's never), and
 * their servers are closed as soon as they can be. As gather_ask. */
uint64_t admin_kill_ask(struct crew *crew, const char *database, uint64_t client_id, gather_done *done, void *context);
/* How many clients one worker dropped. */
unsigned admin_kill_count(const struct gather_letter *letter);

#endif
