#include "pooler/relay.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "pooler/client_login.h"
#include "pooler/console_client.h"
#include "pooler/link.h"
#include "pooler/log.h"
#include "pooler/prepare.h"

/* A client that must wait is not read any further once this much is kept for it. */
#define WAITING_BYTES_MAX (16u * 1024u)

static void client_protocol_error(struct client *client, const char *format, unsigned value)
{
	char message[80];

	snprintf(message, sizeof(message), format, value);
	client_send_error(client, &(struct pg_report){ "FATAL", "08P01", message, NULL, NULL });
	log_info("client %llu: %s", (unsigned long long)client->id, message);
	client->leaving = true;
}

static void note_request(struct client *client)
{
	uint64_t now = client->worker->now_us;

	if (!client->query_since_us)
		client->query_since_us = now;
	if (!client->xact_since_us)
		client->xact_since_us = now;
}

/* What becomes of one message of the client's. */
enum fate {
	FATE_PASS,
	FATE_DROP, /* it goes nowhere; what stood for it was sent instead */
	FATE_MORE, /* it cannot be judged yet */
	FATE_STOP, /* the client must go, or wait until the server has caught up */
};

/* What it asked for before is done and answered first, where an answer can come without another word of the client's. */
static void say_goodbye(struct client *client)
{
	const struct pg_flow *flow = &client->server->flow;

	bool owed = flow->ready_owed > 0 && flow->copy != PG_FLOW_COPY_IN;

	client->said_goodbye = true;
	client->last_words = client->last_words || owed;
	client->held_back = owed;
	client->leaving = !owed;
}

static enum fate client_message(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
				size_t available)
{
	if (frame->type == PG_FRONTEND_TERMINATE) {
		say_goodbye(client);
		return FATE_STOP;
	}
	if (client->mode != POOL_MODE_SESSION) {
		enum prepare_verdict verdict = prepare_from_client(client, frame, unsent, available);
		if (verdict == PREPARE_MORE)
			return FATE_MORE;
		if (verdict == PREPARE_REFUSED)
			return FATE_DROP;
		if (verdict == PREPARE_NO_MEMORY) {
			client->leaving = true;
			return FATE_STOP;
		}
	}
	switch (pg_flow_client(&client->server->flow, frame->type, false)) {
	case PG_FLOW_SENT:
	case PG_FLOW_SKIPPED:
		return FATE_PASS;
	case PG_FLOW_FULL:
		client->held_back = true;
		return FATE_STOP;
	case PG_FLOW_BAD:
		break;
	}
	client_protocol_error(client, "invalid frontend message type %u", frame->type);
	return FATE_STOP;
}

/* Steps over the bytes of the message under way, as far as they are there. */
static void client_pass_rest(struct client *client, struct unsent *unsent, size_t size)
{
	size_t left = size - unsent->at;
	size_t count = client->passing < left ? client->passing : left;

	client->passing -= (uint32_t)count;
	unsent->at += count;
	if (client->passing_dropped)
		unsent->from = unsent->at;
}

/* Judges the messages in `size` bytes, as far as they can be; what may be passed on ends at unsent->at. */
static void client_messages(struct client *client, struct unsent *unsent, size_t size)
{
	if (client->passing)
		client_pass_rest(client, unsent, size);
	while (unsent->at < size) {
		const uint8_t *at = unsent->data + unsent->at;
		struct pg_frame frame;

		enum pg_result parsed = pg_frame_parse(at, size - unsent->at, &frame);
		if (parsed == PG_MORE)
			return;
		if (parsed == PG_BAD) {
			client_protocol_error(client, "invalid message length in a message of type %u", *at);
			return;
		}
		enum fate fate = client_message(client, &frame, unsent, size - unsent->at);
		if (fate == FATE_MORE || fate == FATE_STOP)
			return;
		note_request(client);
		client->passing = frame.total_bytes;
		client->passing_dropped = fate == FATE_DROP;
		if (client->passing_dropped)
			unsent_flush(unsent, client->server);
		client_pass_rest(client, unsent, size);
	}
}

size_t relay_from_client(struct client *client, const uint8_t *data, size_t size)
{
	struct server *server = client->server;
	struct unsent unsent = { .data = data };

	client_messages(client, &unsent, size);
	/* A failure to write shows when the server's last words are read. */
	unsent_flush(&unsent, server);
	if (__builtin_expect(stream_is_blocked(&server->stream), 0))
		stream_set_reading(&client->stream, false);
	return unsent.at;
}

/* Messages that owe nothing and mean nothing outside a conversation: PostgreSQL ignores them too. */
static bool is_idle_noise(uint8_t type)
{
	return type == PG_FRONTEND_FLUSH || type == PG_FRONTEND_COPY_DATA || type == PG_FRONTEND_COPY_DONE ||
	       type == PG_FRONTEND_COPY_FAIL;
}

/* Its request was refused, and an error said so: what belongs to it is dropped, and answered by one ReadyForQuery at its
 * end, as PostgreSQL would. A simple request is one message; an extended one ends with its Sync. */
static void client_drop_refused(struct client *client, uint8_t type)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	bool simple = type == PG_FRONTEND_QUERY || type == PG_FRONTEND_FUNCTION_CALL;

	if (type != PG_FRONTEND_SYNC && !(simple && client->refused == REFUSED_REQUEST)) {
		client->refused = REFUSED_BATCH;
		return;
	}
	client->refused = REFUSED_NOTHING;
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	client_send(client, &out);
}

