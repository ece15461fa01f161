/*
 * What workers write to each other about servers and waiters.
 *
 *      ask      to the worker of an idle member: send it to this waiter
 *      server   to the worker of a waiter: here is its server
 *      lost     to the worker of a waiter: its server was lost on the way, ask again
 *      refuse   to every worker: tell those who wait for this pool why they wait in vain
 *
 * Senders: any thread, but for letter_send_server, which is called by the server's worker.
 */
#ifndef POOLER_LINK_LETTERS_H
#define POOLER_LINK_LETTERS_H

#include "pooler/pools.h"
#include "pooler/server.h"
#include "pooler/worker.h"

void letter_send_ask(struct crew *crew, struct shared_pool *shared, const struct pool_handle *member,
		     const struct pool_handle *waiter);
/* The server leaves its worker for that of the waiter. */
void letter_send_server(struct server *server, const struct pool_handle *waiter);
void letter_refuse_everywhere(struct crew *crew, struct shared_pool *shared, const struct pool_failure *failure);

#endif
