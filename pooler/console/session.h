/*
 * One client's session on the console: what it has prepared, and the answer that is being made for it.
 *
 * Bounded: at most SESSION_PREPARED_MAX statements and portals, of SESSION_PREPARED_BYTES_MAX together.
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_SESSION_H
#define POOLER_CONSOLE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/admin.h"
#include "pooler/console/command.h"
#include "pooler/console/result.h"
#include "pooler/hash.h"
#include "pooler/list.h"
#include "pooler/pool.h"
#include "pooler/process.h"
#include "pooler/snapshot.h"
#include "protocol/buffer.h"

#define SESSION_PREPARED_MAX 256
#define SESSION_PREPARED_BYTES_MAX (128u * 1024u)

/* A prepared statement, or a portal. */
struct prepared {
	struct list node;
	/* Of a portal only. */
	struct result_formats formats;
	bool started;
	bool suspended;        /* a limit of Execute held rows back */
	struct pg_buffer rest; /* these */
	/* Both. */
	const char *name;
	const char *text;
	size_t bytes; /* of name and text */
	char memory[];
};

struct session {
	UT_hash_handle hh;
	uint64_t client_id; /* the key */
	struct pool_handle client;
	struct crew *crew; /* borrowed: longer than any session */
	struct process *process;
	const struct averages *averages; /* borrowed: as long as the console, as the next */
	struct totals *counted;          /* what the console has answered */
	bool admin;                      /* may use commands, not only SHOW */
	char user[PG_NAME_BYTES_MAX + 1];

	struct list statements;
	struct list portals;
	unsigned prepared_count;
	size_t prepared_bytes;

	struct pg_buffer out;
	bool skipping; /* an error in an extended message: all is skipped up to Sync */

	/* The message under way; one at a time. */
	bool busy;
	char *text;                /* owned; of a Query */
	const char *at;            /* in it: what is still to be done */
	struct prepared *portal;   /* of an Execute; borrowed; NULL: the message is a Query */
	uint32_t most_rows;        /* of an Execute; 0: all */
	struct call call;          /* the command under way */
	struct snapshot_wish wish; /* for it */
	struct admin_wait wait;    /* for it */
	enum worker_stop stop;     /* when the answer is sent, the process is to end so */
	/* Goes on after what the command waited for has come; set by the conversation. */
	void (*resume)(struct session *session, enum command_outcome outcome);
};

/* NULL: no memory. */
struct session *session_create(struct process *process, uint64_t client_id);
/* Whatever is under way is forgotten. */
void session_free(struct session *session);

/* Puts an error into the answer; returns false. `detail` and `hint` may be NULL. */
bool session_fail(struct session *session, const char *sqlstate, const char *detail, const char *hint,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));
void session_notice(struct session *session, const char *message);
void session_complete(struct session *session, const char *tag);
/* The rows that stand in the answer from byte `start` are all that SHOW has: closes the answer, or holds back what an Execute
 * does not want yet. */
void session_end_rows(struct session *session, size_t start);

/* `list` is one of the session's two. */
struct prepared *session_find(struct list *list, const char *name);
/* Keeps copies, in place of what had that name. NULL: the session has too much, or there is no memory; the error is in the
 * answer. */
struct prepared *session_prepare(struct session *session, struct list *list, const char *name, const char *text);
void session_drop(struct session *session, struct prepared *prepared);
void session_drop_all(struct session *session, struct list *list);

#endif
