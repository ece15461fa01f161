#include "protocol/flow.h"

#include <string.h>

#include "protocol/flow_queue.h"

/* ---- where a message of the server's may stand ---- */

/* The client's messages that are answered, as bits: their letters differ in the low five bits. */
#define TO(type) (1u << ((type)&31u))
#define TO_QUERY TO(PG_FRONTEND_QUERY)
#define TO_PARSE TO(PG_FRONTEND_PARSE)
#define TO_BIND TO(PG_FRONTEND_BIND)
#define TO_DESCRIBE TO(PG_FRONTEND_DESCRIBE)
#define TO_EXECUTE TO(PG_FRONTEND_EXECUTE)
#define TO_CLOSE TO(PG_FRONTEND_CLOSE)
#define TO_SYNC TO(PG_FRONTEND_SYNC)
#define TO_FUNCTION TO(PG_FRONTEND_FUNCTION_CALL)
#define TO_ANYBODY ((1u << 24) - 1)

#define COPY_SHIFT 24
#define IN_COPY(copy) (1u << (COPY_SHIFT + (copy)))
#define NO_COPY IN_COPY(PG_FLOW_COPY_NONE)
#define ANY_COPY (0xfu << COPY_SHIFT)

#define PHASE_SHIFT 28
#define IN_PHASE(phase) (1u << (PHASE_SHIFT + (phase)))
#define OPEN (IN_PHASE(PG_FLOW_BEGIN) | IN_PHASE(PG_FLOW_ANSWERED))
#define COPIES IN_PHASE(PG_FLOW_COPIES)
#define READY_PHASE (OPEN | IN_PHASE(PG_FLOW_FINISHED))
#define ANY_PHASE (READY_PHASE | COPIES)

#define ANYWHERE (TO_ANYBODY | ANY_COPY | ANY_PHASE)

/* To whose answer each belongs, in which COPY mode and phase. What is missing may never come after the login. */
static const uint32_t places[128] = {
	[PG_BACKEND_NOTICE] = ANYWHERE,
	[PG_BACKEND_PARAMETER_STATUS] = ANYWHERE,
	[PG_BACKEND_NOTIFICATION] = ANYWHERE,
	[PG_BACKEND_ERROR] = ANYWHERE,
	[PG_BACKEND_READY] = TO_QUERY | TO_FUNCTION | TO_SYNC | NO_COPY | READY_PHASE,
	[PG_BACKEND_ROW_DESCRIPTION] = TO_QUERY | TO_DESCRIBE | NO_COPY | OPEN,
	[PG_BACKEND_DATA_ROW] = TO_QUERY | TO_EXECUTE | NO_COPY | OPEN,
	[PG_BACKEND_COMMAND_COMPLETE] = TO_QUERY | TO_EXECUTE | NO_COPY | IN_COPY(PG_FLOW_COPY_OUT) |
					IN_COPY(PG_FLOW_COPY_BOTH) | OPEN | COPIES,
	[PG_BACKEND_EMPTY_QUERY] = TO_QUERY | TO_EXECUTE | NO_COPY | OPEN,
	[PG_BACKEND_PORTAL_SUSPENDED] = TO_EXECUTE | NO_COPY | OPEN,
	[PG_BACKEND_PARSE_COMPLETE] = TO_PARSE | NO_COPY | OPEN,
	[PG_BACKEND_BIND_COMPLETE] = TO_BIND | NO_COPY | OPEN,
	[PG_BACKEND_CLOSE_COMPLETE] = TO_CLOSE | NO_COPY | OPEN,
	[PG_BACKEND_PARAMETER_DESCRIPTION] = TO_DESCRIBE | NO_COPY | IN_PHASE(PG_FLOW_BEGIN),
	[PG_BACKEND_NO_DATA] = TO_DESCRIBE | NO_COPY | OPEN,
	[PG_BACKEND_FUNCTION_RESULT] = TO_FUNCTION | NO_COPY | OPEN,
	[PG_BACKEND_COPY_IN] = TO_QUERY | TO_EXECUTE | NO_COPY | OPEN,
	[PG_BACKEND_COPY_OUT] = TO_QUERY | TO_EXECUTE | NO_COPY | OPEN,
	[PG_BACKEND_COPY_BOTH] = TO_QUERY | NO_COPY | OPEN,
	[PG_BACKEND_COPY_DATA] = TO_QUERY | TO_EXECUTE | IN_COPY(PG_FLOW_COPY_OUT) | IN_COPY(PG_FLOW_COPY_BOTH) | OPEN |
				 COPIES,
	[PG_BACKEND_COPY_DONE] = TO_QUERY | TO_EXECUTE | IN_COPY(PG_FLOW_COPY_OUT) | IN_COPY(PG_FLOW_COPY_BOTH) | OPEN |
				 COPIES,
};

