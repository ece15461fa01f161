/*
 * One server connection.
 *
 *      CONNECTING --> IDLE <--> ACTIVE --> RESETTING --> IDLE, ACTIVE         ... --> CLOSING
 *                       \---------\-> MOVING --> (another worker) ACTIVE, IDLE
 *
 * What is under way on it is known to its flow (protocol/flow). A server may run a task of ours: one simple Query whose
 * answers nobody else sees.
 *
 * All functions: only in the thread of server->worker.
 */
#ifndef POOLER_SERVER_H
#define POOLER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/kept.h"
#include "pooler/params.h"
#include "pooler/pools.h"
#include "pooler/resolver.h"
#include "pooler/statements.h"
#include "pooler/stream.h"
#include "pooler/worker.h"
#include "protocol/flow.h"
#include "protocol/parse.h"

struct server_login;

/* What a server said was wrong. Strings are cut to fit. */
struct server_error {
	char severity[16];
	char sqlstate[6]; /* "" when there was no error */
	char message[400];
	char detail[400];
	char hint[200];
};

/* A task has ended: `error` is NULL when it went well. The server is at ReadyForQuery. */
typedef void server_task_done(struct server *server, const struct server_error *error);

struct server {
	struct stream stream;
	struct list node; /* in worker->server_states */
	struct worker *worker;
	struct client *client;      /* assigned by link.c only */
	struct shared_pool *shared; /* counted */
	struct pool_member member;
	struct pg_flow flow;
	struct pending_queue pending;
	const struct params *params;     /* held; in force, as far as we track them */
	const struct params *applying;   /* held; being put in force for its client; NULL: none */
	const struct params *defaults;   /* held; the tracked ones right after login */
	const struct params *reported;   /* held; all that it reported */
	struct statement *unnamed;       /* held; its unnamed statement; NULL: none, or not known */
	struct server_login *login;      /* owned; NULL after login */
	server_task_done *task;          /* NULL: none under way */
	struct server_error *task_error; /* owned; what went wrong in the task; NULL: nothing, or no memory for it */
	struct server_error *farewell;   /* owned; a FATAL error that it sent: it is about to go */
	struct kept kept;
	uint32_t passing;     /* bytes of the message under way that are still to come */
	bool passing_hidden;  /* they are not for the client */
	bool task_failed;     /* something went wrong in the task */
	bool params_unknown;  /* somebody ran SET, RESET or DISCARD: what we set may be gone */
	bool unnamed_unknown; /* its unnamed statement may be anybody's */
	bool aligned;         /* its unnamed statement is its client's: what changes one changes the other */
	bool dirty;           /* served a session: wants the reset query */
	bool reset_done;      /* in RESETTING: it has had it */
	bool cancel_sent;     /* in RESETTING: its query was asked to end, or is to run to its end */
	bool farewell_passed; /* the client has seen it */
	bool doomed;          /* must not be used again once its work is done: KILL, RECONNECT */
	bool retired;         /* the pool counts it as closing */
	bool removed;         /* left the pool */
	enum server_state state;
	uint32_t cancels;    /* requests on their way to it: it must not serve anybody else before they have landed */
	uint32_t process_id; /* of the backend; 0: it did not say */
	uint8_t key[32];
	uint8_t key_bytes;
	union address address;
	uint64_t id;
	uint64_t created_us;
	uint64_t state_since_us;
	uint64_t assigned_us;   /* when its client got it */
	uint64_t task_since_us; /* when the task began */
};

/* A server without a socket, in CONNECTING; server_login takes it from there. It fills the place in the pool that was
 * reserved. NULL: no memory; the place was given back. */
struct server *server_create(struct worker *worker, struct shared_pool *shared);
/* Closes it and gives back everything that it holds; the structure itself lives until server_bury. It must have no client,
 * no login, and have left the pool. */
void server_destroy(struct server *server);
void server_bury(struct worker *worker);

void server_set_state(struct server *server, enum server_state state);
const char *server_state_name(enum server_state state);

/* Runs one simple Query of ours. The server must be quiet. False: the stream failed. */
bool server_run(struct server *server, const char *sql, server_task_done *done);
/* As server_run with an empty query that finds out where an uncertain conversation stands. */
bool server_resync(struct server *server, server_task_done *done);

/* A ParameterStatus: keeps reported and, where it is tracked, params. For a linked client its params follow. False: no memory;
 * the server must not be used any further. */
bool server_note_parameter(struct server *server, const char *name, const char *value);
/* The tracked ones of a set: client_encoding and its kind, and track_extra_parameters. A new hold. */
const struct params *server_tracked(const struct config *config, const struct params *reported);
bool server_tracks(const struct config *config, const char *name);

/* Copies an ErrorResponse's fields, cut to fit. */
void server_error_set(struct server_error *error, const struct pg_error_fields *fields);

/* Leaves this worker: off the loop, out of its lists and handles. */
void server_detach(struct server *server);
/* Comes to `worker`: on its loop, in MOVING. False: no memory; it must be destroyed. */
bool server_attach(struct server *server, struct worker *worker);

/* "app/joe@10.0.0.1:5432 (pid 4711)", for the log and for errors. */
void server_print(const struct server *server, char *out, size_t out_bytes);
#define SERVER_PRINT_BYTES 240

#endif
