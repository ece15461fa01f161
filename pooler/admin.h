/*
 * What an administrator can do to databases and clients while the process runs. Who may do it is the asker's affair.
 *
 *      PAUSE       nobody is served any more; servers are closed as they come back; idle ones at once
 *      KILL        as PAUSE, and clients and servers of the database are dropped at once
 *      RESUME      serves again
 *      DISABLE     no new clients
 *      RECONNECT   the servers of today are closed as they come back; new ones may be opened at once
 *
 * Nothing here waits: what takes time is a struct admin_wait, which is done later.
 *
 * Only in the main thread, but for admin_member_returned.
 */
#ifndef POOLER_ADMIN_H
#define POOLER_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "pooler/list.h"
#include "pooler/process.h"
#include "pooler/worker.h"

/* Why something was not done. */
struct admin_error {
	char sqlstate[6];
	char message[256];
	const char *hint; /* static; NULL: none */
};

/* In all of these: `database` is as clients name it, NULL means all. False: nothing was done, and `error` says why. */
bool admin_pause(struct process *process, const char *database, struct admin_error *error);
bool admin_resume(struct process *process, const char *database, struct admin_error *error);
bool admin_reconnect(struct process *process, const char *database, struct admin_error *error);
/* These want a database. */
bool admin_disable(struct process *process, const char *database, struct admin_error *error);
bool admin_enable(struct process *process, const char *database, struct admin_error *error);

enum admin_wait_kind {
	ADMIN_WAITS_NOT,
	ADMIN_WAITS_PAUSED,  /* until a paused database has no server left */
	ADMIN_WAITS_RENEWED, /* until no server from before the last RECONNECT is left */
	ADMIN_WAITS_WORKERS, /* until every worker has done its part */
};

/* In the caller's memory: it must live until `done` is called or admin_wait_forget. Zero it first. */
struct admin_wait {
	/* NULL error: it went well. */
	void (*done)(void *context, const struct admin_error *error);
	void *context;
	/* Its own. */
	struct list node;
	enum admin_wait_kind kind;
	struct process *process;
	char *database;    /* owned; NULL: all */
	uint64_t question; /* to the workers */
	uint64_t client_id;
};

/* PAUSE and WAIT_CLOSE: `kind` is one of the first two waits. `done` is called once, never before the function returns. */
bool admin_wait_start(struct admin_wait *wait, struct process *process, enum admin_wait_kind kind, const char *database,
		      struct admin_error *error);
/* Pauses, and drops clients and servers. True: `done` is called once, when all workers have done so. False for want of
 * memory: it is paused all the same. */
bool admin_kill(struct admin_wait *wait, struct process *process, const char *database, struct admin_error *error);
/* Drops the client of that id (SHOW CLIENTS). The same. */
bool admin_kill_client(struct admin_wait *wait, struct process *process, uint64_t client_id, struct admin_error *error);
/* `done` is not called any more. Harmless when it does not wait. */
void admin_wait_forget(struct admin_wait *wait);

/* A server of a pool that is draining has come back or gone. Any thread; cheap when it is called often. */
void admin_member_returned(struct crew *crew);
/* Every 100 ms: looks after those who wait. */
void admin_tick(struct process *process);
/* At the end of the process, when nobody waits any more: letters that still come home are thrown away. */
void admin_close(void);

#endif
