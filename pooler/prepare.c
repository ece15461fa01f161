#include "pooler/prepare.h"

#include "protocol/parse.h"

/* What PostgreSQL's log shows when it was made to refuse a message for us. */
#define REFUSING_QUERY "named prepared statement refused by pgweir"

void unsent_flush(struct unsent *unsent, struct server *server)
{
	if (unsent->at > unsent->from)
		stream_write(&server->stream, unsent->data + unsent->from, unsent->at - unsent->from);
	unsent->from = unsent->at;
}

static struct statements *statements_of(struct client *client)
{
	return &client->worker->statements;
}

/* Puts `statement` (its hold is taken) in the place of what was there. */
static void replace(struct statements *statements, struct statement **place, struct statement *statement)
{
	statement_drop(statements, *place);
	*place = statement;
}

static void forget_unnamed(struct client *client)
{
	replace(statements_of(client), &client->unnamed, NULL);
	replace(statements_of(client), &client->server->unnamed, NULL);
	client->unnamed_too_large = false;
}

static bool note_pending(struct client *client, enum pending_kind kind, struct statement *statement,
			 struct statement *before)
{
	struct pending entry = { .kind = kind, .statement = statement, .before = before };

	if (pending_push(&client->server->pending, entry))
		return true;
	statement_drop(statements_of(client), statement);
	statement_drop(statements_of(client), before);
	return false;
}

static enum prepare_verdict refuse(struct client *client, struct unsent *unsent)
{
	struct server *server = client->server;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	size_t begin = pg_buffer_begin(&out, PG_FRONTEND_PARSE);
	pg_buffer_put_string(&out, "");
	pg_buffer_put_string(&out, REFUSING_QUERY);
	pg_buffer_put_u16(&out, 0);
	pg_buffer_end(&out, begin);

	/* Where the server is skipping to the next Sync it would discard the refused message too: nothing to refuse. */
	enum pg_flow_sent sent = out.failed ? PG_FLOW_BAD : pg_flow_client(&server->flow, PG_FRONTEND_PARSE, false);
	bool noted = sent == PG_FLOW_SKIPPED ||
		     (sent == PG_FLOW_SENT && note_pending(client, PENDING_REFUSED, NULL, NULL));
	if (noted && sent == PG_FLOW_SENT) {
		unsent_flush(unsent, server);
		stream_write(&server->stream, out.data, out.length);
		replace(statements_of(client), &server->unnamed, NULL);
	}
	pg_buffer_clear(&out);
	return noted ? PREPARE_REFUSED : PREPARE_NO_MEMORY;
}

static struct statement *hold_or_null(struct statement *statement)
{
	return statement ? statement_hold(statement) : NULL;
}

static enum prepare_verdict from_parse(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
				       size_t available)
{
	const uint8_t *message = unsent->data + unsent->at;
	struct stats *stats = &client->shared->stats[client->worker->index];

	if (frame->body_bytes == 0)
		return PREPARE_PASS; /* malformed: the server says so */
	if (available <= PG_FRAME_HEADER_BYTES)
		return PREPARE_MORE;
	if (message[PG_FRAME_HEADER_BYTES] != '\0')
		return refuse(client, unsent);
	if (frame->total_bytes > STATEMENT_BYTES_MAX) {
		if (!note_pending(client, PENDING_LARGE, NULL, NULL))
			return PREPARE_NO_MEMORY;
		forget_unnamed(client);
		client->unnamed_too_large = true;
		return PREPARE_PASS;
	}
	if (available < frame->total_bytes)
		return PREPARE_MORE;
	struct statement *statement = statement_intern(statements_of(client), message, frame->total_bytes);
	if (!statement ||
	    !note_pending(client, PENDING_PARSE, statement_hold(statement), hold_or_null(client->unnamed))) {
		statement_drop(statements_of(client), statement);
		return PREPARE_NO_MEMORY;
	}
	replace(statements_of(client), &client->unnamed, statement);
	replace(statements_of(client), &client->server->unnamed, statement_hold(statement));
	client->unnamed_too_large = false;
	stats_add(stats, STAT_CLIENT_PARSE_COUNT, 1);
	stats_add(stats, STAT_SERVER_PARSE_COUNT, 1);
	return PREPARE_PASS;
}

/* The server is made to forget an unnamed statement that is not this client's. */
static enum prepare_verdict close_strangers(struct client *client, struct unsent *unsent)
{
	struct server *server = client->server;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (pg_flow_client(&server->flow, PG_FRONTEND_CLOSE, true) != PG_FLOW_SENT)
		return PREPARE_PASS;
	if (!note_pending(client, PENDING_CLOSE, NULL, NULL))
		return PREPARE_NO_MEMORY;
	pg_build_close_statement(&out, "");
	unsent_flush(unsent, server);
	stream_write(&server->stream, out.data, out.length);
	pg_buffer_clear(&out);
	replace(statements_of(client), &server->unnamed, NULL);
	return PREPARE_PASS;
}

/* The client means its unnamed statement: the server must have just that. */
static enum prepare_verdict ensure_unnamed(struct client *client, struct unsent *unsent)
{
	struct server *server = client->server;
	struct statement *statement = client->unnamed;
	size_t bytes;