static bool is_asynchronous(uint8_t type)
{
	return type == PG_BACKEND_NOTICE || type == PG_BACKEND_PARAMETER_STATUS || type == PG_BACKEND_NOTIFICATION;
}

static bool may_ever_come(uint8_t type)
{
	return type < sizeof(places) / sizeof(places[0]) && places[type];
}

/* The server may send `type` now, when `head` is the oldest unanswered message, 0 for none. */
static inline bool may_come(const struct pg_flow *flow, uint8_t head, uint8_t type)
{
	uint32_t place = type < sizeof(places) / sizeof(places[0]) ? places[type] : 0;

	return (place >> (head & 31u)) & (place >> (COPY_SHIFT + flow->copy)) & (place >> (PHASE_SHIFT + flow->phase)) &
	       1u;
}

/* ---- life ---- */

void pg_flow_init(struct pg_flow *flow)
{
	memset(flow, 0, sizeof(*flow));
	flow->queue = flow->inline_queue;
	flow->capacity = PG_FLOW_INLINE;
	flow->status = PG_TRANSACTION_IDLE;
}

void pg_flow_clear(struct pg_flow *flow)
{
	pg_flow_queue_empty(flow);
	pg_flow_init(flow);
}

/* ---- from the client ---- */

static enum pg_flow_sent send_request(struct pg_flow *flow, uint8_t type, bool ours)
{
	if (flow->skipping)
		return PG_FLOW_SKIPPED;
	if (!pg_flow_queue_put(flow, type, ours))
		return PG_FLOW_FULL;
	if (pg_flow_owes_ready(type))
		flow->ready_owed++;
	else
		flow->batch_open = true;
	if (type != PG_FRONTEND_DESCRIBE)
		flow->portal_suspended = false;
	if (flow->copy == PG_FLOW_COPY_IN && flow->phase == PG_FLOW_COPIES) {
		flow->copy = PG_FLOW_COPY_NONE;
		flow->eaten = true;
	}
	if (flow->doubt_open)
		flow->doubtful++;
	return PG_FLOW_SENT;
}

static enum pg_flow_sent send_sync(struct pg_flow *flow, bool ours)
{
	if (flow->copy == PG_FLOW_COPY_IN) {
		flow->syncs_in_copy++;
		return PG_FLOW_SENT;
	}
	if (!pg_flow_queue_put(flow, PG_FRONTEND_SYNC, ours))
		return PG_FLOW_FULL;
	flow->ready_owed++;
	flow->batch_open = false;
	flow->skipping = false;
	flow->doubt_open = false;
	return PG_FLOW_SENT;
}

static enum pg_flow_sent send_copy_end(struct pg_flow *flow, uint8_t type, bool ours)
{
	if (flow->skipping)
		return PG_FLOW_SKIPPED;
	if (flow->copy == PG_FLOW_COPY_IN) {
		flow->copy = PG_FLOW_COPY_NONE;
	} else if (flow->copy == PG_FLOW_COPY_BOTH) {
		flow->copy = PG_FLOW_COPY_OUT;
	} else if (flow->count) {
		if (!pg_flow_queue_put(flow, type, ours))
			return PG_FLOW_FULL;
		if (flow->doubt_open)
			flow->doubtful++;
	}
	return PG_FLOW_SENT;
}

