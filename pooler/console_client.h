/*
 * A client that talks to the console, in its worker: whole messages go to the main thread as letters, answers come back as
 * bytes.
 *
 * Only in the worker's thread, but for console_client_reply.
 */
#ifndef POOLER_CONSOLE_CLIENT_H
#define POOLER_CONSOLE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/mailbox.h"
#include "pooler/version.h"
#include "protocol/message.h"

/* A longer message ends the connection. */
#define CONSOLE_MESSAGE_BYTES_MAX (32u * 1024u)
/* While an answer is due, this much is read ahead. */
#define CONSOLE_AHEAD_BYTES_MAX (16u * 1024u)
/* What the console says it is. psql warns of servers newer than itself, and drivers want one that they know; the part in
 * front is a version that every supported client has. */
#define CONSOLE_SERVER_VERSION "13.0 (pgweir " PGWEIR_VERSION ")"

/* The database names that mean the console. */
bool console_is_database(const char *database);

/* A client has proven who it is (client->user, client->admin say what it may do): welcomes it and puts it into CONSOLE. */
void console_client_start(struct client *client);
/* What it sent. Returns how many bytes are done with. After it, client->leaving says whether it must go. */
size_t console_client_input(struct client *client, const uint8_t *data, size_t size);
/* The client has taken all that waited for it: what it sent meanwhile is looked at. In the client's own event; after it,
 * client->leaving says whether it must go. */
void console_client_drained(struct client *client);
/* A CancelRequest came for it: a command that waits (PAUSE, WAIT_CLOSE) gives up. */
void console_client_cancel(struct client *client);
/* It is going: the main thread forgets its session. */
void console_client_left(struct client *client);

enum console_request_kind {
	CONSOLE_REQUEST_MESSAGE,
	CONSOLE_REQUEST_CANCEL,
	CONSOLE_REQUEST_LEFT, /* the client has gone */
};

/* What the main thread gets. It frees it with console_request_free. A client's next message comes after the answer to the
 * last one. */
struct console_request {
	struct mail mail;
	enum console_request_kind kind;
	struct crew *crew;
	struct pool_handle client;
	uint64_t client_id;
	bool admin; /* may change things */
	char user[PG_NAME_BYTES_MAX + 1];
	uint8_t *message; /* owned: one whole message with its header; NULL for the other kinds */
	size_t message_bytes;
};
void console_request_free(struct console_request *request);
/* Set by the main thread before the workers start: what delivers a request to it. */
void console_client_set_receiver(void (*deliver)(void *owner, struct mail *mail));

/* Sends an answer to the client and lets it send its next message. Takes `data` (malloc; NULL when there is nothing to say).
 * `close`: it is let go afterwards. Any thread. */
void console_client_reply(struct crew *crew, const struct pool_handle *client, uint8_t *data, size_t bytes, bool close);

#endif
