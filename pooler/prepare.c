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

/* ---- the books ---- */

static struct statements *statements_of(const struct server *server)
{
	return &server->worker->statements;
}

static struct stats *stats_of(const struct client *client)
{
	return &client->shared->stats[client->worker->index];
}

/* Puts `statement`, which is held once more, in the place of what was there. */
static void replace(struct statements *statements, struct statement **place, struct statement *statement)
{
	struct statement *before = *place;

	*place = statement ? statement_hold(statement) : NULL;
	statement_drop(statements, before);
}

static void set_server_statement(struct server *server, struct statement *statement)
{
	replace(statements_of(server), &server->unnamed, statement);
	server->unnamed_unknown = false;
}

static void set_client_statement(struct client *client, struct statement *statement)
{
	if (!client)
		return;
	replace(&client->worker->statements, &client->unnamed, statement);
	client->unnamed_too_large = false;
}

void prepare_forget(struct server *server)
{
	set_client_statement(server->client, NULL);
	set_server_statement(server, NULL);
}

/* Takes over the caller's hold of `statement`. */
static bool note_pending(struct server *server, enum pending_kind kind, struct statement *statement)
{
	if (pending_push(&server->pending, (struct pending){ .kind = kind, .statement = statement }))
		return true;
	statement_drop(statements_of(server), statement);
	return false;
}

/* ---- refusing ---- */

/* With a name: a Parse without one, and be it one that fails, would drop the unnamed statement. */
static enum prepare_verdict refuse(struct client *client, struct unsent *unsent)
{
	struct server *server = client->server;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	size_t begin = pg_buffer_begin(&out, PG_FRONTEND_PARSE);
	pg_buffer_put_string(&out, "refused");
	pg_buffer_put_string(&out, REFUSING_QUERY);
	pg_buffer_put_u16(&out, 0);
	pg_buffer_end(&out, begin);

	/* Where the server is skipping to the next Sync it would discard the refused message too: nothing to refuse. */
	enum pg_flow_sent sent = out.failed ? PG_FLOW_BAD : pg_flow_client(&server->flow, PG_FRONTEND_PARSE, false);
	bool noted = sent == PG_FLOW_SKIPPED || (sent == PG_FLOW_SENT && note_pending(server, PENDING_REFUSED, NULL));
	if (noted && sent == PG_FLOW_SENT) {
		unsent_flush(unsent, server);
		stream_write(&server->stream, out.data, out.length);
	}
	pg_buffer_clear(&out);
	return noted ? PREPARE_REFUSED : PREPARE_NO_MEMORY;
}

static void send_refusal(struct client *client)
{
	client_send_error(
		client, &(struct pg_report){ "ERROR", "0A000",
					     "named prepared statements are not supported in this pooling mode",
					     "The next transaction may run on another server, which does not have it.",
					     "Use unnamed statements (psycopg: prepare_threshold=None, JDBC: "
					     "prepareThreshold=0), or pool_mode \"session\"." });
}

/* ---- a client's first words to its server ---- */

/* The server is made to forget an unnamed statement that is not this client's. */
static enum prepare_verdict clear_server(struct server *server, struct unsent *unsent)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (pg_flow_client(&server->flow, PG_FRONTEND_CLOSE, true) != PG_FLOW_SENT)
		return PREPARE_PASS;
	if (!note_pending(server, PENDING_CLEAR, NULL))
		return PREPARE_NO_MEMORY;
	pg_build_close_statement(&out, "");
	unsent_flush(unsent, server);
	stream_send(&server->stream, &out);
	server->aligned = true;
	return PREPARE_PASS;
}

static enum prepare_verdict replay(struct server *server, struct unsent *unsent, struct statement *statement)
{
	size_t bytes;
	const uint8_t *message = statement_message(statement, &bytes);

	if (pg_flow_client(&server->flow, PG_FRONTEND_PARSE, true) != PG_FLOW_SENT)
		return PREPARE_PASS;
	if (!note_pending(server, PENDING_REPLAY, statement_hold(statement)))
		return PREPARE_NO_MEMORY;
	unsent_flush(unsent, server);
	stream_write(&server->stream, message, bytes);
	server->aligned = true;
	stats_add(stats_of(server->client), STAT_SERVER_PARSE_COUNT, 1);
	return PREPARE_PASS;
}

/* Before a message that is not known to replace the unnamed statement, and may be discarded or make others be. */
static enum prepare_verdict align(struct client *client, struct unsent *unsent)
{
	struct server *server = client->server;

	if (server->aligned)
		return PREPARE_PASS;
	if (server->unnamed_unknown || server->unnamed != client->unnamed)
		return client->unnamed ? replay(server, unsent, client->unnamed) : clear_server(server, unsent);
	server->aligned = true;
	return PREPARE_PASS;
}

/* ---- messages ---- */

static enum prepare_verdict from_named_parse(struct client *client, struct unsent *unsent)
{
	enum prepare_verdict verdict = align(client, unsent);

	return verdict == PREPARE_PASS ? refuse(client, unsent) : verdict;
}

