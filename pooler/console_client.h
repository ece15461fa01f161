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

/* The database names that mean the console. */
bool console_is_database(const char *database);

/* A client has proven who it is (client->user, client->admin say what it may do): welcomes it and puts it into CONSOLE. */
void console_client_start(struct client *client);
/* What it sent. Returns how many bytes are done with. After it, client->leaving says whether it must go. */
size_t console_client_input(struct client *client, const uint8_t *data, size_t size);
/* It is going: the main thread forgets its session. */
void console_client_left(struct client *client);

/* What the main thread gets. It frees it with console_request_free. */
struct console_request {
	struct mail mail;
	struct crew *crew;
	struct pool_handle client;
	uint64_t client_id;
	bool admin;     /* may change things */
	bool left;      /* the client has gone; no message */
	char user[64];
	uint8_t *message; /* owned: one whole message with its header */
	size_t message_bytes;
};
void console_request_free(struct console_request *request);
/* Set by the main thread before the workers start: what delivers a request to it. */
void console_client_set_receiver(void (*deliver)(void *owner, struct mail *mail));

/* Sends an answer to the client and lets it send its next message. Takes `data` (malloc). `close`: it is let go afterwards.
 * Any thread. */
void console_client_reply(struct crew *crew, const struct pool_handle *client, uint8_t *data, size_t bytes, bool close);

#endif
