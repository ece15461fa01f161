/*
 * Prepared statements: what each client has prepared, what each server has, and what is under way between them.
 *
 * A statement is one Parse message, kept once for all clients of a worker that sent the same bytes. A client's unnamed
 * statement and a server's unnamed statement are pointers to such texts, so that "has this server what this client means"
 * is one compare.
 *
 *      client->unnamed --+                       +-- server->unnamed
 *                        +--> struct statement <-+
 *
 * While a Parse or Close is unanswered it stands in the server's queue of pending statements, in the order in which it was
 * sent; protocol/flow says when the oldest is answered and how many an error swept away.
 *
 * Belongs to one worker: a server that moves to another leaves its statement behind (and gets it anew when it is needed).
 */
#ifndef POOLER_STATEMENTS_H
#define POOLER_STATEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A Parse message above this is not kept: its client keeps the server until it prepares something else. */
#define STATEMENT_BYTES_MAX (64u * 1024u)

struct statement; /* opaque; counted */

/* All statements of one worker. */
struct statements {
	struct statement *table; /* owned */
	size_t bytes;            /* of all texts */
};

void statements_init(struct statements *statements);
/* Every statement must have been dropped. */
void statements_clear(struct statements *statements);
/* The statement of a whole Parse message (type byte included), held once for the caller. NULL: no memory. */
struct statement *statement_intern(struct statements *statements, const uint8_t *message, size_t bytes);
struct statement *statement_hold(struct statement *statement);
/* NULL is harmless. */
void statement_drop(struct statements *statements, struct statement *statement);
const uint8_t *statement_message(const struct statement *statement, size_t *bytes);

enum pending_kind {
	PENDING_PARSE,         /* the client's unnamed statement */
	PENDING_REPLAY,        /* the same, sent by us: its answer is not for the client */
	PENDING_LARGE,         /* the client's unnamed statement, too large to keep */
	PENDING_REFUSED,       /* stands for a message that we refuse: the server's error is replaced by ours */
	PENDING_CLOSE,         /* any other Close: it is here so that the order is whole */
	PENDING_CLOSE_UNNAMED, /* the client's, of its unnamed statement */
	PENDING_CLEAR,         /* the same, sent by us: the server forgets a stranger's */
};

struct pending {
	enum pending_kind kind;
	struct statement *statement; /* held; NULL where the kind has none */
};

/* The unanswered Parse and Close messages of one server, oldest first. */
struct pending_queue {
	struct pending *entries; /* owned; NULL until the first */
	uint32_t head;
	uint32_t count;
	uint32_t capacity; /* a power of two */
};

/* Takes the entry's holds. False: no memory, nothing taken. */
bool pending_push(struct pending_queue *queue, struct pending entry);
/* The oldest; its holds are the caller's. The queue must not be empty. */
struct pending pending_pop(struct pending_queue *queue);
void pending_clear(struct pending_queue *queue, struct statements *statements);

#endif
