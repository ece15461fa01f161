#include "pooler/cancel.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/cleanup.h"
#include "pooler/console_client.h"
#include "pooler/link.h"
#include "pooler/log.h"
#include "protocol/frame.h"
#include "protocol/startup.h"

#define WORKER_BITS 4u /* of a process id that we hand out: POOL_WORKERS_MAX */

/* One request on its way to a server. */
struct cancel {
	struct list node; /* in worker->cancels, oldest first */
	struct stream stream;
	struct worker *worker;
	uint32_t server_slot;
	uint32_t server_generation;
	struct pool_handle carrier;
	bool has_carrier;
	uint32_t process_id;
	uint8_t key[32];
	uint8_t key_bytes;
	uint64_t started_us;
};

/* ---- to a server ---- */

static void deliver_carrier_done(void *owner, struct mail *mail);

struct carrier_letter {
	struct mail mail;
	struct pool_handle carrier;
};

/* The connection that brought the cancel is closed: its client knows now that the cancel has struck, or found nothing. */
static void carrier_done(struct worker *worker, const struct pool_handle *carrier)
{
	if (carrier->worker != worker->index) {
		struct carrier_letter *letter = calloc(1, sizeof(*letter));
		if (!letter)
			return; /* client_login_timeout closes it */
		letter->mail.deliver = deliver_carrier_done;
		letter->carrier = *carrier;
		mailbox_send(&worker->crew->workers[carrier->worker].mailbox, &letter->mail);
		return;
	}
	struct client *client = handles_find(&worker->clients, carrier->slot, carrier->generation);
	if (client && client->state != CLIENT_CLOSING)
		link_leave(client, NULL, "cancel request served");
}

static void deliver_carrier_done(void *owner, struct mail *mail)
{
	struct carrier_letter *letter = (struct carrier_letter *)(void *)mail;

	carrier_done(owner, &letter->carrier);
	free(letter);
}

/* The request has struck, or never will. */
static void cancel_end(struct cancel *cancel)
{
	struct worker *worker = cancel->worker;
	struct server *server = handles_find(&worker->servers, cancel->server_slot, cancel->server_generation);

	stream_close(&cancel->stream);
	list_remove(&cancel->node);
	if (cancel->has_carrier)
		carrier_done(worker, &cancel->carrier);
	free(cancel);
	if (!server)
		return;
	server->cancels--;
	if (server->state == SERVER_RESETTING)
		cleanup_step(server);
}

static void cancel_connected(struct cancel *cancel)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	int error = stream_connect_error(&cancel->stream);

	if (error) {
		log_warning("a cancel request could not be sent: %s", strerror(error));
		cancel_end(cancel);
		return;
	}
	pg_startup_put_cancel(&out, cancel->process_id, cancel->key, cancel->key_bytes);
	bool sent = !out.failed && stream_write(&cancel->stream, out.data, out.length);
	pg_buffer_clear(&out);
	if (sent)
		stream_set_reading(&cancel->stream, true);
	else
		cancel_end(cancel);
}

static void cancel_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct cancel *cancel = io->data;
	uint8_t ignored[64];

	(void)loop;
	if (!cancel->stream.reading) {
		cancel_connected(cancel);
		return;
	}
	/* The server answers by closing. */
	if ((revents & EV_READ) && stream_read(&cancel->stream, ignored, sizeof(ignored)) != STREAM_AGAIN)
		cancel_end(cancel);
}

