/*
 * The tracker of a server's conversation, fed from both sides with any letters in any order. Its facts must always agree with
 * each other, and with a count of its own of what is in the queue.
 *
 * Each step of the input is one byte: its high bit is the direction, 0x40 says whose the message is (ours) or with which
 * status ReadyForQuery comes, the rest chooses the letter. 0xff stands for a run of many messages of the client's.
 */
#include "protocol/flow.h"
#include "tests/fuzz/fuzz.h"

#define FROM_SERVER 0x80u
#define MARKED 0x40u
#define RUN_OF_MANY 0xffu
#define RUN_MESSAGES 200u
/* A longer queue is not counted at every step. */
#define COUNTED_MAX 600u

static const char client_types[] = "QPBDECSHdcfFXp!";
static const char server_types[] = "123CDEGHINTVWZAScdnstRKv!";

struct tally {
	uint32_t ready;      /* messages that owe a ReadyForQuery */
	uint32_t statements; /* Parse and Close */
};

static uint8_t queued(const struct pg_flow *flow, uint32_t nth)
{
	return (uint8_t)(flow->queue[(flow->head + nth) % flow->capacity] & 0x7f);
}

static struct tally count_queue(const struct pg_flow *flow)
{
	struct tally tally = { 0, 0 };

	for (uint32_t i = 0; i < flow->count; i++) {
		uint8_t type = queued(flow, i);
		tally.ready += type == 'Q' || type == 'S' || type == 'F';
		tally.statements += type == 'P' || type == 'C';
	}
	return tally;
}

static void expect_sound(const struct pg_flow *flow)
{
	assert(flow->count <= flow->capacity && flow->capacity <= PG_FLOW_QUEUE_MAX && flow->head < flow->capacity);
	assert((flow->queue == flow->inline_queue) == (flow->capacity == PG_FLOW_INLINE));
	assert(flow->count > 0 || flow->queue == flow->inline_queue);
	assert(flow->count > COUNTED_MAX || flow->ready_owed == count_queue(flow).ready);
	assert(flow->doubtful <= flow->count);
	assert(flow->uncertain || (!flow->doubtful && !flow->doubt_open && !flow->lost));
	assert(flow->copy <= PG_FLOW_COPY_BOTH);
	assert(flow->count > 0 || (flow->phase == PG_FLOW_BEGIN && flow->copy == PG_FLOW_COPY_NONE && !flow->eaten));
	assert(strchr("ITE", flow->status));
	/* The oldest is a message that is answered, never a marker of a COPY's end. */
	assert(pg_flow_head(flow) != 'c' && pg_flow_head(flow) != 'f');
	assert(!pg_flow_is_free(flow) || (pg_flow_is_quiet(flow) && flow->count == 0 && flow->ready_owed == 0 &&
					  flow->status == PG_TRANSACTION_IDLE && !flow->syncs_in_copy));
	assert(!flow->lost || !pg_flow_is_free(flow));
}

static bool is_same(const struct pg_flow *a, const struct pg_flow *b)
{
	return a->count == b->count && a->ready_owed == b->ready_owed && a->syncs_in_copy == b->syncs_in_copy &&
	       a->doubtful == b->doubtful && a->copy == b->copy && a->phase == b->phase && a->status == b->status &&
	       a->batch_open == b->batch_open && a->skipping == b->skipping && a->uncertain == b->uncertain;
}

static void client_says(struct pg_flow *flow, uint8_t type, bool ours)
{
	struct pg_flow before = *flow;
	bool was_full = pg_flow_is_full(flow);
	enum pg_flow_sent sent = pg_flow_client(flow, type, ours);

	assert(flow->count <= before.count + 1);
	switch (sent) {
	case PG_FLOW_SENT:
		break;
	case PG_FLOW_SKIPPED:
		assert(before.skipping && type != 'S' && is_same(flow, &before));
		break;
	case PG_FLOW_FULL:
		assert(was_full && is_same(flow, &before));
		break;
	case PG_FLOW_BAD:
		assert(!strchr("QPBDECSHdcfF", type) && is_same(flow, &before));
		break;
	}
	expect_sound(flow);
}

/* True: the conversation can go on. */
static bool server_says(struct pg_flow *flow, uint8_t type, uint8_t status)
{
	bool counted = flow->count <= COUNTED_MAX;
	struct tally before = counted ? count_queue(flow) : (struct tally){ 0, 0 };
	struct pg_flow_answer answer = pg_flow_server(flow, type, status);
	struct tally after = counted ? count_queue(flow) : (struct tally){ 0, 0 };
	bool statement = answer.completed == 'P' || answer.completed == 'C';

	if (answer.bad)
		return false;
	assert(type != 'R' && type != 'K' && type != 'v' && type != '!');
	/* No Parse and no Close is forgotten: each is completed or told as dropped. */
	assert(!counted || before.statements == after.statements + statement + answer.statements_dropped);
	assert(after.ready <= before.ready);
	assert(!answer.unsolicited || type == 'E');
	assert(!answer.completed || type != 'E');
	expect_sound(flow);
	return true;
}

/* The client has gone: what the tracker wants sent can be sent, and then it waits for the server alone. */
static void unwind(struct pg_flow *flow)
{
	const char *types = pg_flow_unwind(flow);

	assert(strlen(types) <= 2);
	for (; *types; types++) {
		enum pg_flow_sent sent = pg_flow_client(flow, (uint8_t)*types, true);
		assert(sent == PG_FLOW_SENT || sent == PG_FLOW_FULL);
		if (sent == PG_FLOW_FULL)
			return;
		expect_sound(flow);
	}
	assert(!flow->batch_open || flow->lost);
	assert(!flow->skipping || flow->lost);
	if (!flow->uncertain)
		assert(*pg_flow_unwind(flow) == '\0');
	if (!pg_flow_is_quiet(flow) || flow->lost)
		return;
	/* A query of ours that goes well brings it to ReadyForQuery: then it is certain again, and free. */
	pg_flow_resync(flow);
	expect_sound(flow);
	assert(server_says(flow, 'I', 0));
	assert(server_says(flow, 'Z', 'I'));
	assert(pg_flow_is_free(flow));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices choices = { data, data + size };
	struct pg_flow flow;
	bool good = true;

	pg_flow_init(&flow);
	while (good && choices_left(&choices)) {
		uint8_t step = choose_byte(&choices);
		if (step == RUN_OF_MANY) {
			uint8_t type = (uint8_t)client_types[choose(&choices, sizeof(client_types) - 1)];
			for (unsigned i = 0; i < RUN_MESSAGES; i++)
				pg_flow_client(&flow, type, false);
			expect_sound(&flow);
		} else if (step & FROM_SERVER) {
			uint8_t type = (uint8_t)server_types[(step & 0x3f) % (sizeof(server_types) - 1)];
			uint8_t status = step & MARKED ? (uint8_t) "TEI?"[choose(&choices, 4)] : 'I';
			good = server_says(&flow, type, status);
		} else {
			uint8_t type = (uint8_t)client_types[(step & 0x3f) % (sizeof(client_types) - 1)];
			client_says(&flow, type, step & MARKED);
		}
	}
	if (good)
		unwind(&flow);
	pg_flow_clear(&flow);
	return 0;
}
