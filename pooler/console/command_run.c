#include "pooler/console/command_run.h"

#include <stdio.h>
#include <string.h>

#include "pooler/console/session.h"
#include "pooler/log.h"

static enum command_outcome done(struct session *session, const char *tag)
{
	session_complete(session, tag);
	return COMMAND_DONE;
}

static enum command_outcome fail(struct session *session, const struct admin_error *error)
{
	session_fail(session, error->sqlstate, NULL, error->hint, "%s", error->message);
	return COMMAND_FAILED;
}

/* Who did what: changes of the whole process are to be found in the log. */
static void log_command(const struct call *call, const struct session *session)
{
	log_info("console: user %s (client %llu): %s%s%s", session->user, (unsigned long long)session->client_id,
		 call->command->name, call->name ? " " : "", call->name ? call->name : "");
}

/* ---- SHOW ---- */

static enum command_outcome show_variable(const struct call *call, struct session *session)
{
	struct result result = { &session->out, session->portal ? &session->portal->formats : NULL };
	struct table_value value = { .text = call->variable->value };
	struct table_column column;
	struct table one;
	const struct table *table = call_columns(call, &one, &column);

	if (!session->portal)
		result_describe(&result, table);
	size_t start = session->out.length;
	result_row(&result, table, &value);
	session_end_rows(session, start);
	return COMMAND_DONE;
}

static enum command_outcome show_table(const struct call *call, struct session *session,
				       const struct snapshot *snapshot)
{
	struct result result = { &session->out, session->portal ? &session->portal->formats : NULL };
	const struct table_source source =
		table_source_now(session->process, snapshot, session->averages, session->counted);
	size_t before = session->out.length;
	if (!session->portal)
		result_describe(&result, call->table);
	size_t start = session->out.length;
	if (!table_each(call->table, &source, result_row, &result) || session->out.failed) {
		session->out.length = before;
		session->out.failed = false;
		session_fail(session, "53200", NULL, NULL, "out of memory");
		return COMMAND_FAILED;
	}
	session_end_rows(session, start);
	return COMMAND_DONE;
}

static void snapshot_taken(void *context, struct snapshot *snapshot)
{
	struct session *session = context;
	enum command_outcome outcome = COMMAND_FAILED;

	if (snapshot)
		outcome = show_table(&session->call, session, snapshot);
	else
		session_fail(session, "57014", NULL, NULL, "a worker did not answer in time");
	snapshot_free(snapshot);
	session->resume(session, outcome);
}

enum command_outcome run_show(struct call *call, struct session *session)
{
	if (call->variable)
		return show_variable(call, session);
	if (call->table->needs == 0)
		return show_table(call, session, NULL);
	session->wish.taken = snapshot_taken;
	session->wish.context = session;
	if (snapshot_ask(&session->wish, &session->process->crew, call->table->needs))
		return COMMAND_WAITS;
	session_fail(session, "53200", NULL, NULL, "out of memory");
	return COMMAND_FAILED;
}

/* ---- settings ---- */

enum command_outcome run_set(struct call *call, struct session *session)
{
	char error[CONFIG_ERROR_BYTES] = "";

	if (call->variable) {
		session_notice(session, "SET ignored: it means nothing on the console");
		return done(session, "SET");
	}
	const struct config *made =
		config_with_setting(session->process->config, call->name, call->value, error, sizeof(error));
	if (!made) {
		session_fail(session, "22023", NULL, "SHOW CONFIG lists the settings.", "%s", error);
		return COMMAND_FAILED;
	}
	log_command(call, session);
	process_configure(session->process, made);
	return done(session, "SET");
}

enum command_outcome run_reload(struct call *call, struct session *session)
{
	char error[CONFIG_ERROR_BYTES] = "";

	log_command(call, session);
	if (process_reload(session->process, error, sizeof(error)))
		return done(session, "RELOAD");
	session_fail(session, "F0000", error, NULL, "the configuration was not loaded, and nothing has changed");
	return COMMAND_FAILED;
}

/* ---- what an administrator does to databases ---- */

typedef bool admin_command(struct process *process, const char *database, struct admin_error *error);

static enum command_outcome run_at_once(struct call *call, struct session *session, admin_command *command)
{
	struct admin_error error;

	log_command(call, session);
	if (!command(session->process, call->name, &error))
		return fail(session, &error);
	return done(session, call->command->name);
}