static enum prepare_verdict from_parse(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
				       size_t available)
{
	const uint8_t *message = unsent->data + unsent->at;
	struct server *server = client->server;
	struct statement *statement = NULL;

	if (frame->body_bytes == 0)
		return align(client, unsent); /* malformed: the server says so */
	if (available <= PG_FRAME_HEADER_BYTES)
		return PREPARE_MORE;
	if (message[PG_FRAME_HEADER_BYTES] != '\0')
		return from_named_parse(client, unsent);
	bool large = frame->total_bytes > STATEMENT_BYTES_MAX;
	if (!large && available < frame->total_bytes)
		return PREPARE_MORE;
	if (!large && !(statement = statement_intern(statements_of(server), message, frame->total_bytes)))
		return PREPARE_NO_MEMORY;
	if (!note_pending(server, large ? PENDING_LARGE : PENDING_PARSE, statement))
		return PREPARE_NO_MEMORY;
	server->aligned = true;
	stats_add(stats_of(client), STAT_CLIENT_PARSE_COUNT, 1);
	stats_add(stats_of(client), STAT_SERVER_PARSE_COUNT, 1);
	return PREPARE_PASS;
}

static enum prepare_verdict from_close(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
				       size_t available)
{
	const uint8_t *body = unsent->data + unsent->at + PG_FRAME_HEADER_BYTES;

	if (frame->body_bytes >= 2 && available < PG_FRAME_HEADER_BYTES + 2)
		return PREPARE_MORE;
	bool unnamed = frame->body_bytes >= 2 && body[0] == 'S' && body[1] == '\0';
	enum prepare_verdict verdict = align(client, unsent);
	if (verdict != PREPARE_PASS)
		return verdict;
	return note_pending(client->server, unnamed ? PENDING_CLOSE_UNNAMED : PENDING_CLOSE, NULL) ? PREPARE_PASS
												   : PREPARE_NO_MEMORY;
}

enum prepare_verdict prepare_from_client(struct client *client, const struct pg_frame *frame, struct unsent *unsent,
					 size_t available)
{
	/* A message that flow will discard or hold back leaves no trace in the books. */
	if (client->server->flow.skipping || pg_flow_is_full(&client->server->flow))
		return PREPARE_PASS;
	switch (frame->type) {
	case PG_FRONTEND_QUERY:
		client->server->aligned = true;
		return PREPARE_PASS;
	case PG_FRONTEND_PARSE:
		return from_parse(client, frame, unsent, available);
	case PG_FRONTEND_BIND:
		stats_add(stats_of(client), STAT_BIND_COUNT, 1);
		return align(client, unsent);
	case PG_FRONTEND_DESCRIBE:
	case PG_FRONTEND_EXECUTE:
		return align(client, unsent);
	case PG_FRONTEND_CLOSE:
		return from_close(client, frame, unsent, available);
	default:
		return PREPARE_PASS;
	}
}

/* ---- answers ---- */

/* Both have one that we do not. */
static void note_large(struct server *server)
{
	prepare_forget(server);
	server->unnamed_unknown = true;
	if (server->client)
		server->client->unnamed_too_large = true;
}

void prepare_completed(struct server *server)
{
	struct pending entry = pending_pop(&server->pending);

	switch (entry.kind) {
	case PENDING_PARSE:
		set_client_statement(server->client, entry.statement);
		set_server_statement(server, entry.statement);
		break;
	case PENDING_REPLAY:
		set_server_statement(server, entry.statement);
		break;
	case PENDING_LARGE:
		note_large(server);
		break;
	case PENDING_CLOSE_UNNAMED:
		prepare_forget(server);
		break;
	case PENDING_CLEAR:
		set_server_statement(server, NULL);
		break;
	case PENDING_CLOSE:
	case PENDING_REFUSED:
		break;
	}
	statement_drop(statements_of(server), entry.statement);
}

/* It is to be aligned anew. */
static void note_unknown(struct server *server)
{
	set_server_statement(server, NULL);
	server->unnamed_unknown = true;
	server->aligned = false;
}

/* The oldest pending one was refused by the server. True: the client has been told something else. */
static bool note_failure(struct server *server, enum pending_kind kind)
{
	if (kind == PENDING_REFUSED && server->client) {
		send_refusal(server->client);
		return true;
	}
	/* What it replaces is dropped first, except by one that is malformed. */
	if (kind == PENDING_PARSE || kind == PENDING_LARGE) {
		set_client_statement(server->client, NULL);
		note_unknown(server);
	}
	return false;
}

bool prepare_failed(struct server *server, uint8_t failed, uint32_t dropped)
{
	bool statement_failed = failed == PG_FRONTEND_PARSE || failed == PG_FRONTEND_CLOSE;
	bool replaced = false;

	for (uint32_t i = 0; i < dropped && server->pending.count; i++) {
		struct pending entry = pending_pop(&server->pending);
		if (i == 0 && statement_failed)
			replaced = note_failure(server, entry.kind);
		if (entry.kind == PENDING_REPLAY || entry.kind == PENDING_CLEAR)
			note_unknown(server);
		statement_drop(statements_of(server), entry.statement);
	}
	return replaced;
}
