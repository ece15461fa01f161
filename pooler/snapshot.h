/*
 * Copies of the facts about clients and servers, for the main thread to show: rows of plain values that outlive what they
 * were copied from.
 *
 * A worker copies SNAPSHOT_SLICE connections in one round of its loop, so that thousands of them do not hold it up. Nobody
 * is seen twice or missed but who comes or goes meanwhile; two rows may be some milliseconds apart. A server that is on its
 * way to another worker is in nobody's list and may be missing.
 *
 * Only in the main thread. Memory: one row for each connection, freed by snapshot_free.
 */
#ifndef POOLER_SNAPSHOT_H
#define POOLER_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/server.h"
#include "pooler/worker.h"
#include "protocol/message.h"

#define SNAPSHOT_SLICE 1024u

/* What a snapshot holds; the counts by state are always there. */
#define SNAPSHOT_CLIENTS (1u << 0)
#define SNAPSHOT_SERVERS (1u << 1)
#define SNAPSHOT_COUNTS (1u << 2)

typedef char snapshot_name[PG_NAME_BYTES_MAX + 1];

/* Times are monotonic, 0: none. */
struct client_row {
	uint64_t id;
	uint64_t pool_id;   /* shared_pool.id; 0: none yet, or the console */
	uint64_t server_id; /* its server's; 0: none */
	uint64_t connected_us;
	uint64_t state_since_us;
	uint64_t query_since_us;
	uint64_t xact_since_us;
	uint64_t waiting_since_us; /* in line for a server */
	snapshot_name user;        /* "" before it said who it is */
	snapshot_name database;
	snapshot_name application_name;
	struct peer peer;
	struct peer local;      /* our end */
	uint32_t kept_bytes;    /* received and not passed on yet */
	uint32_t passing_bytes; /* of the message under way, still to come */
	uint32_t backlog_start;
	uint32_t backlog_bytes; /* to be sent when the peer takes them */
	enum client_state state;
	uint8_t mode; /* enum pool_mode; of a client that has a pool */
	bool busy;    /* its state is CLIENT_CONSOLE and a request is under way */
};

struct server_row {
	uint64_t id;
	uint64_t pool_id;
	uint64_t client_id; /* its client's; 0: none */
	uint64_t created_us;
	uint64_t opened_us; /* end of its login; 0: still logging in */
	uint64_t state_since_us;
	uint64_t assigned_us; /* when its last client got it; 0: never */
	snapshot_name user;
	snapshot_name database;
	snapshot_name application_name; /* its client's */
	union address address;
	struct peer local;
	uint32_t kept_bytes;
	uint32_t passing_bytes;
	uint32_t backlog_start;
	uint32_t backlog_bytes;
	uint32_t process_id;
	uint32_t cancels; /* requests on their way to it */
	enum server_state state;
	bool close_needed; /* goes as soon as it is free */
};

struct snapshot {
	struct client_row *clients; /* owned */
	size_t client_count;
	struct server_row *servers; /* owned */
	size_t server_count;
	unsigned client_states[CLIENT_STATES];
	unsigned server_states[SERVER_STATES];
	size_t statement_bytes; /* texts of prepared statements */
	unsigned worker_count;
	uint64_t taken_us;
};

/* A wish of the caller's, in the caller's memory: it must live until `taken` is called or snapshot_forget. */
struct snapshot_wish {
	/* Takes the snapshot, and frees it; NULL: a worker did not answer in time, or memory was short. */
	void (*taken)(void *context, struct snapshot *snapshot);
	void *context;
	uint64_t question; /* set by snapshot_ask; 0: none under way */
};

/* `needs`: SNAPSHOT_... `taken` is called once, later. False: no memory, `taken` is not called. */
bool snapshot_ask(struct snapshot_wish *wish, struct crew *crew, unsigned needs);
/* `taken` is not called any more. Harmless when nothing is under way. */
void snapshot_forget(struct snapshot_wish *wish);
/* NULL is harmless. */
void snapshot_free(struct snapshot *snapshot);

#endif
