/*
 * The queue of a struct pg_flow: one byte for each unanswered message of the client's, oldest first. The low seven bits are
 * the message's type, the top bit says that it is ours.
 *
 * Only for flow.c. Belongs to the thread that the flow belongs to.
 */
#ifndef PROTOCOL_FLOW_QUEUE_H
#define PROTOCOL_FLOW_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/flow.h"

#define PG_FLOW_OURS 0x80u
#define PG_FLOW_TYPE 0x7fu

static inline uint32_t pg_flow_queue_index(const struct pg_flow *flow, uint32_t nth)
{
	uint32_t index = flow->head + nth;

	return index < flow->capacity ? index : index - flow->capacity;
}

static inline uint8_t pg_flow_queue_type(const struct pg_flow *flow, uint32_t nth)
{
	return (uint8_t)(flow->queue[pg_flow_queue_index(flow, nth)] & PG_FLOW_TYPE);
}

/* Makes room for one more. False: no memory, or the bound is reached. */
bool pg_flow_queue_grow(struct pg_flow *flow);

/* False: it was not put. */
static inline bool pg_flow_queue_put(struct pg_flow *flow, uint8_t type, bool ours)
{
	if (__builtin_expect(flow->count == flow->capacity, 0) && !pg_flow_queue_grow(flow))
		return false;
	flow->queue[pg_flow_queue_index(flow, flow->count++)] = (uint8_t)(type | (ours ? PG_FLOW_OURS : 0));
	return true;
}

/* Forgets all, and gives the heap back. */
void pg_flow_queue_empty(struct pg_flow *flow);

/* Takes the `count` oldest, whatever became of them, and the markers behind them. */
void pg_flow_queue_take(struct pg_flow *flow, uint32_t count);

/* Takes the `count` oldest, which are never answered. Returns how many were Parse or Close. */
uint32_t pg_flow_queue_drop(struct pg_flow *flow, uint32_t count);

/* How many messages stand before the first Sync: all, when there is none. */
uint32_t pg_flow_queue_before_sync(const struct pg_flow *flow);

static inline bool pg_flow_owes_ready(uint8_t type)
{
	return type == PG_FRONTEND_QUERY || type == PG_FRONTEND_SYNC || type == PG_FRONTEND_FUNCTION_CALL;
}

/* CopyDone and CopyFail stand in the queue as markers for the COPY that a message before them may begin. They are never
 * answered, so a marker is never the oldest. */
static inline bool pg_flow_is_marker(uint8_t type)
{
	return type == PG_FRONTEND_COPY_DONE || type == PG_FRONTEND_COPY_FAIL;
}

#endif
