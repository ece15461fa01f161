/*
 * The one place that pairs a client with a server and parts them again.
 *
 *      link_request  a client wants a server: it gets an idle one, or a new one is opened, or it waits in line
 *      link_give     a server is free for the pool: the next in line gets it, or it rests, or it goes
 *      link_release  a server and its client part in good order
 *      link_leave    a client goes, whatever it was doing
 *      link_lost     a server has gone, whatever it was doing
 *
 * Only in the thread of the worker that owns them.
 */
#ifndef POOLER_LINK_H
#define POOLER_LINK_H

#include "pooler/client.h"
#include "pooler/server.h"

/* IDLE, or AUTH (it learns what to welcome the client with): the client becomes ACTIVE or WAITING, is refused, or is
 * leaving. Within the client's own event: what it sent is relayed by the caller. */
void link_request(struct client *client);

/* The client, which waits, gets an error; its request is dropped and it is IDLE again, or it is leaving when it was logging in
 * or report->severity is FATAL. */
void link_refuse(struct client *client, const struct pg_report *report);
/* The same from outside the client's own event. */
void link_refuse_waiting(struct client *client, const struct pg_report *report);

/* The server's conversation with its client has come to an end: they part, the client is IDLE. A server that is not clean is
 * cleaned up first. */
void link_release(struct server *server);

/* The server has no client and is clean: to the next in line, to rest, or away. From any state but IDLE and CLOSING. */
void link_give(struct server *server);

/* The client has gone or must go: out of the line, its server is cleaned up, then it is destroyed. `reason` is for the log.
 * With `report` it gets that error first; last words are sent before the descriptor is closed. */
void link_leave(struct client *client, const struct pg_report *report, const char *reason);

/* The server's connection has ended or cannot be trusted: its client gets one error (the server's own farewell, if it sent
 * one) and goes, the pool loses a member, and whoever waits is served by another. `reason` reads "reset by peer". */
void link_lost(struct server *server, const char *sqlstate, const char *reason);

/* A login has failed: as link_lost, and those who wait learn why when the server said so itself and no other server of the
 * pool is left to serve them. */
void link_login_failed(struct server *server, const struct pool_failure *failure);

/* Says goodbye to a server without a client and waits for its process to end. Not from CONNECTING. */
void link_close(struct server *server, const char *reason);

/* Ends a server without a client at once, without waiting for its process. */
void link_drop(struct server *server);

/* Opens a server in a reserved place of the pool. */
void link_open(struct worker *worker, struct shared_pool *shared);

/* A server has come from another worker for a waiter of ours, which may have gone meanwhile. */
void link_arrived(struct server *server, const struct pool_handle *waiter);
/* A claimed waiter's server was lost before it came. */
void link_claim_lost(struct worker *worker, const struct pool_handle *waiter);

/* Refuses all clients of this worker that wait for that pool. */
void link_refuse_pool(struct worker *worker, struct shared_pool *shared, const struct pool_failure *failure);

#endif
