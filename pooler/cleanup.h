/*
 * A server whose client has gone is brought into a state for the next one, whatever was under way: results are drained (a
 * cancel request shortens them), an open batch gets its Sync, a COPY its CopyFail, an uncertain conversation is
 * resynchronised, a transaction rolled back, a session reset. Only when that fails, or takes longer than
 * server_reset_timeout, is the connection closed.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_CLEANUP_H
#define POOLER_CLEANUP_H

#include "pooler/server.h"

/* The server has no client any more: RESETTING begins. Ends in link_give or link_close. */
void cleanup_start(struct server *server);
/* Something came from the server in RESETTING, or a cancel request has landed: the next step, if it is time. */
void cleanup_step(struct server *server);

#endif
