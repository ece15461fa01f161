#include "pooler/console/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pooler/console/command_run.h"
#include "pooler/console/session.h"
#include "pooler/console_client.h"

const struct client_variable client_variables[] = {
	{ "application_name", "" },
	{ "client_encoding", "UTF8" },
	{ "client_min_messages", "notice" },
	{ "datestyle", "ISO, MDY" },
	{ "default_transaction_isolation", "read committed" },
	{ "extra_float_digits", "1" },
	{ "intervalstyle", "postgres" },
	{ "server_version", CONSOLE_SERVER_VERSION },
	{ "standard_conforming_strings", "on" },
	{ "statement_timeout", "0" },
	{ "timezone", "UTC" },
	{ "transaction_isolation", "read committed" },
	{ "transaction_read_only", "off" },
	{ NULL, NULL },
};

static const struct client_variable *find_variable(const char *name)
{
	for (const struct client_variable *it = client_variables; it->name; it++)
		if (strcasecmp(it->name, name) == 0)
			return it;
	return NULL;
}

/* ---- reading ---- */

/* The general error: the command is not understood. */
static bool not_understood(const struct call *call, struct session *session)
{
	return session_fail(session, "42601", NULL, "SHOW HELP lists the commands.",
			    "invalid command, beginning with \"%s\"", call->query.words[0].text);
}

static bool read_nothing(struct call *call, struct session *session)
{
	return call->query.count == 1 || not_understood(call, session);
}

static bool read_anything(struct call *call, struct session *session)
{
	(void)call;
	(void)session;
	return true;
}

/* SHOW name; and JDBC's SHOW TRANSACTION ISOLATION LEVEL. */
static bool read_show(struct call *call, struct session *session)
{
	const struct query *query = &call->query;
	const char *name = query_name(query, 1);

	if (query->count == 4 && query_is(query, 1, "transaction") && query_is(query, 2, "isolation"))
		name = "transaction_isolation";
	else if (query->count != 2)
		name = NULL;
	call->table = name ? table_find(name) : NULL;
	call->variable = name && !call->table ? find_variable(name) : NULL;
	if (call->table || call->variable)
		return true;
	if (!name)
		return not_understood(call, session);
	return session_fail(session, "42601", NULL, "SHOW HELP lists the tables.", "there is no table \"%s\" to show",
			    name);
}

static bool read_optional_database(struct call *call, struct session *session)
{
	call->name = query_name(&call->query, 1);
	if (call->query.count > 2 || (call->query.count == 2 && !call->name))
		return not_understood(call, session);
	if (call->name && console_is_database(call->name))
		return session_fail(session, "42809", NULL, NULL, "cannot %s the console's own database: %s",
				    call->command->name, call->name);
	return true;
}

static bool read_database(struct call *call, struct session *session)
{
	if (call->query.count == 1)
		return session_fail(session, "42601", NULL, NULL, "a database is required");
	return read_optional_database(call, session);
}

static bool read_client_id(struct call *call, struct session *session)
{
	const char *text = query_value(&call->query, 1);
	char *end = NULL;

	if (call->query.count > 2)
		return not_understood(call, session);
	errno = 0;
	call->number = text ? strtoull(text, &end, 0) : 0;
	if (!text || end == text || *end || errno || call->number == 0)
		return session_fail(session, "42601", NULL, "SHOW CLIENTS lists them, with their ids.",
				    "a client's id is required");
	return true;
}

static bool read_shutdown(struct call *call, struct session *session)
{
	const struct query *query = &call->query;

	if (query->count == 1)
		call->number = WORKER_STOPS_NOW;
	else if (query->count == 2 && query_is(query, 1, "wait_for_servers"))
		call->number = WORKER_WAITS_FOR_SERVERS;
	else if (query->count == 2 && query_is(query, 1, "wait_for_clients"))
		call->number = WORKER_WAITS_FOR_CLIENTS;
	else
		return not_understood(call, session);
	return true;
}

/* value, value ... from the word at `index` to the end, as one text. */
static bool read_values(struct call *call, struct session *session, unsigned index)
{
	const struct query *query = &call->query;
	size_t used = 0;

	for (bool first = true; first || index < query->count; first = false) {
		const char *comma = first ? "" : ",";
		if (!first && !query_is_mark(query, index++, ','))
			return not_understood(call, session);
		const char *value = query_value(query, index++);
		if (!value)
			return not_understood(call, session);
		size_t bytes = strlen(comma) + strlen(value);
		if (used + bytes >= sizeof(call->value))
			return session_fail(session, "54000", NULL, NULL, "the value is too long");
		memcpy(call->value + used, comma, strlen(comma));
		memcpy(call->value + used + strlen(comma), value, strlen(value));
		used += bytes;
	}
	call->value[used] = '\0';
	return true;
}

