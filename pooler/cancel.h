/*
 * Cancel requests: from clients by the key that we gave them, and to servers by the key that they gave us.
 *
 * A request to a server travels on a connection of its own. Until the server has closed that connection the request may
 * still strike, so the server serves nobody else (server->cancels); a late cancel never hits the next client's query.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_CANCEL_H
#define POOLER_CANCEL_H

#include "pooler/client.h"
#include "pooler/server.h"

/* The key that a client gets: the pid carries worker and slot and is positive; the secret is random. */
uint32_t cancel_process_id(const struct client *client);

/* A client's CancelRequest came in on `carrier`, which is closed when the cancel has landed or nobody was found. Any
 * worker; the letter goes to the one that owns the target. */
void cancel_from_client(struct client *carrier, uint32_t process_id, const uint8_t *key, size_t key_bytes);

/* Asks the server to end what it runs. `carrier` (NULL: we ask ourselves) names the connection to close when it landed. One
 * request at a time is on its way to a server; a further one is as good as that. */
void cancel_server(struct server *server, const struct pool_handle *carrier);

/* Ends requests that took longer than cancel_wait_timeout. */
void cancel_expire(struct worker *worker);
/* Drops all, at the end of the worker. */
void cancel_drop_all(struct worker *worker);

#endif
