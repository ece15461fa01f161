#include "pooler/admin.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/admin_kill.h"
#include "pooler/admin_state.h"
#include "pooler/clock.h"
#include "pooler/gather.h"
#include "pooler/log.h"
#include "pooler/pools.h"
#include "pooler/worker_thread.h"

static struct list waits = { &waits, &waits };

__attribute__((format(printf, 3, 4))) static bool refuse(struct admin_error *error, const char *sqlstate,
							 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
	error->hint = NULL;
	return false;
}

static bool out_of_memory(struct admin_error *error)
{
	return refuse(error, "53200", "out of memory");
}

static bool check_database(struct process *process, const char *database, struct admin_error *error)
{
	if (!database || config_find_database(process->config, database))
		return true;
	refuse(error, "3D000", "no such database: %s", database);
	error->hint = "SHOW DATABASES lists them.";
	return false;
}

/* ---- all pools of a database ---- */

struct pool_walk {
	struct process *process;
	const char *database; /* NULL: all */
	void (*visit)(struct process *process, struct shared_pool *shared);
};

static bool matches(const char *database, const struct shared_pool *shared)
{
	return !database || strcmp(database, shared->database) == 0;
}

static bool walk_step(struct shared_pool *shared, void *context)
{
	struct pool_walk *walk = context;

	if (matches(walk->database, shared))
		walk->visit(walk->process, shared);
	return true;
}

static void each_pool(struct process *process, const char *database,
		      void (*visit)(struct process *process, struct shared_pool *shared))
{
	struct pool_walk walk = { process, database, visit };

	pools_each(walk_step, &walk);
}

static void pause_pool(struct process *process, struct shared_pool *shared)
{
	(void)process;
	pool_pause(&shared->pool);
	pool_renew(&shared->pool); /* idle servers go now, others when they come back */
}

/* Those who waited through the pause are served in the order in which they came. */
static void resume_pool(struct process *process, struct shared_pool *shared)
{
	struct crew *crew = &process->crew;
	struct pool_handle member, waiter;
	uint16_t worker = 0;

	if (admin_database_is_paused(shared->database))
		return;
	pool_resume(&shared->pool);
	while (pool_match(&shared->pool, &member, &waiter))
		worker_send_ask(&crew->workers[member.worker], shared, &member, &waiter);
	while (pool_open_due(&shared->pool, false, clock_now_us(), &worker))
		worker_send_open(&crew->workers[worker], shared);
}

static void renew_pool(struct process *process, struct shared_pool *shared)
{
	(void)process;
	pool_renew(&shared->pool);
}

static void disable_pool(struct process *process, struct shared_pool *shared)
{
	(void)process;
	atomic_store(&shared->disabled, admin_database_is_disabled(shared->database));
}

/* ---- the commands ---- */

static bool check_not_paused(struct admin_error *error)
{
	if (!admin_state_all_paused())
		return true;
	refuse(error, "55000", "already suspended/paused");
	error->hint = "RESUME ends the pause.";
	return false;
}

bool admin_pause(struct process *process, const char *database, struct admin_error *error)
{
	if (!check_database(process, database, error) || !check_not_paused(error))
		return false;
	if (!admin_state_set_paused(database, true))
		return out_of_memory(error);
	each_pool(process, database, pause_pool);
	return true;
}

bool admin_resume(struct process *process, const char *database, struct admin_error *error)
{
	if (process->stop != WORKER_RUNS)
		return refuse(error, "57P01", "pooler is shutting down");
	if (!database && !admin_state_all_paused()) {
		refuse(error, "55000", "pooler is not paused/suspended");
		error->hint = "A single database is resumed by its name.";
		return false;
	}
	if (database && !admin_state_of(database).paused)
		return check_database(process, database, error) &&
		       refuse(error, "55000", "database %s is not paused", database);
	admin_state_set_paused(database, false);
	each_pool(process, database, resume_pool);
	return true;
}

bool admin_reconnect(struct process *process, const char *database, struct admin_error *error)
{
	if (!check_database(process, database, error))
		return false;
	each_pool(process, database, renew_pool);
	return true;
}

bool admin_disable(struct process *process, const char *database, struct admin_error *error)
{
	if (!check_database(process, database, error))
		return false;
	if (!admin_state_set_disabled(database, true))
		return out_of_memory(error);
	each_pool(process, database, disable_pool);
	return true;
}

bool admin_enable(struct process *process, const char *database, struct admin_error *error)
{
	const struct database *known = config_find_database(process->config, database);

	if (!check_database(process, database, error))
		return false;
	if (known->own.disabled) {
		refuse(error, "55000", "database %s is disabled by the configuration", database);
		error->hint = "Change the database's entry and RELOAD.";
		return false;
	}
	if (!admin_state_set_disabled(database, false))
		return out_of_memory(error);
	each_pool(process, database, disable_pool);
	return true;
}

/* ---- waiting ---- */

struct member_counts {
	const char *database;
	uint64_t all;  /* servers, in whatever place */
	uint64_t idle; /* of them */
	uint64_t old;  /* of an epoch before a RECONNECT */
};

static bool count_members(struct shared_pool *shared, void *context)
{
	struct member_counts *sum = context;

	if (!matches(sum->database, shared))
		return true;
	struct pool_counts counts = pool_count(&shared->pool);
	sum->idle += counts.idle;
	sum->all += counts.opening + counts.idle + counts.busy + counts.closing;
	sum->old += counts.outdated;
	return true;
}