/* The thread is lost: whatever a client may say at all is let pass. */
static __attribute__((noinline)) enum pg_flow_sent send_unjudged(uint8_t type)
{
	return type && strchr("QFPBDECSdHcf", type) ? PG_FLOW_SENT : PG_FLOW_BAD;
}

enum pg_flow_sent pg_flow_client(struct pg_flow *flow, uint8_t type, bool ours)
{
	if (__builtin_expect(flow->lost, 0))
		return send_unjudged(type);
	switch (type) {
	case PG_FRONTEND_QUERY:
	case PG_FRONTEND_FUNCTION_CALL:
	case PG_FRONTEND_PARSE:
	case PG_FRONTEND_BIND:
	case PG_FRONTEND_DESCRIBE:
	case PG_FRONTEND_EXECUTE:
	case PG_FRONTEND_CLOSE:
		return send_request(flow, type, ours);
	case PG_FRONTEND_SYNC:
		return send_sync(flow, ours);
	case PG_FRONTEND_COPY_DATA:
	case PG_FRONTEND_FLUSH:
		return flow->skipping ? PG_FLOW_SKIPPED : PG_FLOW_SENT;
	case PG_FRONTEND_COPY_DONE:
	case PG_FRONTEND_COPY_FAIL:
		return send_copy_end(flow, type, ours);
	default:
		return PG_FLOW_BAD;
	}
}

void pg_flow_resync(struct pg_flow *flow)
{
	pg_flow_client(flow, PG_FRONTEND_QUERY, true);
}

/* ---- from the server ---- */

static struct pg_flow_answer bad_answer(void)
{
	return (struct pg_flow_answer){ .bad = true };
}

/* The oldest has been answered. */
static inline void complete(struct pg_flow *flow, uint8_t head, struct pg_flow_answer *answer)
{
	answer->completed = head & PG_FLOW_TYPE;
	flow->phase = PG_FLOW_BEGIN;
	if (__builtin_expect(flow->count == 1 && flow->queue == flow->inline_queue, 1)) {
		flow->head = 0;
		flow->count = 0;
	} else {
		pg_flow_queue_take(flow, 1);
	}
}

/* CopyInResponse: what was sent ahead is read in copy mode. */
static __attribute__((noinline)) void begin_copy_in(struct pg_flow *flow, uint8_t head)
{
	uint32_t kept = 1;
	bool sync_left = false;

	flow->phase = PG_FLOW_COPIES;
	flow->copy = PG_FLOW_COPY_IN;
	flow->syncs_in_copy = 0;
	for (uint32_t i = 1; i < flow->count; i++) {
		uint8_t entry = flow->queue[pg_flow_queue_index(flow, i)];
		uint8_t type = entry & PG_FLOW_TYPE;

		if (flow->copy == PG_FLOW_COPY_IN) {
			if (type == PG_FRONTEND_SYNC) {
				flow->syncs_in_copy++;
				flow->ready_owed--;
				continue;
			}
			flow->copy = PG_FLOW_COPY_NONE;
			if (pg_flow_is_marker(type))
				continue;
			flow->eaten = true;
		}
		sync_left |= type == PG_FRONTEND_SYNC;
		flow->queue[pg_flow_queue_index(flow, kept++)] = entry;
	}
	flow->count = kept;
	/* A Sync that is ignored does not end the batch. */
	if (flow->syncs_in_copy && !sync_left && (head & PG_FLOW_TYPE) == PG_FRONTEND_EXECUTE)
		flow->batch_open = true;
}

static __attribute__((noinline)) void begin_copy_both(struct pg_flow *flow)
{
	flow->phase = PG_FLOW_BEGIN;
	flow->copy = PG_FLOW_COPY_BOTH;
	if (flow->count > 1 && pg_flow_queue_type(flow, 1) == PG_FRONTEND_COPY_DONE) {
		uint8_t head = flow->queue[flow->head];
		flow->head = pg_flow_queue_index(flow, 1);
		flow->count--;
		flow->queue[flow->head] = head;
		flow->copy = PG_FLOW_COPY_OUT;
	}
}