void cancel_server(struct server *server, const struct pool_handle *carrier)
{
	struct worker *worker = server->worker;

	if (server->cancels || !server->key_bytes) {
		if (carrier)
			carrier_done(worker, carrier);
		return;
	}
	struct cancel *cancel = calloc(1, sizeof(*cancel));
	int fd = cancel ? stream_connect(&server->address) : -1;
	if (fd < 0) {
		log_warning("a cancel request could not be sent to server %llu", (unsigned long long)server->id);
		free(cancel);
		if (carrier)
			carrier_done(worker, carrier);
		return;
	}
	cancel->worker = worker;
	cancel->server_slot = server->member.handle.slot;
	cancel->server_generation = server->member.handle.generation;
	cancel->has_carrier = carrier != NULL;
	if (carrier)
		cancel->carrier = *carrier;
	cancel->process_id = server->process_id;
	cancel->key_bytes = server->key_bytes;
	memcpy(cancel->key, server->key, server->key_bytes);
	cancel->started_us = worker->now_us;
	list_append(&worker->cancels, &cancel->node);
	server->cancels++;
	stream_init(&cancel->stream, worker->loop, fd, STREAM_LAST, cancel_event, cancel);
	stream_watch_connect(&cancel->stream);
}

void cancel_expire(struct worker *worker)
{
	uint64_t limit_us = worker->config->settings.cancel_wait_timeout_us;
	struct list *it, *spare;

	list_each(it, spare, &worker->cancels) {
		struct cancel *cancel = list_entry(it, struct cancel, node);
		if (!limit_us || worker->now_us - cancel->started_us < limit_us)
			return;
		log_warning("a cancel request took longer than cancel_wait_timeout");
		cancel_end(cancel);
	}
}

void cancel_drop_all(struct worker *worker)
{
	struct list *node;

	while ((node = list_pop(&worker->cancels))) {
		struct cancel *cancel = list_entry(node, struct cancel, node);
		stream_close(&cancel->stream);
		free(cancel);
	}
}

/* ---- from a client ---- */

uint32_t cancel_process_id(const struct client *client)
{
	return ((client->waiter.handle.slot << WORKER_BITS) | client->worker->index) + 1;
}

struct cancel_letter {
	struct mail mail;
	uint32_t slot;
	uint32_t secret;
	struct pool_handle carrier;
};

/* The client whose query is to end is one of this worker's, if it exists at all. */
static void cancel_find(struct worker *worker, uint32_t slot, uint32_t secret, const struct pool_handle *carrier)
{
	struct client *client = slot < worker->clients.capacity ? worker->clients.slots[slot].object : NULL;

	if (!client || CRYPTO_memcmp(&client->secret, &secret, sizeof(secret)) != 0) {
		carrier_done(worker, carrier);
		return;
	}
	if (client->state == CLIENT_WAITING && !client->login) {
		link_refuse_waiting(client,
				    &(struct pg_report){ "ERROR", "57014", "canceling statement due to user request",
							 "The client was waiting for a server connection.", NULL });
		carrier_done(worker, carrier);
		return;
	}
	if (client->state == CLIENT_CONSOLE)
		console_client_cancel(client);
	/* Not while the server does something of ours: that is over in a moment, and not what was meant. */
	if (client->server && !client->server->task && client->server->flow.count > 0)
		cancel_server(client->server, carrier);
	else
		carrier_done(worker, carrier);
}

static void deliver_cancel(void *owner, struct mail *mail)
{
	struct cancel_letter *letter = (struct cancel_letter *)(void *)mail;

	cancel_find(owner, letter->slot, letter->secret, &letter->carrier);
	free(letter);
}

void cancel_from_client(struct client *carrier, uint32_t process_id, const uint8_t *key, size_t key_bytes)
{
	struct crew *crew = carrier->worker->crew;
	uint32_t worker = (process_id - 1) & ((1u << WORKER_BITS) - 1);
	struct cancel_letter *letter = NULL;

	if (process_id != 0 && key_bytes == sizeof(letter->secret) && worker < crew->worker_count)
		letter = calloc(1, sizeof(*letter));
	if (!letter) {
		carrier->leaving = true;
		return;
	}
	letter->mail.deliver = deliver_cancel;
	letter->slot = (process_id - 1) >> WORKER_BITS;
	letter->secret = pg_load_u32(key);
	letter->carrier = carrier->waiter.handle;
	mailbox_send(&crew->workers[worker].mailbox, &letter->mail);
}
