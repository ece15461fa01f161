#include "pooler/console/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "pooler/console/command_run.h"
#include "pooler/console_client.h"
#include "protocol/build.h"
#include "protocol/frame.h"
#include "protocol/parse.h"
#include "protocol/reader.h"

/* ---- the answer ---- */

/* Sends what has been made. Without memory for it nothing true can be said any more. */
static void reply(struct session *session, bool close)
{
	struct pg_buffer *out = &session->out;
	enum worker_stop stop = session->stop;

	session->busy = false;
	if (out->failed) {
		pg_buffer_clear(out);
		close = true;
	}
	session->counted->value[STAT_SENT] += out->length;
	console_client_reply(session->crew, &session->client, out->data, out->length, close);
	pg_buffer_init(out); /* the bytes have gone with the reply */
	if (stop != WORKER_RUNS)
		process_stop(session->process, stop);
}

static void reply_ready(struct session *session)
{
	pg_build_ready(&session->out, PG_TRANSACTION_IDLE);
	reply(session, false);
}

/* The client's bytes make no sense: it must go. */
static void reply_broken(struct session *session, const char *message)
{
	pg_build_error(&session->out, &(struct pg_report){ "FATAL", "08P01", message, NULL, NULL });
	reply(session, true);
}

/* An extended message is answered; after an error all is skipped up to Sync. */
static void reply_extended(struct session *session, bool well)
{
	session->skipping = !well;
	reply(session, false);
}

static void count_query(struct session *session)
{
	session->counted->value[STAT_QUERY_COUNT]++;
	session->counted->value[STAT_XACT_COUNT]++;
}

/* ---- reading a text ---- */

/* Reads every statement of a text, so that a mistake in the last keeps the first from running. Returns how many there are;
 * -1: the error is in the answer. The last one read stays in session->call. */
static int read_all(struct session *session, const char *text)
{
	struct call *call = &session->call;
	const char *error = NULL;
	enum query_result result;
	int count = 0;

	while ((result = query_next(&text, &call->query, &error)) == QUERY_OK) {
		if (!call_read(call, session))
			return -1;
		count++;
	}
	if (result == QUERY_BAD) {
		session_fail(session, "42601", NULL, NULL, "%s", error);
		return -1;
	}
	return count;
}

/* The one statement of a prepared text. Returns 1, or 0: it is empty; -1: the error is in the answer. */
static int read_one(struct session *session, const char *text)
{
	const char *error = NULL;

	if (query_next(&text, &session->call.query, &error) != QUERY_OK)
		return 0;
	return call_read(&session->call, session) ? 1 : -1;
}

/* ---- simple Query ---- */

static void end_query(struct session *session)
{
	free(session->text);
	session->text = NULL;
	session->at = NULL;
	reply_ready(session);
}

static void run_query(struct session *session)
{
	enum command_outcome outcome = COMMAND_DONE;
	const char *error = NULL;

	while (outcome == COMMAND_DONE && query_next(&session->at, &session->call.query, &error) == QUERY_OK) {
		outcome = call_read(&session->call, session) ? call_run(&session->call, session) : COMMAND_FAILED;
		if (outcome == COMMAND_WAITS)
			return;
		count_query(session);
	}
	end_query(session);
}

static void drop_unnamed(struct session *session, struct list *list)
{
	struct prepared *unnamed = session_find(list, "");

	if (unnamed)
		session_drop(session, unnamed);
}

static void on_query(struct session *session, const uint8_t *body, size_t size)
{
	const char *text;

	if (pg_parse_query(body, size, &text) != PG_OK) {
		reply_broken(session, "invalid Query message");
		return;
	}
	drop_unnamed(session, &session->statements);
	session_drop_all(session, &session->portals);
	int count = read_all(session, text);
	if (count <= 0) {
		if (count == 0)
			pg_build_empty_query(&session->out);
		reply_ready(session);
		return;
	}
	session->text = strdup(text);
	session->at = session->text;
	if (session->text) {
		run_query(session);
		return;
	}
	session_fail(session, "53200", NULL, NULL, "out of memory");
	reply_ready(session);
}

/* ---- Parse, Bind, Describe, Close ---- */

static bool parse_statement(struct session *session, const struct pg_parse_message *message)
{
	int count = read_all(session, message->query);

	if (count < 0)
		return false;
	if (count > 1)
		return session_fail(session, "42601", NULL, NULL,
				    "cannot insert multiple commands into a prepared statement");
	if (message->name[0] && session_find(&session->statements, message->name))
		return session_fail(session, "42P05", NULL, NULL, "prepared statement \"%s\" already exists",
				    message->name);
	if (!session_prepare(session, &session->statements, message->name, message->query))
		return false;
	pg_build_bare(&session->out, PG_BACKEND_PARSE_COMPLETE);
	return true;
}