/* SET [SESSION] name = value, or TO value */
static bool read_set(struct call *call, struct session *session)
{
	const struct query *query = &call->query;
	unsigned at = query_is(query, 1, "session") && query_name(query, 2) ? 2 : 1;

	call->name = query_name(query, at);
	if (!call->name || !(query_is_mark(query, at + 1, '=') || query_is(query, at + 1, "to")))
		return not_understood(call, session);
	call->variable = find_variable(call->name);
	return read_values(call, session, at + 2);
}

/* DISCARD ALL, RESET ALL */
static bool read_all(struct call *call, struct session *session)
{
	if (call->query.count == 2 && query_is(&call->query, 1, "all"))
		return true;
	return not_understood(call, session);
}

/* DEALLOCATE [PREPARE] name, or ALL */
static bool read_deallocate(struct call *call, struct session *session)
{
	const struct query *query = &call->query;
	unsigned at = query->count == 3 && query_is(query, 1, "prepare") ? 2 : 1;

	if (query->count != at + 1 || !query_name(query, at))
		return not_understood(call, session);
	call->name = query_is(query, at, "all") ? NULL : query_name(query, at);
	return true;
}

/* ---- the commands ---- */

const struct command commands[] = {
	{ "SHOW", "table", "shows a table", false, read_show, run_show },
	{ "SET", "key = value", "changes a setting until the next reload", true, read_set, run_set },
	{ "RELOAD", "", "loads the configuration again", true, read_nothing, run_reload },
	{ "PAUSE", "[database]", "serves nobody any more, and answers when all servers are closed", true,
	  read_optional_database, run_pause },
	{ "RESUME", "[database]", "ends PAUSE or KILL", true, read_optional_database, run_resume },
	{ "DISABLE", "database", "takes no new clients", true, read_database, run_disable },
	{ "ENABLE", "database", "ends DISABLE", true, read_database, run_enable },
	{ "RECONNECT", "[database]", "closes the servers of now as soon as each is free", true, read_optional_database,
	  run_reconnect },
	{ "WAIT_CLOSE", "[database]", "answers when the servers from before RECONNECT or RELOAD are closed", true,
	  read_optional_database, run_wait_close },
	{ "KILL", "[database]", "drops clients and servers, and pauses", true, read_optional_database, run_kill },
	{ "KILL_CLIENT", "id", "drops one client", true, read_client_id, run_kill_client },
	{ "SHUTDOWN", "[WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS]",
	  "ends the process: at once, when no transaction runs, when no client is left", true, read_shutdown,
	  run_shutdown },
	/* What drivers send by themselves. */
	{ "BEGIN", "", NULL, false, read_anything, run_transaction },
	{ "START", "", NULL, false, read_anything, run_transaction },
	{ "COMMIT", "", NULL, false, read_anything, run_transaction },
	{ "END", "", NULL, false, read_anything, run_transaction },
	{ "ROLLBACK", "", NULL, false, read_anything, run_transaction },
	{ "DISCARD", "ALL", NULL, false, read_all, run_reset },
	{ "RESET", "ALL", NULL, false, read_all, run_reset },
	{ "DEALLOCATE", "name", NULL, false, read_deallocate, run_deallocate },
	{ .name = NULL },
};

bool call_read(struct call *call, struct session *session)
{
	call->command = NULL;
	call->table = NULL;
	call->variable = NULL;
	call->name = NULL;
	call->number = 0;
	call->value[0] = '\0';
	for (const struct command *it = commands; it->name && !call->command; it++)
		if (query_is(&call->query, 0, it->name))
			call->command = it;
	if (!call->command)
		return not_understood(call, session);
	return call->command->read(call, session);
}

enum command_outcome call_run(struct call *call, struct session *session)
{
	/* A variable of the client's own harms nobody. */
	if (call->command->admin && !call->variable && !session->admin) {
		session_fail(session, "42501", "Only SHOW is for users in stats_users.", NULL,
			     "admin access needed for %s", call->command->name);
		return COMMAND_FAILED;
	}
	return call->command->run(call, session);
}

const struct table *call_columns(const struct call *call, struct table *one, struct table_column *column)
{
	if (call->table || !call->variable || call->command->run != run_show)
		return call->table;
	*column = (struct table_column){ call->variable->name, TABLE_TEXT };
	*one = (struct table){ .name = call->variable->name, .columns = column, .column_count = 1 };
	return one;
}