static struct pg_flow_answer command_complete(struct pg_flow *flow, uint8_t head)
{
	struct pg_flow_answer answer = { .ours = head & PG_FLOW_OURS };

	if (__builtin_expect(flow->eaten, 0))
		return bad_answer();
	flow->copy = PG_FLOW_COPY_NONE;
	if ((head & PG_FLOW_TYPE) == PG_FRONTEND_EXECUTE)
		complete(flow, head, &answer);
	else
		flow->phase = PG_FLOW_ANSWERED;
	return answer;
}

static __attribute__((noinline)) struct pg_flow_answer portal_suspended(struct pg_flow *flow, uint8_t head)
{
	struct pg_flow_answer answer = { .ours = head & PG_FLOW_OURS };

	complete(flow, head, &answer);
	flow->portal_suspended = true;
	for (uint32_t i = 0; i < flow->count; i++)
		if (pg_flow_queue_type(flow, i) != PG_FRONTEND_SYNC &&
		    pg_flow_queue_type(flow, i) != PG_FRONTEND_DESCRIBE)
			flow->portal_suspended = false;
	return answer;
}

/* A COPY of the oldest message has failed, and not all that was sent into it was certainly read. */
static void begin_uncertainty(struct pg_flow *flow, uint8_t head)
{
	flow->uncertain = true;
	if ((head & PG_FLOW_TYPE) == PG_FRONTEND_QUERY) {
		flow->phase = PG_FLOW_FINISHED;
		flow->doubtful = flow->eaten ? 1 : 0;
	} else {
		pg_flow_queue_take(flow, 1);
		flow->doubtful = pg_flow_queue_before_sync(flow);
		flow->doubt_open = flow->doubtful == flow->count;
	}
	flow->eaten = false;
}

static __attribute__((noinline)) struct pg_flow_answer error_response(struct pg_flow *flow, uint8_t head)
{
	struct pg_flow_answer answer = { .ours = head & PG_FLOW_OURS };
	uint8_t type = head & PG_FLOW_TYPE;

	flow->copy = PG_FLOW_COPY_NONE;
	if (!head) {
		answer.unsolicited = true;
		flow->skipping |= flow->batch_open;
	} else if (flow->phase == PG_FLOW_COPIES &&
		   (flow->syncs_in_copy || (flow->eaten && type == PG_FRONTEND_QUERY))) {
		begin_uncertainty(flow, head);
	} else if (pg_flow_owes_ready(type)) {
		flow->phase = PG_FLOW_FINISHED;
	} else {
		answer.statements_dropped = pg_flow_queue_drop(flow, pg_flow_queue_before_sync(flow));
		flow->skipping = flow->count == 0;
		flow->eaten = false;
	}
	return answer;
}

static bool is_status(uint8_t status)
{
	return status == PG_TRANSACTION_IDLE || status == PG_TRANSACTION_OPEN || status == PG_TRANSACTION_FAILED;
}

/* The server has come to a ReadyForQuery. With nothing left in the queue whatever batch there was is closed too. */
static inline void note_ready(struct pg_flow *flow, uint8_t status)
{
	flow->status = status;
	if (flow->count == 0)
		flow->batch_open = false;
	if (status == PG_TRANSACTION_IDLE)
		flow->portal_suspended = false;
}

static struct pg_flow_answer ready_for_query(struct pg_flow *flow, uint8_t head, uint8_t status)
{
	struct pg_flow_answer answer = { .ours = head & PG_FLOW_OURS };

	if (!is_status(status) || ((head & PG_FLOW_TYPE) != PG_FRONTEND_SYNC && flow->phase == PG_FLOW_BEGIN))
		return bad_answer();
	flow->ready_owed--;
	complete(flow, head, &answer);
	note_ready(flow, status);
	return answer;
}