static void on_parse(struct session *session, const uint8_t *body, size_t size)
{
	struct pg_parse_message message;

	if (pg_parse_parse(body, size, &message) != PG_OK)
		reply_broken(session, "invalid Parse message");
	else
		reply_extended(session, parse_statement(session, &message));
}

static struct prepared *find_statement(struct session *session, const char *name)
{
	struct prepared *found = session_find(&session->statements, name);

	if (!found)
		session_fail(session, "26000", NULL, NULL, "prepared statement \"%s\" does not exist", name);
	return found;
}

static struct prepared *find_portal(struct session *session, const char *name)
{
	struct prepared *found = session_find(&session->portals, name);

	if (!found)
		session_fail(session, "34000", NULL, NULL, "portal \"%s\" does not exist", name);
	return found;
}

/* A Bind behind its two names. False: the body is not what it should be. */
struct bind_rest {
	uint16_t value_count;
	bool formats_known;
	struct result_formats formats;
};

static bool read_bind_rest(const uint8_t *body, size_t size, struct bind_rest *rest)
{
	struct pg_reader reader;

	pg_reader_init(&reader, body, size);
	pg_reader_bytes(&reader, 2 * (size_t)pg_reader_u16(&reader)); /* formats of the values */
	rest->value_count = pg_reader_u16(&reader);
	for (uint16_t i = 0; i < rest->value_count && !reader.failed; i++) {
		uint32_t bytes = pg_reader_u32(&reader);
		if (bytes != UINT32_MAX) /* -1: NULL */
			pg_reader_bytes(&reader, bytes);
	}
	memset(&rest->formats, 0, sizeof(rest->formats));
	rest->formats_known = result_formats_read(&rest->formats, &reader);
	return !reader.failed && (!rest->formats_known || pg_reader_done(&reader));
}

static bool bind_portal(struct session *session, const struct pg_bind_head *head, const struct bind_rest *rest)
{
	struct prepared *statement = find_statement(session, head->statement);
	struct table_column column;
	struct table one;

	if (!statement)
		return false;
	if (rest->value_count)
		return session_fail(session, "08P01", NULL, NULL,
				    "bind message supplies %u parameters, but commands of the console take none",
				    rest->value_count);
	if (!rest->formats_known)
		return session_fail(session, "22023", NULL, NULL, "unsupported format code in a bind message");
	if (head->portal[0] && session_find(&session->portals, head->portal))
		return session_fail(session, "42P03", NULL, NULL, "portal \"%s\" already exists", head->portal);
	int count = read_one(session, statement->text);
	if (count < 0)
		return false;
	const struct table *table = count ? call_columns(&session->call, &one, &column) : NULL;
	if (table && !result_formats_fit(&rest->formats, table))
		return session_fail(session, "08P01", NULL, NULL,
				    "bind message has %u result formats but the command has %u columns",
				    rest->formats.count, table->column_count);
	struct prepared *portal = session_prepare(session, &session->portals, head->portal, statement->text);
	if (!portal)
		return false;
	portal->formats = rest->formats;
	pg_build_bare(&session->out, PG_BACKEND_BIND_COMPLETE);
	return true;
}

static void on_bind(struct session *session, const uint8_t *body, size_t size)
{
	struct pg_bind_head head;
	struct bind_rest rest;

	if (pg_parse_bind_head(body, size, &head) != PG_OK ||
	    !read_bind_rest(body + head.head_bytes, size - head.head_bytes, &rest))
		reply_broken(session, "invalid Bind message");
	else
		reply_extended(session, bind_portal(session, &head, &rest));
}

static bool describe_target(struct session *session, const struct pg_named_target *target)
{
	bool is_portal = target->kind == 'P';
	struct prepared *found = is_portal ? find_portal(session, target->name) : find_statement(session, target->name);
	struct table_column column;
	struct table one;

	if (!found)
		return false;
	int count = read_one(session, found->text);
	if (count < 0)
		return false;
	if (!is_portal)
		pg_build_parameter_description_empty(&session->out);
	const struct table *table = count ? call_columns(&session->call, &one, &column) : NULL;
	if (table)
		result_describe(&(struct result){ &session->out, is_portal ? &found->formats : NULL }, table);
	else
		pg_build_bare(&session->out, PG_BACKEND_NO_DATA);
	return true;
}

static void on_describe(struct session *session, const uint8_t *body, size_t size)
{
	struct pg_named_target target;

	if (pg_parse_named_target(body, size, &target) != PG_OK)
		reply_broken(session, "invalid Describe message");
	else
		reply_extended(session, describe_target(session, &target));
}

