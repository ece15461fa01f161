/*
 * A worker's life: its thread, the letters it gets from the main thread, its end.
 */
#ifndef POOLER_WORKER_THREAD_H
#define POOLER_WORKER_THREAD_H

#include <stdbool.h>

#include "pooler/client.h"
#include "pooler/worker.h"

/* Makes the worker ready and starts its thread. False: errno. Main thread. */
bool worker_start(struct worker *worker, struct crew *crew, uint16_t index, const struct config *config);
/* Waits for the thread, which ends after its stop, and frees everything. Main thread. */
void worker_join(struct worker *worker);

/* Letters to a worker; any thread. */
void worker_send_client(struct worker *worker, int fd, const struct peer *peer);
void worker_send_config(struct worker *worker, const struct config *config);
void worker_send_stop(struct worker *worker, enum worker_stop how);
/* Opens a server in a place of the pool that is reserved. */
void worker_send_open(struct worker *worker, struct shared_pool *shared);
/* Sends this idle member to that waiter; both are claimed. */
void worker_send_ask(struct worker *worker, struct shared_pool *shared, const struct pool_handle *member,
		     const struct pool_handle *waiter);

/* The letter that a worker sends to the main thread when it has stopped. Defined by the process. */
void process_worker_stopped(struct crew *crew);

#endif
