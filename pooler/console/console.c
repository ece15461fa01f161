#include "pooler/console/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "pooler/clock.h"
#include "pooler/console/conversation.h"
#include "pooler/console/database_stats.h"
#include "pooler/console/session.h"
#include "pooler/console_client.h"
#include "pooler/log.h"
#include "pooler/pools.h"

struct console {
	struct process *process;  /* borrowed: longer than the console */
	struct session *sessions; /* owned; by the client's id */
	struct averages averages;
	struct totals counted; /* the console's own work */
};

/* ---- sessions ---- */

static struct session *find_session(struct console *console, uint64_t client_id)
{
	struct session *found = NULL;

	HASH_FIND(hh, console->sessions, &client_id, sizeof(client_id), found);
	return found;
}

/* NULL: no memory. */
static struct session *open_session(struct console *console, const struct console_request *request)
{
	struct session *session = session_create(console->process, request->client_id);

	if (!session)
		return NULL;
	session->crew = request->crew;
	session->client = request->client;
	session->averages = &console->averages;
	session->counted = &console->counted;
	session->admin = request->admin;
	snprintf(session->user, sizeof(session->user), "%s", request->user);
	console->counted.value[STAT_CLIENT_LOGIN_COUNT]++;
	HASH_ADD(hh, console->sessions, client_id, sizeof(session->client_id), session);
	if (find_session(console, request->client_id) == session)
		return session;
	session_free(session);
	return NULL;
}

static void close_session(struct console *console, struct session *session)
{
	HASH_DEL(console->sessions, session);
	session_free(session);
}

static void take_message(struct console *console, struct session *session, const struct console_request *request)
{
	if (!session)
		session = open_session(console, request);
	if (session)
		conversation_message(session, request->message, request->message_bytes);
	else
		console_client_reply(request->crew, &request->client, NULL, 0, true);
}

static void deliver_request(void *owner, struct mail *mail)
{
	struct process *process = owner;
	struct console *console = process->console;
	struct console_request *request = (struct console_request *)(void *)mail;
	struct session *session = console ? find_session(console, request->client_id) : NULL;

	switch (request->kind) {
	case CONSOLE_REQUEST_MESSAGE:
		if (console)
			take_message(console, session, request);
		break;
	case CONSOLE_REQUEST_CANCEL:
		if (session)
			conversation_cancel(session);
		break;
	case CONSOLE_REQUEST_LEFT:
		if (session)
			close_session(console, session);
		break;
	}
	console_request_free(request);
}

/* ---- the console ---- */

struct console *console_create(struct process *process)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return NULL;
	console->process = process;
	averages_init(&console->averages, clock_now_us());
	console_client_set_receiver(deliver_request);
	return console;
}

void console_free(struct console *console)
{
	struct session *it, *spare;

	if (!console)
		return;
	HASH_ITER(hh, console->sessions, it, spare)
		close_session(console, it);
	averages_clear(&console->averages);
	if (console->process->console == console)
		console->process->console = NULL;
	free(console);
}

struct table_source console_source(const struct console *console, const struct snapshot *snapshot)
{
	return table_source_now(console->process, snapshot, &console->averages, &console->counted);
}

/* ---- the end of a period ---- */

static bool note_pool(struct shared_pool *shared, void *context)
{
	struct console *console = context;
	struct totals now;

	pool_totals(shared, &now);
	averages_note(&console->averages, shared->id, &now);
	return true;
}

static void log_stats(struct console *console, uint64_t now_us)
{
	struct database_stats all;
	const uint64_t *average = all.average.value;

	database_stats_all(&console->averages, &console->counted, now_us, &all);
	log_info("stats: %" PRIu64 " xacts/s, %" PRIu64 " queries/s, %" PRIu64 " client parses/s, %" PRIu64
		 " server parses/s, %" PRIu64 " binds/s, in %" PRIu64 " B/s, out %" PRIu64 " B/s, xact %" PRIu64
		 " us, query %" PRIu64 " us, wait %" PRIu64 " us",
		 average[STAT_XACT_COUNT], average[STAT_QUERY_COUNT], average[STAT_CLIENT_PARSE_COUNT],
		 average[STAT_SERVER_PARSE_COUNT], average[STAT_BIND_COUNT], average[STAT_RECEIVED], average[STAT_SENT],
		 average[STAT_XACT_TIME], average[STAT_QUERY_TIME], average[STAT_WAIT_TIME]);
}

static void end_period(struct console *console, uint64_t now_us)
{
	averages_turn(&console->averages, now_us);
	averages_note(&console->averages, CONSOLE_POOL_ID, &console->counted);
	pools_each(note_pool, console);
	averages_forget_missing(&console->averages);
	if (console->process->config->settings.log_stats)
		log_stats(console, now_us);
}

void console_tick(struct console *console)
{
	uint64_t now_us = clock_now_us();

	if (now_us - console->averages.newer_us >= console->process->config->settings.stats_period_us)
		end_period(console, now_us);
}