/* Whoever returns a server to such a pool tells us. */
static bool mark_draining(struct shared_pool *shared, void *context)
{
	struct list *it, *spare;
	bool draining = false;

	(void)context;
	list_each(it, spare, &waits)
		draining = draining || matches(list_entry(it, struct admin_wait, node)->database, shared);
	atomic_store(&shared->draining, draining);
	return true;
}

static void wait_stop(struct admin_wait *wait)
{
	list_remove(&wait->node);
	free(wait->database);
	wait->database = NULL;
	wait->kind = ADMIN_WAITS_NOT;
}

static void wait_end(struct admin_wait *wait, const struct admin_error *error)
{
	wait_stop(wait);
	wait->done(wait->context, error);
}

static bool is_still_paused(const struct admin_wait *wait)
{
	return wait->database ? admin_database_is_paused(wait->database) : admin_state_all_paused();
}

/* It may end, and then its memory may be gone. */
static void wait_look(struct admin_wait *wait)
{
	struct member_counts counts = { .database = wait->database };
	struct admin_error error;

	if (wait->kind == ADMIN_WAITS_PAUSED && !is_still_paused(wait)) {
		refuse(&error, "57014", "the pause was ended by RESUME before it was complete");
		wait_end(wait, &error);
		return;
	}
	pools_each(count_members, &counts);
	if ((wait->kind == ADMIN_WAITS_PAUSED ? counts.all : counts.old) == 0)
		wait_end(wait, NULL);
	else if (wait->kind == ADMIN_WAITS_PAUSED && counts.idle)
		/* One whose opening began when the pause was already there counts as new. */
		each_pool(wait->process, wait->database, renew_pool);
}

/* An ending may start or end other waits, so every look begins at the head; those looked at stand aside. */
static void look_at_all(void)
{
	struct list looked;
	struct list *node;

	if (list_is_empty(&waits))
		return;
	list_init(&looked);
	while ((node = list_pop(&waits))) {
		list_append(&looked, node);
		wait_look(list_entry(node, struct admin_wait, node));
	}
	while ((node = list_pop(&looked)))
		list_append(&waits, node);
	pools_each(mark_draining, NULL); /* some have ended, and pools may be new */
}

bool admin_wait_start(struct admin_wait *wait, struct process *process, enum admin_wait_kind kind, const char *database,
		      struct admin_error *error)
{
	if (!check_database(process, database, error))
		return false;
	wait->database = database ? strdup(database) : NULL;
	if (database && !wait->database)
		return out_of_memory(error);
	wait->process = process;
	wait->kind = kind;
	list_append(&waits, &wait->node);
	pools_each(mark_draining, NULL);
	admin_member_returned(&process->crew); /* perhaps there is nothing to wait for */
	return true;
}

void admin_wait_forget(struct admin_wait *wait)
{
	gather_forget(wait->question);
	wait->question = 0;
	if (wait->kind == ADMIN_WAITS_PAUSED || wait->kind == ADMIN_WAITS_RENEWED) {
		wait_stop(wait);
		pools_each(mark_draining, NULL);
	}
	wait->kind = ADMIN_WAITS_NOT;
}

/* One letter for all: while it is on its way there is no need for another. */
static atomic_bool returned_sent;

static void deliver_returned(void *owner, struct mail *mail)
{
	(void)owner;
	(void)mail;
	atomic_store(&returned_sent, false);
	look_at_all();
}

static struct mail returned_letter = { NULL, deliver_returned };

void admin_member_returned(struct crew *crew)
{
	if (!atomic_exchange(&returned_sent, true))
		mailbox_send(crew->main_mailbox, &returned_letter);
}

void admin_tick(struct process *process)
{
	(void)process;
	gather_tick(clock_now_us());
	look_at_all();
}

void admin_close(void)
{
	gather_forget_all();
}

/* ---- dropping ---- */

static void all_dropped(void *context, struct gather_letter **letters, unsigned count, bool complete)
{
	struct admin_wait *wait = context;
	struct admin_error error;
	unsigned dropped = 0;

	wait->question = 0;
	wait->kind = ADMIN_WAITS_NOT;
	for (unsigned i = 0; i < count; i++)
		dropped += admin_kill_count(letters[i]);
	if (!complete)
		refuse(&error, "57014", "a worker did not answer in time");
	else if (wait->client_id && !dropped)
		refuse(&error, "42704", "client not found");
	else {
		wait->done(wait->context, NULL);
		return;
	}
	error.hint = wait->client_id ? "SHOW CLIENTS lists them, with their ids." : NULL;
	wait->done(wait->context, &error);
}

bool admin_kill(struct admin_wait *wait, struct process *process, const char *database, struct admin_error *error)
{
	if (!admin_pause(process, database, error))
		return false;
	wait->client_id = 0;
	wait->question = admin_kill_ask(&process->crew, database, 0, all_dropped, wait);
	wait->kind = ADMIN_WAITS_WORKERS;
	return wait->question || out_of_memory(error);
}

bool admin_kill_client(struct admin_wait *wait, struct process *process, uint64_t client_id, struct admin_error *error)
{
	wait->client_id = client_id;
	wait->question = admin_kill_ask(&process->crew, NULL, client_id, all_dropped, wait);
	wait->kind = ADMIN_WAITS_WORKERS;
	return wait->question || out_of_memory(error);
}