/* A client without a server sent a whole frame's header. True: the message goes nowhere. */
static bool client_idle_message(struct client *client, const struct pg_frame *frame, size_t available)
{
	if (frame->type == PG_FRONTEND_TERMINATE) {
		client->said_goodbye = true;
		client->leaving = true;
		return false;
	}
	/* Half a request does not hold a server, unless it is too large to wait for. */
	if (!client->refused && !is_idle_noise(frame->type) &&
	    (frame->total_bytes <= available || available >= WAITING_BYTES_MAX))
		link_request(client);
	if (client->refused)
		client_drop_refused(client, frame->type);
	else if (!is_idle_noise(frame->type))
		return false;
	return true;
}

/* The client has no server. Returns how many bytes went nowhere; asks for a server when a request stands behind them. */
static size_t client_idle_input(struct client *client, const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (at < size && !client->leaving) {
		struct pg_frame frame;

		if (client->passing) {
			size_t count = client->passing < size - at ? client->passing : size - at;
			client->passing -= (uint32_t)count;
			at += count;
			continue;
		}
		enum pg_result parsed = pg_frame_parse(data + at, size - at, &frame);
		if (parsed == PG_BAD)
			client_protocol_error(client, "invalid message length in a message of type %u", data[at]);
		if (parsed != PG_OK || !client_idle_message(client, &frame, size - at))
			break;
		client->passing = frame.total_bytes;
		client->passing_dropped = true;
	}
	return at;
}

static bool client_may_relay(const struct client *client)
{
	return client->state == CLIENT_ACTIVE && !client->login && !client->server->task && !client->leaving;
}

/* Everything that a client's bytes may mean, by its state. Returns how many are done with. */
static size_t client_input(struct client *client, const uint8_t *data, size_t size)
{
	size_t done = 0;

	if (__builtin_expect(client->state == CLIENT_CLOSING, 0))
		return size;
	if (__builtin_expect(client->state <= CLIENT_AUTH, 0))
		done = client_login_input(client, data, size);
	if (__builtin_expect(client->state == CLIENT_CONSOLE, 0))
		return done + console_client_input(client, data + done, size - done);
	if (client->state == CLIENT_IDLE)
		done += client_idle_input(client, data + done, size - done);
	if (client_may_relay(client))
		done += relay_from_client(client, data + done, size - done);
	return done;
}

/* What it sends cannot be dealt with before something else has come. */
static bool client_is_stuck(const struct client *client)
{
	switch (client->state) {
	case CLIENT_AUTH:
		return !client_login_expects_input(client);
	case CLIENT_WAITING:
		return true;
	case CLIENT_ACTIVE:
		return client->login || client->held_back || client->server->task;
	case CLIENT_CONSOLE:
		return client->console_busy;
	default:
		return false;
	}
}

/* Takes new bytes together with the kept ones in front of them. */
static void client_consume(struct client *client, const uint8_t *data, size_t size)
{
	size_t done = client_input(client, data, size);

	if (client->leaving || !stream_is_open(&client->stream))
		return;
	if ((client->kept.length || done < size) && !kept_set(&client->kept, data + done, size - done)) {
		client->leaving = true;
		return;
	}
	if (client->kept.length >= WAITING_BYTES_MAX && client_is_stuck(client))
		stream_set_reading(&client->stream, false);
}

void relay_resume(struct client *client)
{
	uint8_t *input = client->worker->input;
	size_t size = client->kept.length;

	if (client->state == CLIENT_CLOSING)
		return;
	client->held_back = false;
	if (client->server ? !stream_is_blocked(&client->server->stream) : !stream_is_blocked(&client->stream))
		stream_set_reading(&client->stream, true);
	if (size > 0 && !client->leaving) {
		memcpy(input, client->kept.data, size);
		client_consume(client, input, size);
	}
	if (client->leaving)
		link_leave(client, NULL, "client closed the connection");
}

static void client_readable(struct client *client)
{
	uint8_t *input = client->worker->input;
	size_t kept = client->kept.length;

	assert(kept <= WORKER_KEPT_BYTES_MAX);
	if (__builtin_expect(kept != 0, 0))
		memcpy(input, client->kept.data, kept);
	ssize_t count = stream_read(&client->stream, input + kept, WORKER_READ_BYTES);
	if (count == STREAM_AGAIN)
		return;
	if (count < 0 || client->stream.write_failed) {
		client->leaving = true;
		return;
	}
	if (client->shared)
		stats_add(&client->shared->stats[client->worker->index], STAT_RECEIVED, (uint64_t)count);
	client_consume(client, input, kept + (size_t)count);
}

/* The client took all that waited for it. */
static void client_drained(struct client *client)
{
	if (client->state == CLIENT_CLOSING) {
		client_linger(client);
		return;
	}
	if (client->server)
		stream_set_reading(&client->server->stream, true);
	else if (!client_is_stuck(client))
		stream_set_reading(&client->stream, true);
	if (client->state == CLIENT_CONSOLE)
		console_client_drained(client);
}

void relay_client_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct client *client = io->data;
	bool inside = client_is_inside_message(client);

	(void)loop;
	if (__builtin_expect(revents & EV_WRITE, 0)) {
		if (!stream_flush(&client->stream))
			client->leaving = true;
		else if (!stream_is_blocked(&client->stream))
			client_drained(client);
	}
	if ((revents & EV_READ) && !client->leaving)
		client_readable(client);
	if (__builtin_expect(client->leaving, 0))
		link_leave(client, NULL, "client closed the connection");
	/* All answers may have come before the end of a message that owes none: CopyData after the COPY has failed. */
	else if (__builtin_expect(inside && client->server && !client_is_inside_message(client), 0))
		relay_settle(client->server);
}