	if (client->unnamed_too_large || server->unnamed == statement)
		return PREPARE_PASS;
	if (!statement)
		return close_strangers(client, unsent);
	if (pg_flow_client(&server->flow, PG_FRONTEND_PARSE, true) != PG_FLOW_SENT)
		return PREPARE_PASS; /* skipped, as what the client sends now will be */
	if (!note_pending(client, PENDING_REPLAY, statement_hold(statement), NULL))
		return PREPARE_NO_MEMORY;
	const uint8_t *message = statement_message(statement, &bytes);
	unsent_flush(unsent, server);
	stream_write(&server->stream, message, bytes);
	replace(statements_of(client), &server->unnamed, statement_hold(statement));
	stats_add(&client->shared->stats[client->worker->index], STAT_SERVER_PARSE_COUNT, 1);
	return PREPARE_PASS;
}

static enum prepare_verdict from_bind(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
				      size_t available)
{
	const uint8_t *message = unsent->data + unsent->at;
	struct pg_bind_head head;
	size_t whole = available < frame->total_bytes ? available : frame->total_bytes;

	if (available < PG_FRAME_HEADER_BYTES)
		return PREPARE_MORE;
	enum pg_result parsed =
		pg_parse_bind_head(message + PG_FRAME_HEADER_BYTES, whole - PG_FRAME_HEADER_BYTES, &head);
	if (parsed == PG_MORE && whole < frame->total_bytes && whole < STATEMENT_BYTES_MAX)
		return PREPARE_MORE;
	stats_add(&client->shared->stats[client->worker->index], STAT_BIND_COUNT, 1);
	if (parsed == PG_OK && head.statement[0] == '\0')
		return ensure_unnamed(client, unsent);
	return PREPARE_PASS;
}

/* Describe and Close begin alike: 'S' and a name. True when it is the unnamed statement. */
static bool means_unnamed(const struct pg_frame *frame, const uint8_t *message)
{
	const uint8_t *body = message + PG_FRAME_HEADER_BYTES;

	return frame->body_bytes >= 2 && body[0] == 'S' && body[1] == '\0';
}

static enum prepare_verdict from_describe(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
					  size_t available)
{
	const uint8_t *message = unsent->data + unsent->at;

	if (frame->body_bytes >= 2 && available < PG_FRAME_HEADER_BYTES + 2)
		return PREPARE_MORE;
	return means_unnamed(frame, message) ? ensure_unnamed(client, unsent) : PREPARE_PASS;
}

static enum prepare_verdict from_close(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
				       size_t available)
{
	const uint8_t *message = unsent->data + unsent->at;

	if (frame->body_bytes >= 2 && available < PG_FRAME_HEADER_BYTES + 2)
		return PREPARE_MORE;
	if (!note_pending(client, PENDING_CLOSE, NULL, NULL))
		return PREPARE_NO_MEMORY;
	if (means_unnamed(frame, message))
		forget_unnamed(client);
	return PREPARE_PASS;
}

enum prepare_verdict prepare_from_client(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
					 size_t available)
{
	/* A message that flow will discard or hold back leaves no trace in the books. */
	if (client->server->flow.skipping || pg_flow_is_full(&client->server->flow))
		return PREPARE_PASS;
	switch (frame->type) {
	case PG_FRONTEND_PARSE:
		return from_parse(client, frame, unsent, available);
	case PG_FRONTEND_BIND:
		return from_bind(client, frame, unsent, available);
	case PG_FRONTEND_DESCRIBE:
		return from_describe(client, frame, unsent, available);
	case PG_FRONTEND_CLOSE:
		return from_close(client, frame, unsent, available);
	case PG_FRONTEND_QUERY:
		/* Any simple Query drops the unnamed statement. */
		if (client->unnamed || client->server->unnamed || client->unnamed_too_large)
			forget_unnamed(client);
		return PREPARE_PASS;
	default:
		return PREPARE_PASS;
	}
}

void prepare_completed(struct server *server)
{
	struct pending entry = pending_pop(&server->pending);

	statement_drop(&server->worker->statements, entry.statement);
	statement_drop(&server->worker->statements, entry.before);
}

/* The client's view after its Parse did not come about: without a statement when it failed itself, as before when the server
 * never looked at it. */
static void undo_parse(struct server *server, const struct pending *entry, bool failed_itself)
{
	struct client *client = server->client;
	struct statement *before = failed_itself ? NULL : hold_or_null(entry->before);

	replace(&server->worker->statements, &client->unnamed, before);
	if (entry->kind == PENDING_LARGE)
		client->unnamed_too_large = false;
}

static void send_refusal(struct client *client)
{
	client_send_error(client,
			  &(struct pg_report){ "ERROR", "0A000",
					       "named prepared statements are not supported in this pooling mode",
					       "The next transaction may run on another server, which does not have it.",
					       "Use unnamed statements (psycopg: prepare_threshold=None, JDBC: "
					       "prepareThreshold=0), or pool_mode \"session\"." });
}

bool prepare_failed(struct server *server, uint8_t failed, uint32_t dropped)
{
	bool replaced = false;
	bool undone = false;

	for (uint32_t i = 0; i < dropped && server->pending.count; i++) {
		struct pending entry = pending_pop(&server->pending);
		bool itself = i == 0 && failed == PG_FRONTEND_PARSE;
		if (entry.kind == PENDING_REFUSED && itself) {
			send_refusal(server->client);
			replaced = true;
		}
		/* The oldest tells how it was before all of them. */
		if (!undone && (entry.kind == PENDING_PARSE || entry.kind == PENDING_LARGE)) {
			undo_parse(server, &entry, itself);
			undone = true;
		}
		statement_drop(&server->worker->statements, entry.statement);
		statement_drop(&server->worker->statements, entry.before);
	}
	/* What the server has now is not worth guessing. */
	if (dropped)
		replace(&server->worker->statements, &server->unnamed, NULL);
	return replaced;
}
