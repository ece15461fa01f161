/*
 * The protocol on the console: a client's messages in, answers out. Simple Query and the extended protocol, without
 * parameters.
 *
 * Each message gets one answer through console_client_reply (which may be empty), at once or when its command is done; only
 * then may the client's next message come.
 *
 * Only in the main thread. Source: PostgreSQL manual, "Message Flow".
 */
#ifndef POOLER_CONSOLE_CONVERSATION_H
#define POOLER_CONSOLE_CONVERSATION_H

#include <stddef.h>
#include <stdint.h>

#include "pooler/console/session.h"

/* One whole message with its header. */
void conversation_message(struct session *session, const uint8_t *message, size_t bytes);
/* A CancelRequest: what is under way may give up. */
void conversation_cancel(struct session *session);

#endif
