/*
 * A worker's life: its thread, the letters it gets from the main thread, its end.
 *
 * A worker that has been told to stop says so by process_worker_stopped when its last connection is gone, and goes on reading
 * its mail, because the other workers may still write to it. When all have said so the main thread ends them.
 */
#ifndef POOLER_WORKER_THREAD_H
#define POOLER_WORKER_THREAD_H

#include <stdbool.h>

#include "pooler/client.h"
#include "pooler/worker.h"

/* ---- the main thread ---- */

/* Makes a zeroed worker ready, without a thread: for tests that turn its loop themselves. False: errno. */
bool worker_open(struct worker *worker, struct crew *crew, uint16_t index, const struct config *config);
/* The same, and starts its thread. */
bool worker_start(struct worker *worker, struct crew *crew, uint16_t index, const struct config *config);
/* Ends the thread of a worker that has stopped, and waits for it. */
void worker_end(struct worker *worker);
/* Frees everything. After worker_end of all workers that were started. */
void worker_free(struct worker *worker);

/* ---- letters to a worker; any thread ---- */

/* Takes the descriptor. */
void worker_send_client(struct worker *worker, int fd, const struct peer *peer);
void worker_send_config(struct worker *worker, const struct config *config);
void worker_send_stop(struct worker *worker, enum worker_stop how);
/* Opens a server in a place of the pool that is reserved. */
void worker_send_open(struct worker *worker, struct shared_pool *shared);
/* Sends this idle member to that waiter; both are claimed. */
void worker_send_ask(struct worker *worker, struct shared_pool *shared, const struct pool_handle *member,
		     const struct pool_handle *waiter);

/* What a worker says when it has stopped. Set by the main thread before the workers start; called in their threads. */
void worker_set_stopped(void (*stopped)(struct crew *crew));

#endif
