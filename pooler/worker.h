/*
 * One worker: a thread, its loop, and the clients and servers that it owns.
 *
 * This is the state; what happens in it stands in worker_thread (start, letters, end), janitor (what is due by time), link
 * and relay (what moves bytes). A connection belongs to exactly one worker at a time and only that worker touches it.
 */
#ifndef POOLER_WORKER_H
#define POOLER_WORKER_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/handles.h"
#include "pooler/list.h"
#include "pooler/mailbox.h"
#include "pooler/settings.h"
#include "pooler/statements.h"

/* One read takes at most this. */
#define WORKER_READ_BYTES (64u * 1024u)
/* What may stand in front of a read: a message that is not complete and must not be cut. */
#define WORKER_KEPT_BYTES_MAX (128u * 1024u)

enum client_state {
	CLIENT_STARTUP, /* its first packet is on the way */
	CLIENT_TLS,     /* handshake */
	CLIENT_AUTH,    /* who it is, and what it is welcomed with */
	CLIENT_IDLE,    /* welcomed, nothing under way */
	CLIENT_WAITING, /* in line for a server */
	CLIENT_ACTIVE,  /* has a server */
	CLIENT_CONSOLE, /* talks to us, not to a database */
	CLIENT_CLOSING, /* its last bytes are going out */
	CLIENT_STATES
};

enum server_state {
	SERVER_CONNECTING, /* address, connect, login, connect_query */
	SERVER_IDLE,       /* in the pool */
	SERVER_ACTIVE,     /* has a client */
	SERVER_RESETTING,  /* its client has gone; being brought into a state for the next */
	SERVER_MOVING,     /* on its way to another worker; in nobody's list */
	SERVER_CLOSING,    /* we said goodbye and wait for the server process to end */
	SERVER_STATES
};

/* How a process ends. */
enum worker_stop {
	WORKER_RUNS,
	WORKER_WAITS_FOR_CLIENTS, /* until the last client has left by itself */
	WORKER_WAITS_FOR_SERVERS, /* transactions may end; then their clients are let go */
	WORKER_STOPS_NOW,
};

struct resolver;
struct worker;

/* What all workers and the main thread have in common. Written before the workers start. */
struct crew {
	struct worker *workers; /* owned by the process */
	unsigned worker_count;
	struct mailbox *main_mailbox; /* borrowed: longer than the workers */
	struct resolver *resolver;    /* borrowed: longer than the workers */
	atomic_uint session_count;    /* clients that count against max_client_conn */
	atomic_uint_fast64_t next_id; /* of clients and servers, for people */
	/* A server of a pool that is draining has come back or gone: whoever waits for that looks again. Any thread. */
	void (*member_returned)(struct crew *crew);
	uint64_t started_us;
};

struct worker {
	struct ev_loop *loop;
	struct mailbox mailbox;
	struct crew *crew; /* borrowed */
	uint16_t index;
	uint64_t now_us;             /* when the loop woke up last */
	const struct config *config; /* held */
	struct handles clients;
	struct handles servers;
	struct list client_states[CLIENT_STATES]; /* in the order in which they came into that state */
	struct list server_states[SERVER_STATES];
	unsigned client_counts[CLIENT_STATES];
	unsigned server_counts[SERVER_STATES];
	struct list dead_clients; /* freed when no callback can still hold them */
	struct list dead_servers;
	struct list cancels; /* requests on their way to a server */
	struct statements statements;
	enum worker_stop stop;
	bool stopped; /* said so to the main thread */
	ev_timer tick;
	pthread_t thread;
	uint8_t *input; /* owned: WORKER_KEPT_BYTES_MAX + WORKER_READ_BYTES */
};

#endif
