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

/* IDLE or AUTH: the client becomes ACTIVE or WAITING, or has left with an error. */
void link_request(struct client *client);

/* The client, which waits, gets an error and goes back to where it was: IDLE, or out when it was logging in. With
 * `report->severity` FATAL it goes in any case. */
void link_refuse(struct client *client, const struct pg_report *report);

/* The server is free in the eyes of its flow. Its client goes back to IDLE (CLOSING clients are not linked). */
void link_release(struct server *server);

/* The server has no client and is clean: to the next in line, to rest, or away. From CONNECTING, RESETTING, MOVING. */
void link_give(struct server *server);

/* The client has gone or must go: out of the line, its server is cleaned up, then it is destroyed. `reason` is for the log.
 * With `report` it gets that error first and its last bytes are sent before the descriptor is closed. */
void link_leave(struct client *client, const struct pg_report *report, const char *reason);

/* The server's connection has ended or cannot be trusted: its client gets one error (the server's own farewell, if it sent
 * one) and goes, the pool loses a member, and whoever waits is told or served. `reason` reads "reset by peer". */
void link_lost(struct server *server, const char *sqlstate, const char *reason);

/* A login has failed: as link_lost, and those who wait learn why when no other server of the pool is left to serve them. */
void link_login_failed(struct server *server, const struct pool_failure *failure);

/* Says goodbye to a server without a client and waits for its process to end. */
void link_close(struct server *server, const char *reason);

/* A letter from another worker: it wants this idle server of ours for that waiter; or it sends us one. */
void link_ask(struct worker *worker, struct shared_pool *shared, const struct pool_handle *member,
	      const struct pool_handle *waiter);

/* Opens a server in a reserved place of the pool. */
void link_open(struct worker *worker, struct shared_pool *shared);

#endif
