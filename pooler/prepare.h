/*
 * The unnamed prepared statement in transaction and statement mode, where each transaction may run on another server.
 *
 * A client may rely on its unnamed statement after its transaction has ended. So before the first extended message of a
 * client to a server, the server is given that statement if it has another one (or is made to forget a stranger's); the
 * answer to that is ours and hidden. From then on what changes the one changes the other, errors included, until they part.
 * Nothing stands before that message which could make the server discard it. Where the client begins with a Parse of its
 * own, or with a Query, nothing has to be done: they replace what was there.
 *
 * client->unnamed and server->unnamed follow the server's answers, not what was sent, and are read only when nothing is under
 * way.
 *
 * Named statements are refused in these modes. Refusing one message in the middle of a pipeline must look as if the server
 * had done it: what was sent before is answered before, what follows is discarded up to the Sync, a transaction is aborted.
 * So the server does do it: it gets a Parse that cannot succeed, and its error is replaced by ours.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_PREPARE_H
#define POOLER_PREPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/server.h"

enum prepare_verdict {
	PREPARE_PASS,      /* send it; what had to come before it was sent */
	PREPARE_MORE,      /* more of it must be there to judge it */
	PREPARE_REFUSED,   /* do not send it; something that fails was sent instead */
	PREPARE_NO_MEMORY, /* the client must go */
};

/* What the client sent and what still stands in front of the message that is judged: it is sent before anything of ours. */
struct unsent {
	const uint8_t *data;
	size_t from;
	size_t at;
};
void unsent_flush(struct unsent *unsent, struct server *server);

/* A message of a linked client, which stands at unsent->at and of which `available` bytes are there. */
enum prepare_verdict prepare_from_client(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
					 size_t available);

/* The server answered the oldest pending Parse or Close. */
void prepare_completed(struct server *server);

/* An error was the answer to a message of type `failed` and swept away `dropped` pending ones; or an answer showed that they
 * have been discarded, with 0 as `failed`. True: the client has been sent another error in its place. */
bool prepare_failed(struct server *server, uint8_t failed, uint32_t dropped);

void prepare_forget(struct server *server);

/* The server has come to the end of a Query of the client's: any Query drops the unnamed statement. */
static inline void prepare_query_done(struct server *server)
{
	const struct client *client = server->client;

	if (__builtin_expect(client && (client->unnamed || client->unnamed_too_large || server->unnamed ||
					server->unnamed_unknown),
			     0))
		prepare_forget(server);
}

#endif