/* The oldest message is `head`, 0 for none. */
static inline struct pg_flow_answer take_answer(struct pg_flow *flow, uint8_t head, uint8_t type, uint8_t status)
{
	struct pg_flow_answer answer = { .ours = head & PG_FLOW_OURS };

	if (__builtin_expect(!may_come(flow, head, type), 0))
		return bad_answer();
	switch (type) {
	case PG_BACKEND_DATA_ROW:
	case PG_BACKEND_COPY_DATA:
		return answer; /* seen here only when it ends an uncertainty */
	case PG_BACKEND_NOTICE:
	case PG_BACKEND_PARAMETER_STATUS:
	case PG_BACKEND_NOTIFICATION:
		return (struct pg_flow_answer){ .ours = false };
	case PG_BACKEND_ROW_DESCRIPTION:
		if ((head & PG_FLOW_TYPE) == PG_FRONTEND_DESCRIBE)
			complete(flow, head, &answer);
		return answer;
	case PG_BACKEND_COMMAND_COMPLETE:
		return command_complete(flow, head);
	case PG_BACKEND_READY:
		return ready_for_query(flow, head, status);
	case PG_BACKEND_PARSE_COMPLETE:
	case PG_BACKEND_BIND_COMPLETE:
	case PG_BACKEND_CLOSE_COMPLETE:
	case PG_BACKEND_NO_DATA:
		complete(flow, head, &answer);
		return answer;
	case PG_BACKEND_EMPTY_QUERY:
		if ((head & PG_FLOW_TYPE) == PG_FRONTEND_EXECUTE)
			complete(flow, head, &answer);
		else
			flow->phase = PG_FLOW_FINISHED;
		return answer;
	case PG_BACKEND_PARAMETER_DESCRIPTION:
		flow->phase = PG_FLOW_ANSWERED;
		return answer;
	case PG_BACKEND_FUNCTION_RESULT:
		flow->phase = PG_FLOW_FINISHED;
		return answer;
	case PG_BACKEND_PORTAL_SUSPENDED:
		return portal_suspended(flow, head);
	case PG_BACKEND_COPY_IN:
		begin_copy_in(flow, head);
		return answer;
	case PG_BACKEND_COPY_OUT:
		flow->copy = PG_FLOW_COPY_OUT;
		flow->phase = PG_FLOW_COPIES;
		return answer;
	case PG_BACKEND_COPY_BOTH:
		begin_copy_both(flow);
		return answer;
	case PG_BACKEND_COPY_DONE:
		flow->copy = flow->copy == PG_FLOW_COPY_BOTH ? PG_FLOW_COPY_IN : PG_FLOW_COPY_NONE;
		return answer;
	default:
		return error_response(flow, head);
	}
}

/* ---- from the server, in an uncertain conversation ---- */

/* Where the queue goes on if the doubtful messages were discarded: count, when it does not. */
static uint32_t queue_behind_doubt(const struct pg_flow *flow)
{
	uint32_t nth = flow->doubtful;

	while (nth < flow->count && pg_flow_is_marker(pg_flow_queue_type(flow, nth)))
		nth++;
	return nth;
}

/* The oldest message in that case, 0 for none. */
static uint8_t head_behind_doubt(const struct pg_flow *flow)
{
	uint32_t nth = queue_behind_doubt(flow);

	return nth < flow->count ? pg_flow_queue_type(flow, nth) : 0;
}

static void end_doubt(struct pg_flow *flow)
{
	flow->doubtful = 0;
	flow->doubt_open = false;
	flow->uncertain = flow->syncs_in_copy != 0;
}

/* ReadyForQuery: of a Sync that the COPY left unread, or of the oldest message in one story or the other. */
static struct pg_flow_answer ready_in_doubt(struct pg_flow *flow, uint8_t head, uint8_t status)
{
	bool left_unread = flow->syncs_in_copy != 0;
	bool discarded = flow->doubtful && head_behind_doubt(flow) == PG_FRONTEND_SYNC;
	struct pg_flow_answer answer = { .ours = head & PG_FLOW_OURS };

