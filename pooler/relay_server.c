#include "pooler/relay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/cleanup.h"
#include "pooler/link.h"
#include "pooler/prepare.h"
#include "pooler/server_login.h"
#include "protocol/parse.h"

/* Errors and parameters above this pass unread: nothing of ours is that long. */
#define JUDGED_BYTES_MAX (64u * 1024u)

static void pass_to_client(struct server *server, const uint8_t *data, size_t size)
{
	struct client *client = server->client;

	if (!client || size == 0 || client->leaving)
		return;
	stats_add(&server->shared->stats[server->worker->index], STAT_SENT, size);
	if (!stream_write(&client->stream, data, size))
		client->leaving = true;
	else if (__builtin_expect(stream_is_blocked(&client->stream), 0))
		stream_set_reading(&server->stream, false);
}

/* How much of a message's body must be there before it can be judged. */
static size_t server_body_needed(const struct pg_frame *frame)
{
	switch (frame->type) {
	case PG_BACKEND_READY:
		return frame->body_bytes ? 1 : 0;
	case PG_BACKEND_PARAMETER_STATUS:
	case PG_BACKEND_ERROR:
		return frame->body_bytes <= JUDGED_BYTES_MAX ? frame->body_bytes : 0;
	case PG_BACKEND_COMMAND_COMPLETE:
		return frame->body_bytes < 4 ? frame->body_bytes : 4;
	default:
		return 0;
	}
}

/* A client's query has been answered to its end. */
static void count_ready(struct client *client, struct stats *stats, uint8_t status)
{
	uint64_t now = client->worker->now_us;
	bool more = client->server->flow.count > 0;

	stats_add(stats, STAT_QUERY_COUNT, 1);
	if (client->query_since_us)
		stats_add(stats, STAT_QUERY_TIME, now - client->query_since_us);
	client->query_since_us = more ? now : 0;
	if (status != PG_TRANSACTION_IDLE)
		return;
	stats_add(stats, STAT_XACT_COUNT, 1);
	if (client->xact_since_us)
		stats_add(stats, STAT_XACT_TIME, now - client->xact_since_us);
	client->xact_since_us = more ? now : 0;
}

/* In statement mode a transaction that stays open is answered by an error, and rolled back by the cleanup. */
static bool refuse_transaction(struct server *server, uint8_t status)
{
	struct client *client = server->client;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (client->mode != POOL_MODE_STATEMENT || status == PG_TRANSACTION_IDLE)
		return false;
	pg_build_error(&out,
		       &(struct pg_report){ "ERROR", "0A000", "transactions are not allowed in statement pooling mode",
					    "pool_mode is \"statement\": each statement may run on another server.",
					    "Use pool_mode \"transaction\", or send single statements." });
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	client_send(client, &out);
	return true;
}

/* ReadyForQuery. True: the client must not see it. */
static bool server_ready(struct server *server, uint8_t status)
{
	struct client *client = server->client;

	if (!client)
		return true;
	count_ready(client, &server->shared->stats[server->worker->index], status);
	return refuse_transaction(server, status);
}

static void server_parameter(struct server *server, const uint8_t *body, size_t size)
{
	struct pg_parameter_status status;

	if (size <= JUDGED_BYTES_MAX && pg_parse_parameter_status(body, size, &status) == PG_OK)
		if (!server_note_parameter(server, status.name, status.value))
			stream_fail(&server->stream);
}

static struct server_error *make_error(const struct pg_error_fields *fields)
{
	struct server_error *error = calloc(1, sizeof(*error));

	if (error)
		server_error_set(error, fields);
	return error;
}

/* ErrorResponse: keeps it when it is the answer to a task of ours, or the server's farewell. */
static void server_error(struct server *server, const uint8_t *body, size_t size, bool ours)
{
	struct pg_error_fields fields;
	bool first_of_task = ours && server->task && !server->task_failed;

	server->task_failed |= first_of_task;
	if (size > JUDGED_BYTES_MAX || pg_parse_error(body, size, &fields) != PG_OK)
		return;
	if (first_of_task)
		server->task_error = make_error(&fields);
	if (!server->farewell && (strcmp(fields.severity, "FATAL") == 0 || strcmp(fields.severity, "PANIC") == 0))
		server->farewell = make_error(&fields);
	server->farewell_passed = server->farewell && server->client && !(ours && server->task);
	if (server->farewell_passed)
		server->client->last_words = true;
}

/* Somebody changed parameters in a way that the server does not report: what we set there may be gone. */
static void server_command(struct server *server, const uint8_t *tag, size_t size)
{
	if (size < 4 || server->task)
		return;
	if (memcmp(tag, "SET", 4) == 0 || memcmp(tag, "RESE", 4) == 0 || memcmp(tag, "DISC", 4) == 0)
		server->params_unknown = true;
}

