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
 *    own answer and none. Flush owes nothing.
 *  - An error in an extended message discards all that follows up to the next Sync, a Query and a FunctionCall in that
 *    window included: nothing is owed for what was discarded. An error in Query, FunctionCall or Sync discards nothing;
 *    its ReadyForQuery follows.
 *  - A Query or FunctionCall in an open batch ends the batch's transaction as a Sync would, unless the status of its
 *    ReadyForQuery says otherwise.
 *  - After CopyInResponse the server reads in copy mode: CopyData stays in it, CopyDone and CopyFail end it, Flush and
 *    Sync are ignored, any other message is eaten and becomes an error (and since PostgreSQL 14 the connection's end).
 *    That holds too for messages that were sent ahead of CopyInResponse. CopyData, CopyDone and CopyFail outside copy mode
 *    are ignored.
 *  - In CopyBothResponse's mode both sides send CopyData until each has said CopyDone.
 *  - NoticeResponse, ParameterStatus and NotificationResponse may come at any time and answer nothing. An ErrorResponse
 *    with nothing unanswered is the server taking its leave, or in an open batch a time-out that strikes between two
 *    messages: then it discards up to the next Sync.
 *
 * What a Flush does cannot be seen. If a time-out strikes at one, and a Query was sent behind it into the same batch, the
 * error looks like that Query's: the server is then kept for ever rather than freed too early.
 *
 * Uncertainty. A COPY may fail by itself (bad data, a trigger, a cancel) before the server has read all that was sent into
 * it. A Sync that it read was ignored, one that it did not read owes a ReadyForQuery; the message that would have ended
 * copy mode with an error, and what an error of an Execute would have discarded, may be answered as ever. From outside
 * nobody can tell. Then the conversation is "uncertain", and the tracker holds both stories until an answer fits only one:
 *  - up to syncs_in_copy more ReadyForQuery may come before anything else, and
 *  - the first `doubtful` messages of the queue are all to be answered, or all were discarded.
 * A pooler can force the decision with pg_flow_resync. Only when an answer fits both stories in ways that differ is the
 * thread lost: every message that exists is let pass, and the server never becomes free again. That needs a client that
 * goes on with something else in the middle of a COPY, which PostgreSQL since 14 ends with the connection.
 *
 * Pure: no descriptors, no clock. Memory: the queue is inline for PG_FLOW_INLINE messages, then on the heap up to
 * PG_FLOW_QUEUE_MAX, and the heap is given back when the queue runs empty. A struct pg_flow must not be moved in memory.
 * Belongs to one thread at a time.
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
	PG_FLOW_COPY_IN,   /* the server reads in copy mode */
	PG_FLOW_COPY_OUT,  /* the server sends CopyData */
	PG_FLOW_COPY_BOTH, /* both; when one side has ended, what is left is COPY_IN or COPY_OUT */
};

/* How far the oldest message has been answered. */
enum pg_flow_phase {
	PG_FLOW_BEGIN,
	PG_FLOW_ANSWERED, /* something that may be the last before ReadyForQuery */
	PG_FLOW_FINISHED, /* only ReadyForQuery can follow */
	PG_FLOW_COPIES,   /* a COPY IN or OUT began: CommandComplete must come */
};

