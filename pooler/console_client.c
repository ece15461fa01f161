#include "pooler/console_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/cancel.h"
#include "pooler/link.h"
#include "pooler/log.h"
#include "pooler/relay.h"
#include "protocol/build.h"
#include "protocol/frame.h"

static void (*receiver)(void *owner, struct mail *mail);

void console_client_set_receiver(void (*deliver)(void *owner, struct mail *mail))
{
	receiver = deliver;
}

bool console_is_database(const char *database)
{
	return strcmp(database, "pgweir") == 0 || strcmp(database, "pgbouncer") == 0;
}

/* ---- welcome ---- */

void console_client_start(struct client *client)
{
	const struct {
		const char *name, *value;
	} reported[] = {
		{ "server_version", CONSOLE_SERVER_VERSION },
		{ "server_encoding", "UTF8" },
		{ "client_encoding", "UTF8" },
		{ "DateStyle", "ISO, MDY" },
		{ "TimeZone", "UTC" },
		{ "IntervalStyle", "postgres" },
		{ "integer_datetimes", "on" },
		{ "standard_conforming_strings", "on" },
		{ "is_superuser", client->admin ? "on" : "off" },
		{ "session_authorization", client->user },
	};
	const uint32_t secret = client->secret;
	const uint8_t key[4] = { (uint8_t)(secret >> 24), (uint8_t)(secret >> 16), (uint8_t)(secret >> 8),
				 (uint8_t)secret };
	struct pg_buffer out = PG_BUFFER_EMPTY;

	for (size_t i = 0; i < sizeof(reported) / sizeof(reported[0]); i++)
		pg_build_parameter_status(&out, reported[i].name, reported[i].value);
	pg_build_cancel_key(&out, cancel_process_id(client), key, sizeof(key));
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	client_send(client, &out);
	client_set_state(client, CLIENT_CONSOLE);
}

/* ---- to the main thread ---- */

void console_request_free(struct console_request *request)
{
	free(request->message);
	free(request);
}

/* False: no memory. */
static bool send_request(struct client *client, enum console_request_kind kind, const uint8_t *message, size_t bytes)
{
	struct console_request *request = calloc(1, sizeof(*request));

	if (!request)
		return false;
	if (message) {
		request->message = malloc(bytes);
		if (!request->message) {
			free(request);
			return false;
		}
		memcpy(request->message, message, bytes);
		request->message_bytes = bytes;
	}
	request->mail.deliver = receiver;
	request->kind = kind;
	request->crew = client->worker->crew;
	request->client = client->waiter.handle;
	request->client_id = client->id;
	request->admin = client->admin;
	snprintf(request->user, sizeof(request->user), "%s", client->user);
	mailbox_send(request->crew->main_mailbox, &request->mail);
	return true;
}

/* The client goes, after these last words. */
static void refuse(struct client *client, const char *sqlstate, const char *message)
{
	client_send_error(client, &(struct pg_report){ "FATAL", sqlstate, message, NULL, NULL });
	log_info("client %llu: console: %s", (unsigned long long)client->id, message);
	client->last_words = true;
	client->leaving = true;
}

/* One message; false: it is not complete, or the client must go. */
static bool take_message(struct client *client, const uint8_t *data, size_t size, size_t *taken)
{
	struct pg_frame frame;
	enum pg_result parsed = pg_frame_parse(data, size, &frame);

	if (parsed == PG_MORE)
		return false;
	if (parsed == PG_BAD) {
		refuse(client, "08P01", "invalid message length");
		return false;
	}
	if (frame.type == PG_FRONTEND_TERMINATE) {
		client->leaving = true;
		return false;
	}
	if (frame.total_bytes > CONSOLE_MESSAGE_BYTES_MAX) {
		refuse(client, "54000", "a message to the console is too long");
		return false;
	}
	if (size < frame.total_bytes)
		return false;
	if (!send_request(client, CONSOLE_REQUEST_MESSAGE, data, frame.total_bytes)) {
		refuse(client, "53200", "out of memory");
		return false;
	}
	client->console_busy = true;
	*taken = frame.total_bytes;
	return true;
}

size_t console_client_input(struct client *client, const uint8_t *data, size_t size)
{
	size_t taken = 0;

	/* One at a time; and none while it does not read its answers, which bounds what waits for it. */
	if (!client->console_busy && !stream_is_blocked(&client->stream) && size > 0)
		take_message(client, data, size, &taken);
	if (size - taken > CONSOLE_AHEAD_BYTES_MAX && (client->console_busy || stream_is_blocked(&client->stream)))
		stream_set_reading(&client->stream, false);
	return taken;
}

void console_client_drained(struct client *client)
{
	size_t kept = client->kept.length;
	size_t done = kept ? console_client_input(client, client->kept.data, kept) : 0;

	if (done && !client->leaving && !kept_set(&client->kept, client->kept.data + done, kept - done))
		client->leaving = true;
}

void console_client_cancel(struct client *client)
{
	if (client->console_busy)
		send_request(client, CONSOLE_REQUEST_CANCEL, NULL, 0);
}

void console_client_left(struct client *client)
{
	if (!send_request(client, CONSOLE_REQUEST_LEFT, NULL, 0))
		log_error("out of memory: the console session of client %llu cannot be ended",
			  (unsigned long long)client->id);
}

/* ---- from the main thread ---- */

struct reply {
	struct mail mail;
	struct pool_handle client;
	uint8_t *data; /* owned */
	size_t bytes;
	bool close;
};

static void deliver_reply(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct reply *reply = (struct reply *)(void *)mail;
	struct client *client = handles_find(&worker->clients, reply->client.slot, reply->client.generation);

	if (client && client->state == CLIENT_CONSOLE) {
		client->console_busy = false;
		if (reply->bytes)
			stream_write(&client->stream, reply->data, reply->bytes);
		if (reply->close) {
			client->last_words = true;
			link_leave(client, NULL, "the console ended the session");
		} else if (!stream_is_blocked(&client->stream)) {
			relay_resume(client);
		}
	}
	free(reply->data);
	free(reply);
}

void console_client_reply(struct crew *crew, const struct pool_handle *client, uint8_t *data, size_t bytes, bool close)
{
	struct reply *reply = calloc(1, sizeof(*reply));

	if (!reply) {
		log_error("out of memory: an answer of the console is lost");
		free(data);
		return;
	}
	*reply = (struct reply){ { NULL, deliver_reply }, *client, data, bytes, close };
	mailbox_send(&crew->workers[client->worker].mailbox, &reply->mail);
}
