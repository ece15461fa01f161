/*
 * The way of bytes between a linked client and server.
 *
 * Both functions walk the messages in what was read, tell the flow about each, and pass on all that can be passed on in one
 * piece. They return how many bytes they are done with; the caller keeps the rest and brings it again with what comes next.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_RELAY_H
#define POOLER_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/server.h"

/* The beginning of a message has gone to the server, and its end has not come yet. */
static inline bool client_is_inside_message(const struct client *client)
{
	return client->passing && !client->passing_dropped;
}

/* The client is ACTIVE. After it, client->leaving says whether it must go. */
size_t relay_from_client(struct client *client, const uint8_t *data, size_t size);

/* Any server after its login. Returns SIZE_MAX when the server broke the protocol. */
size_t relay_from_server(struct server *server, const uint8_t *data, size_t size);

/* Does what follows when bytes have passed: ends a task, gives a server that is free to somebody else ... */
void relay_settle(struct server *server);

/* Takes up what was kept of the client, after something it waited for has come. Not from within its own event. */
void relay_resume(struct client *client);

/* The libev callbacks. */
void relay_client_event(struct ev_loop *loop, ev_io *io, int revents);
void relay_server_event(struct ev_loop *loop, ev_io *io, int revents);

#endif
