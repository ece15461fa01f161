/*
 * The conversation on one server connection.
 *
 * A tracker that is fed the type of every message of both directions, in the order in which they pass, and knows at any
 * moment what the server still owes, whether it is in a transaction, in a batch that waits for its Sync, or in a COPY,
 * and so whether it is free to go to somebody else now. Nothing else in pgweir judges that.
 *
 *      messages to the server                          messages from the server
 *      Q P B D E C S F  -> [ oldest ... newest ] ->    1 2 3 n t T C s I V E Z
 *                           the queue of what is
 *                           still unanswered
 *
 * The rules, from PostgreSQL's PostgresMain, exec_* and CopyGetData:
 *  - Query and FunctionCall owe one ReadyForQuery; so does each Sync. Parse, Bind, Describe, Execute and Close owe their
 *    own answer and none.
 *  - An error in an extended message discards all that follows up to the next Sync, a Query and a FunctionCall in that
 *    window included: nothing is owed for what was discarded. An error in Query, FunctionCall or Sync discards nothing.
 *  - After CopyInResponse the server reads in copy mode: CopyData stays in it, CopyDone and CopyFail end it, Flush and
 *    Sync are ignored, any other message is eaten and becomes an error. That holds too for messages that were sent ahead
 *    of CopyInResponse. CopyData, CopyDone and CopyFail outside copy mode are ignored.
 *  - A Sync that was sent while the server was in copy mode, or ahead of it, and a copy that then failed: from outside
 *    nobody can tell whether the server read that Sync in copy mode or as a Sync. The conversation is then "uncertain"
 *    until a resynchronisation: the pooler sends an empty Query and waits for EmptyQueryResponse and the ReadyForQuery
 *    after it; ReadyForQuery that comes before is one that was owed after all.
 *  - NoticeResponse, ParameterStatus and NotificationResponse may come at any time and answer nothing. An ErrorResponse
 *    with nothing unanswered is the server taking its leave.
 *
 * Pure: no descriptors, no clock. Memory: the queue is inline for PG_FLOW_INLINE messages, then on the heap up to
 * PG_FLOW_QUEUE_MAX, and the heap is given back when the queue runs empty. Belongs to one thread at a time.
 *
 * Source: PostgreSQL manual, "Message Flow", "Pipelining"; src/backend/tcop/postgres.c, commands/copyfromparse.c.
 */
#ifndef PROTOCOL_FLOW_H
#define PROTOCOL_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/message.h"

#define PG_FLOW_INLINE 24u
#define PG_FLOW_QUEUE_MAX 65536u

enum pg_flow_copy {
	PG_FLOW_COPY_NONE,
	PG_FLOW_COPY_IN,
	PG_FLOW_COPY_OUT,
	PG_FLOW_COPY_BOTH,
};

struct pg_flow {
	uint8_t *queue;    /* borrowed: inline_queue; or owned: on the heap */
	uint32_t head;     /* index of the oldest */
	uint32_t count;    /* messages unanswered */
	uint32_t capacity; /* a power of two when on the heap */
	uint32_t ready_owed;
	uint32_t syncs_in_copy; /* Syncs that the server may have read in copy mode */
	uint8_t status;         /* enum pg_transaction_status, from the last ReadyForQuery */
	uint8_t copy;           /* enum pg_flow_copy */
	bool batch_open;        /* an extended message was sent and no Sync after it */
	bool skipping;          /* an error was seen and the Sync that ends it was not sent yet */
	bool uncertain;         /* see above */
	bool resyncing;
	bool portal_suspended; /* the last Execute stopped at its row limit and nothing followed */
	uint8_t inline_queue[PG_FLOW_INLINE];
};

/* Starts as after a login: nothing owed, status idle. */
void pg_flow_init(struct pg_flow *flow);
void pg_flow_clear(struct pg_flow *flow);

enum pg_flow_sent {
	PG_FLOW_SENT,    /* noted: an answer is owed, or none ever is (Flush, CopyData) */
	PG_FLOW_SKIPPED, /* noted: the server discards it, it is certain that no answer comes */
	PG_FLOW_FULL,    /* not noted: too much is unanswered; read from the server first, then offer it again */
	PG_FLOW_BAD,     /* not noted: no such message in this place; the client must not go on */
};

/* A message is about to be sent to the server. `ours`: the pooler's own, whose answers the client must not see.
 * Terminate is the caller's affair and BAD here, as are password messages and unknown letters. Each Describe, Parse ...
 * counts when its first byte is sent: offer each message once. */
enum pg_flow_sent pg_flow_client(struct pg_flow *flow, uint8_t type, bool ours);

struct pg_flow_answer {
	bool bad;          /* the server may not say this here; the connection cannot be trusted further */
	bool ours;         /* it answers a message of ours: do not pass it on */
	bool unsolicited;  /* ErrorResponse while nothing was unanswered */
	uint8_t completed; /* type of the client's message whose answer this completes, 0 when none: 'P' at ParseComplete ... */
	/* Parse and Close messages that an error removed from the queue unanswered, the failing one included, oldest
	 * first: for the books about prepared statements. */
	uint32_t statements_dropped;
};

/* A message came from the server. `status` is the body's byte for ReadyForQuery, else ignored. */
struct pg_flow_answer pg_flow_server(struct pg_flow *flow, uint8_t type, uint8_t status);

/* Nothing is owed, no batch is open, no copy, no transaction, not uncertain: somebody else may have this server. */
static inline bool pg_flow_is_free(const struct pg_flow *flow)
{
	return flow->count == 0 && flow->status == PG_TRANSACTION_IDLE && !flow->batch_open && !flow->skipping &&
	       flow->copy == PG_FLOW_COPY_NONE && !flow->uncertain;
}

/* As free, but a transaction may be open: the server waits for its client. */
static inline bool pg_flow_is_quiet(const struct pg_flow *flow)
{
	return flow->count == 0 && !flow->batch_open && !flow->skipping && flow->copy == PG_FLOW_COPY_NONE;
}

/* Opens the resynchronisation: call it when an empty Query of ours has been sent *instead of* pg_flow_client. */
void pg_flow_resync(struct pg_flow *flow);

/* What must be sent so that the server comes back to ReadyForQuery after its client has gone. Answers the types to send in
 * order, "" when nothing: "f" (CopyFail), "S" (Sync), "fS". The caller sends them through pg_flow_client as ours. */
const char *pg_flow_unwind(const struct pg_flow *flow);

#endif
