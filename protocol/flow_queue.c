#include "protocol/flow_queue.h"

#include <stdlib.h>

/* What the heap starts with: the next power of two that is worth the move from the inline queue. */
#define HEAP_FIRST 64u

void pg_flow_queue_empty(struct pg_flow *flow)
{
	if (flow->queue != flow->inline_queue)
		free(flow->queue);
	flow->queue = flow->inline_queue;
	flow->capacity = PG_FLOW_INLINE;
	flow->head = 0;
	flow->count = 0;
}

bool pg_flow_queue_grow(struct pg_flow *flow)
{
	uint32_t capacity = flow->queue == flow->inline_queue ? HEAP_FIRST : flow->capacity * 2;
	uint8_t *queue = capacity <= PG_FLOW_QUEUE_MAX ? malloc(capacity) : NULL;

	if (!queue)
		return false;
	for (uint32_t i = 0; i < flow->count; i++)
		queue[i] = flow->queue[pg_flow_queue_index(flow, i)];
	if (flow->queue != flow->inline_queue)
		free(flow->queue);
	flow->queue = queue;
	flow->capacity = capacity;
	flow->head = 0;
	return true;
}

void pg_flow_queue_take(struct pg_flow *flow, uint32_t count)
{
	while (count < flow->count && pg_flow_is_marker(pg_flow_queue_type(flow, count)))
		count++;
	if (count == flow->count) {
		pg_flow_queue_empty(flow);
	} else {
		flow->head = pg_flow_queue_index(flow, count);
		flow->count -= count;
	}
	flow->phase = PG_FLOW_BEGIN;
}

static bool is_statement(uint8_t type)
{
	return type == PG_FRONTEND_PARSE || type == PG_FRONTEND_CLOSE;
}

uint32_t pg_flow_queue_drop(struct pg_flow *flow, uint32_t count)
{
	uint32_t statements = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint8_t type = pg_flow_queue_type(flow, i);
		flow->ready_owed -= pg_flow_owes_ready(type);
		statements += is_statement(type);
	}
	pg_flow_queue_take(flow, count);
	return statements;
}

uint32_t pg_flow_queue_before_sync(const struct pg_flow *flow)
{
	uint32_t nth = 0;

	while (nth < flow->count && pg_flow_queue_type(flow, nth) != PG_FRONTEND_SYNC)
		nth++;
	return nth;
}
