#define _GNU_SOURCE /* strcasestr */
#include "pooler/cleanup.h"

#include <string.h>

#include "pooler/cancel.h"
#include "pooler/link.h"
#include "pooler/log.h"
#include "protocol/build.h"

/* No SQL. PostgreSQL's log shows it when the batch of a client that has gone is rolled back. */
#define ROLLBACK_QUERY "rolled back by pgweir: the client has gone in the middle of its batch"

static void task_done(struct server *server, const struct server_error *error)
{
	if (server->state == SERVER_CLOSING)
		return;
	if (error) {
		log_warning("server %llu: could not be cleaned up: %s", (unsigned long long)server->id, error->message);
		link_close(server, "it could not be cleaned up");
		return;
	}
	cleanup_step(server);
}

/* The reset query brings parameters back to what they were after the login, where it is one that does. */
static void reset_done(struct server *server, const struct server_error *error)
{
	const char *query = server->worker->config->settings.server_reset_query;

	if (!error) {
		server->reset_done = true;
		server->dirty = false;
		if (strcasestr(query, "DISCARD ALL") || strcasestr(query, "RESET ALL")) {
			params_drop(server->params);
			server->params = params_hold(server->defaults);
			server->params_unknown = false;
		}
	}
	task_done(server, error);
}

static bool wants_reset(const struct server *server)
{
	const struct settings *settings = &server->worker->config->settings;

	return !server->reset_done && settings->server_reset_query[0] &&
	       (server->dirty || settings->server_reset_query_always);
}

/* A Sync commits what an open batch has done, unless something in it has failed: so something is made to. A CopyFail is
 * such a thing already. */
static void fail_batch(struct server *server, struct pg_buffer *out)
{
	if (pg_flow_client(&server->flow, PG_FRONTEND_PARSE, true) != PG_FLOW_SENT)
		return; /* discarded: something has failed */
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_PARSE);
	pg_buffer_put_string(out, "");
	pg_buffer_put_string(out, ROLLBACK_QUERY);
	pg_buffer_put_u16(out, 0);
	pg_buffer_end(out, begin);
}

/* What an open batch or COPY needs to come to its end. */
static void send_unwind(struct server *server)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	const char *types = pg_flow_unwind(&server->flow);

	if (*types == PG_FRONTEND_SYNC)
		fail_batch(server, &out);
	for (; *types; types++) {
		if (pg_flow_client(&server->flow, (uint8_t)*types, true) == PG_FLOW_BAD)
			break;
		if (*types == PG_FRONTEND_COPY_FAIL)
			pg_build_copy_fail(&out, "the client has gone");
		else
			pg_build_sync(&out);
	}
	stream_send(&server->stream, &out);
}

void cleanup_start(struct server *server)
{
	server_set_state(server, SERVER_RESETTING);
	server->reset_done = false;
	pending_clear(&server->pending, &server->worker->statements);
	statement_drop(&server->worker->statements, server->unnamed);
	server->unnamed = NULL;
	server->unnamed_unknown = true;
	cleanup_step(server);
}

void cleanup_step(struct server *server)
{
	const struct settings *settings = &server->worker->config->settings;
	bool sent = true;

	if (server->task || server->farewell || server->passing || server->kept.length)
		return; /* what is under way comes first; a farewell is followed by the end */
	send_unwind(server);
	if (!pg_flow_is_quiet(&server->flow)) {
		if (!server->cancel_sent)
			cancel_server(server, NULL);
		server->cancel_sent = true;
		return;
	}
	if (server->cancels)
		return; /* one may still strike */
	if (server->flow.uncertain)
		sent = server_resync(server, task_done);
	else if (server->flow.status != PG_TRANSACTION_IDLE)
		sent = server_run(server, "ROLLBACK", task_done);
	else if (wants_reset(server))
		sent = server_run(server, settings->server_reset_query, reset_done);
	else {
		server->dirty = false;
		link_give(server);
	}
	(void)sent; /* a failure to write shows when the server's last words are read */
}