/* What does not exist is closed already. */
static void on_close(struct session *session, const uint8_t *body, size_t size)
{
	struct pg_named_target target;

	if (pg_parse_named_target(body, size, &target) != PG_OK) {
		reply_broken(session, "invalid Close message");
		return;
	}
	struct prepared *found =
		session_find(target.kind == 'P' ? &session->portals : &session->statements, target.name);
	if (found)
		session_drop(session, found);
	pg_build_bare(&session->out, PG_BACKEND_CLOSE_COMPLETE);
	reply_extended(session, true);
}

/* ---- Execute ---- */

static void end_execute(struct session *session, enum command_outcome outcome)
{
	count_query(session);
	session->portal = NULL;
	reply_extended(session, outcome == COMMAND_DONE);
}

/* Rows that an earlier Execute did not want. */
static enum command_outcome go_on(struct session *session, struct prepared *portal)
{
	struct pg_buffer rest = portal->rest;
	size_t start = session->out.length;

	if (!portal->suspended) {
		session_fail(session, "55000", NULL, NULL, "portal \"%s\" cannot be run anymore", portal->name);
		return COMMAND_FAILED;
	}
	pg_buffer_init(&portal->rest);
	pg_buffer_put_bytes(&session->out, rest.data, rest.length);
	pg_buffer_clear(&rest);
	session_end_rows(session, start);
	return COMMAND_DONE;
}

static enum command_outcome execute(struct session *session, struct prepared *portal)
{
	if (portal->started)
		return go_on(session, portal);
	portal->started = true;
	int count = read_one(session, portal->text);
	if (count < 0)
		return COMMAND_FAILED;
	if (count > 0)
		return call_run(&session->call, session);
	pg_build_empty_query(&session->out);
	return COMMAND_DONE;
}

static void on_execute(struct session *session, const uint8_t *body, size_t size)
{
	struct pg_reader reader;

	pg_reader_init(&reader, body, size);
	const char *name = pg_reader_string(&reader);
	uint32_t most_rows = pg_reader_u32(&reader);
	if (!pg_reader_done(&reader)) {
		reply_broken(session, "invalid Execute message");
		return;
	}
	struct prepared *portal = find_portal(session, name);
	if (!portal) {
		reply_extended(session, false);
		return;
	}
	session->portal = portal;
	session->most_rows = most_rows <= INT32_MAX ? most_rows : 0;
	enum command_outcome outcome = execute(session, portal);
	if (outcome != COMMAND_WAITS)
		end_execute(session, outcome);
}

/* ---- all messages ---- */

static void resume(struct session *session, enum command_outcome outcome)
{
	if (session->portal) {
		end_execute(session, outcome);
		return;
	}
	count_query(session);
	if (outcome == COMMAND_DONE)
		run_query(session);
	else
		end_query(session);
}

static void on_sync(struct session *session)
{
	session->skipping = false;
	session_drop_all(session, &session->portals);
	reply_ready(session);
}

static void dispatch(struct session *session, uint8_t type, const uint8_t *body, size_t size)
{
	switch (type) {
	case PG_FRONTEND_QUERY:
		on_query(session, body, size);
		break;
	case PG_FRONTEND_PARSE:
		on_parse(session, body, size);
		break;
	case PG_FRONTEND_BIND:
		on_bind(session, body, size);
		break;
	case PG_FRONTEND_DESCRIBE:
		on_describe(session, body, size);
		break;
	case PG_FRONTEND_EXECUTE:
		on_execute(session, body, size);
		break;
	case PG_FRONTEND_CLOSE:
		on_close(session, body, size);
		break;
	case PG_FRONTEND_FUNCTION_CALL:
		session_fail(session, "0A000", NULL, NULL, "the console has no functions to call");
		reply_ready(session);
		break;
	case PG_FRONTEND_FLUSH: /* nothing is ever held back */
	case PG_FRONTEND_COPY_DATA:
	case PG_FRONTEND_COPY_DONE:
	case PG_FRONTEND_COPY_FAIL:
		reply(session, false);
		break;
	default:
		reply_broken(session, "invalid message type");
		break;
	}
}

void conversation_message(struct session *session, const uint8_t *message, size_t bytes)
{
	uint8_t type = message[0];

	session->counted->value[STAT_RECEIVED] += bytes;
	session->busy = true;
	session->resume = resume;
	if (type == PG_FRONTEND_SYNC)
		on_sync(session);
	else if (session->skipping)
		reply(session, false);
	else
		dispatch(session, type, message + PG_FRAME_HEADER_BYTES, bytes - PG_FRAME_HEADER_BYTES);
}

void conversation_cancel(struct session *session)
{
	if (session->busy)
		call_cancel(&session->call, session);
}