struct pg_flow {
	uint8_t *queue;         /* borrowed: inline_queue; or owned: on the heap */
	uint32_t head;          /* index of the oldest */
	uint32_t count;         /* messages unanswered */
	uint32_t capacity;      /* a power of two when on the heap */
	uint32_t ready_owed;    /* ReadyForQuery to come if nothing fails: Query, FunctionCall and Sync in the queue */
	uint32_t syncs_in_copy; /* Syncs sent into the COPY of the oldest message; after its failure: perhaps never read */
	uint32_t doubtful;      /* in an uncertain conversation, see above; behind the oldest if that one is FINISHED */
	uint8_t status;         /* enum pg_transaction_status, from the last ReadyForQuery */
	uint8_t copy;           /* enum pg_flow_copy */
	uint8_t phase;          /* enum pg_flow_phase */
	bool eaten;             /* the COPY of the oldest message was ended by the one behind it in the queue */
	bool batch_open;        /* an extended message was sent and no Sync, and no Query that was answered, after it */
	bool skipping;          /* an error was seen and the Sync that ends it was not sent yet */
	bool uncertain;         /* see above */
	bool doubt_open;        /* what is sent before the next Sync is doubtful too */
	bool lost;              /* uncertain for good */
	bool portal_suspended; /* the last Execute stopped at its row limit and nothing followed that may touch its portal */
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
	bool bad;         /* the server may not say this here; the connection cannot be trusted further */
	bool ours;        /* it answers a message of ours: do not pass it on */
	bool unsolicited; /* ErrorResponse while nothing was unanswered */
	/* Type of the client's message whose answer this completes: 'P' at ParseComplete, 'Q' at ReadyForQuery ... 0 when
	 * none, and at an ErrorResponse. */
	uint8_t completed;
	/* Parse and Close messages that were removed from the queue unanswered, oldest first: for the books about prepared
	 * statements. By an error, the failing one included; in an uncertain conversation by any answer. */
	uint32_t statements_dropped;
};

/* A message came from the server. `status` is the body's byte for ReadyForQuery, else ignored. */
struct pg_flow_answer pg_flow_server(struct pg_flow *flow, uint8_t type, uint8_t status);

/* The rows of a result and what stands in front of them: the bulk of what a server sends, and none of it changes anything.
 * True: `type` is that and belongs to a message of the client's; pg_flow_server need not be told. */
static inline bool pg_flow_is_plain_row(const struct pg_flow *flow, uint8_t type)
{
	uint8_t head = flow->queue[flow->head];

	if (flow->count == 0 || flow->uncertain || flow->phase == PG_FLOW_FINISHED)
		return false;
	switch (type) {
	case PG_BACKEND_DATA_ROW:
		return flow->copy == PG_FLOW_COPY_NONE && flow->phase != PG_FLOW_COPIES &&
		       (head == PG_FRONTEND_QUERY || head == PG_FRONTEND_EXECUTE);
	case PG_BACKEND_ROW_DESCRIPTION:
		return flow->copy == PG_FLOW_COPY_NONE && flow->phase != PG_FLOW_COPIES && head == PG_FRONTEND_QUERY;
	case PG_BACKEND_COPY_DATA:
		return flow->copy == PG_FLOW_COPY_OUT && (head == PG_FRONTEND_QUERY || head == PG_FRONTEND_EXECUTE);
	default:
		return false;
	}
}

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

/* The type of the oldest unanswered message: whose failure an ErrorResponse would be. 0: nothing is unanswered. */
static inline uint8_t pg_flow_head(const struct pg_flow *flow)
{
	return flow->count ? (uint8_t)(flow->queue[flow->head] & 0x7f) : 0;
}

/* pg_flow_client will soon answer PG_FLOW_FULL. A pooler that sends messages of its own in front leaves room for them. */
static inline bool pg_flow_is_full(const struct pg_flow *flow)
{
	return flow->count + 2 >= PG_FLOW_QUEUE_MAX;
}

/* Opens the resynchronisation: an empty Query of ours has been sent; call it *instead of* pg_flow_client. The conversation
 * is certain again at its EmptyQueryResponse; a ReadyForQuery before it answers a Sync of the client's and is not ours. Only
 * when pg_flow_is_quiet: a server that discards up to the next Sync would discard the Query. */
void pg_flow_resync(struct pg_flow *flow);

/* What must be sent now so that the server comes back to ReadyForQuery after its client has gone at the boundary of two
 * messages. Answers the types to send in order, "" when nothing: "f" (CopyFail), "S" (Sync), "fS". The caller sends them
 * through pg_flow_client as ours, and asks again after each message from the server: a COPY may begin only now. (A server
 * in COPY BOTH ends its connection at the CopyFail.) */
const char *pg_flow_unwind(const struct pg_flow *flow);

#endif