enum command_outcome run_resume(struct call *call, struct session *session)
{
	return run_at_once(call, session, admin_resume);
}

enum command_outcome run_disable(struct call *call, struct session *session)
{
	return run_at_once(call, session, admin_disable);
}

enum command_outcome run_enable(struct call *call, struct session *session)
{
	return run_at_once(call, session, admin_enable);
}

enum command_outcome run_reconnect(struct call *call, struct session *session)
{
	return run_at_once(call, session, admin_reconnect);
}

static void wait_done(void *context, const struct admin_error *error)
{
	struct session *session = context;

	session->resume(session, error ? fail(session, error) : done(session, session->call.command->name));
}

static struct admin_wait *prepare_wait(struct session *session)
{
	session->wait.done = wait_done;
	session->wait.context = session;
	return &session->wait;
}

enum command_outcome run_pause(struct call *call, struct session *session)
{
	struct admin_error error;

	log_command(call, session);
	if (!admin_pause(session->process, call->name, &error) ||
	    !admin_wait_start(prepare_wait(session), session->process, ADMIN_WAITS_PAUSED, call->name, &error))
		return fail(session, &error);
	return COMMAND_WAITS;
}

enum command_outcome run_wait_close(struct call *call, struct session *session)
{
	struct admin_error error;

	if (!admin_wait_start(prepare_wait(session), session->process, ADMIN_WAITS_RENEWED, call->name, &error))
		return fail(session, &error);
	return COMMAND_WAITS;
}

enum command_outcome run_kill(struct call *call, struct session *session)
{
	struct admin_error error;

	log_command(call, session);
	if (!admin_kill(prepare_wait(session), session->process, call->name, &error))
		return fail(session, &error);
	return COMMAND_WAITS;
}

enum command_outcome run_kill_client(struct call *call, struct session *session)
{
	struct admin_error error;

	log_info("console: user %s (client %llu): KILL_CLIENT %llu", session->user,
		 (unsigned long long)session->client_id, (unsigned long long)call->number);
	if (!admin_kill_client(prepare_wait(session), session->process, call->number, &error))
		return fail(session, &error);
	return COMMAND_WAITS;
}

void call_cancel(struct call *call, struct session *session)
{
	enum admin_wait_kind kind = session->wait.kind;
	struct admin_error ignored;

	if (kind != ADMIN_WAITS_PAUSED && kind != ADMIN_WAITS_RENEWED)
		return; /* it is over in a moment */
	admin_wait_forget(&session->wait);
	if (kind == ADMIN_WAITS_PAUSED)
		admin_resume(session->process, call->name, &ignored);
	session_fail(session, "57014", kind == ADMIN_WAITS_PAUSED ? "The pause has been ended." : NULL, NULL,
		     "canceling statement due to user request");
	session->resume(session, COMMAND_FAILED);
}

enum command_outcome run_shutdown(struct call *call, struct session *session)
{
	log_command(call, session);
	session->stop = (enum worker_stop)call->number;
	return done(session, "SHUTDOWN");
}

/* ---- what drivers send by themselves ---- */

enum command_outcome run_transaction(struct call *call, struct session *session)
{
	const char *name = call->command->name;

	if (strcmp(name, "BEGIN") == 0 || strcmp(name, "START") == 0)
		session_notice(session, "the console has no transactions: every command is in force at once");
	if (strcmp(name, "START") == 0)
		return done(session, "START TRANSACTION");
	return done(session, strcmp(name, "END") == 0 ? "COMMIT" : name);
}

enum command_outcome run_reset(struct call *call, struct session *session)
{
	if (strcmp(call->command->name, "DISCARD") != 0)
		return done(session, "RESET");
	session_drop_all(session, &session->statements);
	return done(session, "DISCARD ALL");
}

enum command_outcome run_deallocate(struct call *call, struct session *session)
{
	struct prepared *found = call->name ? session_find(&session->statements, call->name) : NULL;

	if (!call->name) {
		session_drop_all(session, &session->statements);
		return done(session, "DEALLOCATE ALL");
	}
	if (!found) {
		session_fail(session, "26000", NULL, NULL, "prepared statement \"%s\" does not exist", call->name);
		return COMMAND_FAILED;
	}
	session_drop(session, found);
	return done(session, "DEALLOCATE");
}