/* One message of the server's is judged. Returns 1: the client may have it; 0: it may not; -1: the server may not say it. */
static int server_message(struct server *server, const struct pg_frame *frame, const uint8_t *body, size_t judged)
{
	uint8_t type = frame->type;
	uint8_t status = type == PG_BACKEND_READY && judged ? body[0] : 0;
	uint8_t failed = type == PG_BACKEND_ERROR ? pg_flow_head(&server->flow) : 0;
	struct pg_flow_answer answer = pg_flow_server(&server->flow, type, status);
	bool hidden = answer.ours;

	if (__builtin_expect(answer.bad, 0))
		return -1;
	if (__builtin_expect(answer.statements_dropped && type != PG_BACKEND_ERROR && server->client, 0))
		prepare_failed(server, 0, answer.statements_dropped);
	switch (type) {
	case PG_BACKEND_READY:
		if (answer.completed == PG_FRONTEND_QUERY && !hidden)
			prepare_query_done(server);
		return !hidden && !server_ready(server, status);
	case PG_BACKEND_COMMAND_COMPLETE:
		server_command(server, body, judged);
		return !hidden;
	case PG_BACKEND_PARAMETER_STATUS:
		server_parameter(server, body, frame->body_bytes);
		return !server->task;
	case PG_BACKEND_NOTICE:
		return !server->task;
	case PG_BACKEND_ERROR:
		server_error(server, body, frame->body_bytes, hidden);
		if (server->pending.count && !server->task)
			return !prepare_failed(server, failed, answer.statements_dropped);
		return !(hidden && server->task);
	case PG_BACKEND_PARSE_COMPLETE:
	case PG_BACKEND_CLOSE_COMPLETE:
		if (server->pending.count)
			prepare_completed(server);
		return !hidden;
	default:
		return !hidden;
	}
}

/* What is judged may put something of ours in its place: all before it goes first. */
static bool may_be_replaced(const struct server *server, uint8_t type)
{
	return server->client && (type == PG_BACKEND_ERROR || type == PG_BACKEND_READY) &&
	       (server->pending.count || server->client->mode == POOL_MODE_STATEMENT);
}

/* Steps over a message of which `left` bytes are there. Returns how many of them are its. */
static size_t server_pass_message(struct server *server, uint32_t total_bytes, size_t left, bool hidden)
{
	if (total_bytes <= left)
		return total_bytes;
	server->passing = total_bytes - (uint32_t)left;
	/* Whoever is the server's client when the rest comes must have seen the beginning. */
	server->passing_hidden = hidden || !server->client;
	return left;
}

/* The rest of a message whose beginning came earlier. */
static size_t server_pass_rest(struct server *server, size_t left)
{
	size_t count = server->passing < left ? server->passing : left;

	server->passing -= (uint32_t)count;
	return count;
}

size_t relay_from_server(struct server *server, const uint8_t *data, size_t size)
{
	size_t from = 0; /* data[from..at) is for the client */
	size_t at = server_pass_rest(server, size);

	if (server->passing_hidden)
		from = at;
	while (at < size) {
		struct pg_frame frame;
		enum pg_result parsed = pg_frame_parse(data + at, size - at, &frame);

		if (__builtin_expect(parsed != PG_OK, 0)) {
			if (parsed == PG_BAD)
				return SIZE_MAX;
			break;
		}
		if (__builtin_expect(pg_flow_is_plain_row(&server->flow, frame.type), 1)) {
			at += server_pass_message(server, frame.total_bytes, size - at, false);
			continue;
		}
		size_t needed = server_body_needed(&frame);
		if (size - at < PG_FRAME_HEADER_BYTES + needed)
			break;
		if (may_be_replaced(server, frame.type)) {
			pass_to_client(server, data + from, at - from);
			from = at;
		}
		int visible = server_message(server, &frame, data + at + PG_FRAME_HEADER_BYTES, needed);
		if (visible < 0)
			return SIZE_MAX;
		if (!visible)
			pass_to_client(server, data + from, at - from);
		at += server_pass_message(server, frame.total_bytes, size - at, !visible);
		if (!visible)
			from = at;
	}
	pass_to_client(server, data + from, at - from);
	return at;
}

/* A task of ours has come to its end. */
static void server_finish_task(struct server *server)
{
	static const struct server_error unread = { .severity = "ERROR",
						    .sqlstate = "XX000",
						    .message = "the server's error could not be read or kept" };
	server_task_done *done = server->task;
	struct server_error *error = server->task_error;
	bool failed = server->task_failed;

	server->task = NULL;
	server->task_error = NULL;
	done(server, failed && !error ? &unread : error);
	free(error);
}