	if ((head & PG_FLOW_TYPE) == PG_FRONTEND_SYNC)
		return ready_for_query(flow, head, status); /* one of several that look the same: no matter which */
	if (discarded && !left_unread && is_status(status)) {
		uint32_t statements = pg_flow_queue_drop(flow, flow->doubtful);
		end_doubt(flow);
		answer = ready_for_query(flow, flow->queue[flow->head], status);
		answer.statements_dropped = statements;
		return answer;
	}
	if (!left_unread || !is_status(status))
		return bad_answer();
	/* It answers a Sync of the client's, whatever stands in the queue by now. */
	answer.ours = false;
	flow->syncs_in_copy--;
	if (discarded)
		flow->doubtful = queue_behind_doubt(flow) + 1;
	else
		end_doubt(flow);
	note_ready(flow, status);
	return answer;
}

/* Anything else decides: it belongs to the oldest message in one of the stories. */
static struct pg_flow_answer answer_in_doubt(struct pg_flow *flow, uint8_t head, uint8_t type)
{
	uint8_t other = flow->doubtful ? head_behind_doubt(flow) : 0;
	bool answered = head && may_come(flow, head, type);
	/* A Sync has nothing to commit after a COPY that failed: it does not fail. */
	bool discarded = other && other != PG_FRONTEND_SYNC && may_come(flow, other, type);
	uint32_t statements = 0;

	if (!head && type == PG_BACKEND_ERROR)
		return (struct pg_flow_answer){ .unsolicited = true };
	if (!answered && !discarded)
		return bad_answer();
	if (answered && discarded) {
		flow->lost = true;
		return (struct pg_flow_answer){ .ours = false };
	}
	if (discarded)
		statements = pg_flow_queue_drop(flow, flow->doubtful);
	flow->syncs_in_copy = 0;
	end_doubt(flow);
	struct pg_flow_answer answer = take_answer(flow, flow->queue[flow->head], type, 0);
	answer.statements_dropped += statements;
	return answer;
}

static __attribute__((noinline)) struct pg_flow_answer take_uncertain(struct pg_flow *flow, uint8_t head, uint8_t type,
								      uint8_t status)
{
	if (flow->lost)
		return (struct pg_flow_answer){ .bad = !may_ever_come(type) };
	if (is_asynchronous(type))
		return (struct pg_flow_answer){ .ours = false };
	/* The Query whose COPY failed comes to its own ReadyForQuery first. */
	if (flow->phase == PG_FLOW_FINISHED && type == PG_BACKEND_READY)
		return ready_for_query(flow, head, status);
	if (flow->phase == PG_FLOW_FINISHED)
		return (struct pg_flow_answer){ .ours = head & PG_FLOW_OURS, .bad = type != PG_BACKEND_ERROR };
	if (type == PG_BACKEND_READY)
		return ready_in_doubt(flow, head, status);
	return answer_in_doubt(flow, head, type);
}

struct pg_flow_answer pg_flow_server(struct pg_flow *flow, uint8_t type, uint8_t status)
{
	uint8_t head = flow->count ? flow->queue[flow->head] : 0;

	if (__builtin_expect(flow->uncertain, 0))
		return take_uncertain(flow, head, type, status);
	if (type == PG_BACKEND_DATA_ROW || type == PG_BACKEND_COPY_DATA)
		return (struct pg_flow_answer){ .ours = head & PG_FLOW_OURS, .bad = !may_come(flow, head, type) };
	return take_answer(flow, head, type, status);
}

/* ---- when the client has gone ---- */

const char *pg_flow_unwind(const struct pg_flow *flow)
{
	bool copy = flow->copy == PG_FLOW_COPY_IN || flow->copy == PG_FLOW_COPY_BOTH;
	/* What is doubtful to the end of the queue needs something behind it that is answered in any case. */
	bool sync = flow->batch_open || flow->skipping || (flow->doubtful && !head_behind_doubt(flow));

	if (flow->lost)
		return "";
	if (sync)
		return copy ? "fS" : "S";
	return copy ? "f" : "";
}
