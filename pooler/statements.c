#include "pooler/statements.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/hash.h"

#define PENDING_FIRST_CAPACITY 16u

struct statement {
	UT_hash_handle hh;
	uint32_t holders;
	uint32_t bytes;
	uint8_t message[];
};

void statements_init(struct statements *statements)
{
	*statements = (struct statements){ 0 };
}

void statements_clear(struct statements *statements)
{
	assert(!statements->table);
}

struct statement *statement_intern(struct statements *statements, const uint8_t *message, size_t bytes)
{
	struct statement *found = NULL;

	HASH_FIND(hh, statements->table, message, bytes, found);
	if (found)
		return statement_hold(found);
	struct statement *made = calloc(1, sizeof(*made) + bytes);
	if (!made)
		return NULL;
	made->holders = 1;
	made->bytes = (uint32_t)bytes;
	memcpy(made->message, message, bytes);
	HASH_ADD_KEYPTR(hh, statements->table, made->message, bytes, made);
	if (!HASH_ADDED(made)) {
		free(made);
		return NULL;
	}
	statements->bytes += bytes;
	return made;
}

struct statement *statement_hold(struct statement *statement)
{
	statement->holders++;
	return statement;
}

void statement_drop(struct statements *statements, struct statement *statement)
{
	if (!statement || --statement->holders > 0)
		return;
	HASH_DEL(statements->table, statement);
	statements->bytes -= statement->bytes;
	free(statement);
}

const uint8_t *statement_message(const struct statement *statement, size_t *bytes)
{
	*bytes = statement->bytes;
	return statement->message;
}

/* Twice the room, the oldest entry first. */
static bool pending_grow(struct pending_queue *queue)
{
	uint32_t capacity = queue->capacity ? queue->capacity * 2 : PENDING_FIRST_CAPACITY;
	struct pending *entries = malloc(capacity * sizeof(*entries));

	if (!entries)
		return false;
	for (uint32_t i = 0; i < queue->count; i++)
		entries[i] = queue->entries[(queue->head + i) & (queue->capacity - 1)];
	free(queue->entries);
	queue->entries = entries;
	queue->capacity = capacity;
	queue->head = 0;
	return true;
}

bool pending_push(struct pending_queue *queue, struct pending entry)
{
	if (queue->count == queue->capacity && !pending_grow(queue))
		return false;
	queue->entries[(queue->head + queue->count) & (queue->capacity - 1)] = entry;
	queue->count++;
	return true;
}

struct pending pending_pop(struct pending_queue *queue)
{
	assert(queue->count > 0);
	struct pending entry = queue->entries[queue->head];
	queue->head = (queue->head + 1) & (queue->capacity - 1);
	queue->count--;
	return entry;
}

void pending_clear(struct pending_queue *queue, struct statements *statements)
{
	while (queue->count > 0) {
		struct pending entry = pending_pop(queue);
		statement_drop(statements, entry.statement);
	}
	free(queue->entries);
	*queue = (struct pending_queue){ 0 };
}