/* The conversation is certain again: the server is free, or its client goes on with it. */
static void resync_done(struct server *server, const struct server_error *error)
{
	struct client *client = server->client;

	(void)error; /* an empty query cannot fail; a FATAL error is followed by the end */
	if (!client) {
		cleanup_step(server);
		return;
	}
	if (pg_flow_is_free(&server->flow))
		link_release(server);
	relay_resume(client);
}

/* Between a linked client and its server all has been said. True: the server may go to somebody else. */
static bool client_is_done(const struct server *server)
{
	const struct client *client = server->client;

	if (pg_flow_is_free(&server->flow))
		return client->mode != POOL_MODE_SESSION && !client->unnamed_too_large;
	return client->mode == POOL_MODE_STATEMENT && pg_flow_is_quiet(&server->flow);
}

/* A COPY that failed may have left it open what the server has read: it cannot be given away before that is known. */
static bool wants_resync(const struct server *server)
{
	return server->flow.uncertain && !server->flow.lost && pg_flow_is_quiet(&server->flow) &&
	       server->flow.status == PG_TRANSACTION_IDLE && server->client->mode != POOL_MODE_SESSION;
}

void relay_settle(struct server *server)
{
	struct client *client = server->client;

	if (server->passing || server->kept.length)
		return; /* in the middle of a message: its end will bring us here again */
	if (server->task) {
		if (pg_flow_is_quiet(&server->flow))
			server_finish_task(server);
		return;
	}
	if (client && client->leaving) {
		link_leave(client, NULL, "client closed the connection");
		return;
	}
	if (client && client_is_inside_message(client))
		return; /* nobody else may write in between: its end will bring us here again */
	if (client) {
		if (client_is_done(server))
			link_release(server);
		else if (__builtin_expect(server->flow.uncertain, 0) && wants_resync(server))
			server_resync(server, resync_done);
		else if (client->held_back && server->flow.count < PG_FLOW_QUEUE_MAX / 2)
			relay_resume(client);
		return;
	}
	if (server->state == SERVER_RESETTING)
		cleanup_step(server);
	else if (server->state == SERVER_IDLE && server->farewell)
		link_lost(server, "08006", server->farewell->message);
}

/* What stands behind the login's ReadyForQuery is judged before the server is given to anybody. */
static size_t after_login(struct server *server, const uint8_t *data, size_t done, size_t size)
{
	size_t more = relay_from_server(server, data + done, size - done);

	return more == SIZE_MAX ? SIZE_MAX : done + more;
}

static void server_consume(struct server *server, const uint8_t *data, size_t size)
{
	size_t done;

	if (server->state == SERVER_CLOSING)
		return;
	bool logging_in = server->login != NULL;
	if (logging_in) {
		done = server_login_input(server, data, size);
		if (done == SIZE_MAX)
			return; /* it is gone, or tries another address */
		if (server_login_is_done(server))
			done = after_login(server, data, done, size);
	} else {
		done = relay_from_server(server, data, size);
	}
	if (done == SIZE_MAX) {
		if (logging_in)
			server_login_fail(server, "08P01", "the server broke the protocol after its login");
		else
			link_lost(server, "08P01", "the server broke the protocol");
		return;
	}
	if ((server->kept.length || done < size) && !kept_set(&server->kept, data + done, size - done)) {
		link_lost(server, "53200", "out of memory");
		return;
	}
	if (!server->login)
		relay_settle(server);
	else if (server_login_is_done(server) && !server->passing && !server->kept.length)
		server_login_finish(server);
}

static void server_ended(struct server *server, int error)
{
	const char *reason = error ? strerror(error) : "server closed the connection unexpectedly";

	if (server->login)
		server_login_broken(server, error, "reading from the server");
	else
		link_lost(server, "08006", reason);
}

static void server_readable(struct server *server)
{
	uint8_t *input = server->worker->input;
	size_t kept = server->kept.length;

	assert(kept <= WORKER_KEPT_BYTES_MAX);
	if (__builtin_expect(kept != 0, 0))
		memcpy(input, server->kept.data, kept);
	ssize_t count = stream_read(&server->stream, input + kept, WORKER_READ_BYTES);
	if (count == STREAM_AGAIN)
		return;
	if (count < 0)
		server_ended(server,
			     count == STREAM_FAILED || server->stream.error == ENOMEM ? server->stream.error : 0);
	else
		server_consume(server, input, kept + (size_t)count);
}

void relay_server_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct server *server = io->data;

	(void)loop;
	if (__builtin_expect(server->login && server_login_is_connecting(server), 0)) {
		server_login_connected(server);
		return;
	}
	if (__builtin_expect(revents & EV_WRITE, 0) && stream_flush(&server->stream) &&
	    !stream_is_blocked(&server->stream) && server->client && !server->client->held_back && !server->task)
		stream_set_reading(&server->client->stream, true);
	if (revents & EV_READ)
		server_readable(server);
}
