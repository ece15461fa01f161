/*
 * One client: an application's connection to us.
 *
 *      STARTUP --> (TLS) --> AUTH --> IDLE <--> ACTIVE <-- WAITING        ... --> CLOSING
 *                              \        \--------------------^
 *                               \--> WAITING, ACTIVE (to learn what to welcome it with)
 *                               \--> CONSOLE
 *
 * An idle client holds no buffer. All functions: only in the thread of client->worker.
 */
#ifndef POOLER_CLIENT_H
#define POOLER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/kept.h"
#include "pooler/params.h"
#include "pooler/pools.h"
#include "pooler/resolver.h"
#include "pooler/stream.h"
#include "pooler/worker.h"
#include "protocol/build.h"

struct client_login;
struct server;

/* Where a client came from, in little room. */
struct peer {
	uint8_t bytes[16]; /* an IPv4 address in the first 4; for a unix socket unused */
	uint16_t port;
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
	uint32_t pid;   /* of the process at the other end of a unix socket; 0: unknown */
	uint32_t uid;
};

/* A request was refused by an error of ours, and what it consists of is being dropped. */
enum refused {
	REFUSED_NOTHING,
	REFUSED_REQUEST, /* all of it is still to come */
	REFUSED_BATCH,   /* up to its Sync */
};

struct client {
	struct stream stream;
	struct list node; /* in worker->client_states */
	struct worker *worker;
	struct server *server;      /* assigned by link.c only */
	struct shared_pool *shared; /* counted; NULL before login */
	struct pool_waiter waiter;
	const struct params *params; /* held; wanted in force */
	struct statement *unnamed;   /* held; its unnamed statement */
	struct client_login *login;  /* owned; NULL after the welcome */
	char *user;                  /* owned */
	char *database;              /* owned: as the client named it */
	struct kept kept;
	uint32_t passing; /* bytes of the message under way that are still to come */
	uint32_t secret;  /* of its cancel key */
	enum client_state state;
	enum refused refused;
	uint8_t mode;           /* enum pool_mode */
	bool passing_dropped;   /* and they go nowhere: the message was refused, or means nothing here */
	bool held_back;         /* too much is unanswered: what it sent is kept until the server has caught up */
	bool unnamed_too_large; /* its unnamed statement lives only on its server: it keeps it */
	bool counted;           /* against max_client_conn */
	bool admin;             /* may use the console's commands */
	bool last_words;        /* what was sent last (a FATAL error) must reach the client before we close */
	bool console_busy;      /* the main thread works on its request */
	bool said_goodbye;      /* by Terminate: what it sent before is to be done */
	bool leaving;           /* it has hung up or must go; torn down at the end of the event */
	struct peer peer;
	uint64_t id;
	uint64_t connected_us; /* monotonic */
	uint64_t state_since_us;
	uint64_t query_since_us; /* 0: no query under way */
	uint64_t xact_since_us;  /* 0: no transaction under way */
};

/* Takes the descriptor; `event` is called for it. NULL: no memory; the descriptor is closed. Starts in STARTUP. */
struct client *client_create(struct worker *worker, int fd, const struct peer *peer, stream_event *event);
/* Closes it and gives back everything that it holds; the structure itself lives until client_bury. It must have no server,
 * no login and not be in line. */
void client_destroy(struct client *client);
/* Frees what client_destroy left, when no callback can hold it any more. */
void client_bury(struct worker *worker);

/* The only way to change the state; asserts that the move is allowed. */
void client_set_state(struct client *client, enum client_state state);
const char *client_state_name(enum client_state state);

/* Sends what was built; a failure shows in the stream. The buffer is emptied. */
void client_send(struct client *client, struct pg_buffer *out);
/* Sends an ErrorResponse: severity "ERROR" or "FATAL". detail and hint may be NULL. */
void client_send_error(struct client *client, const struct pg_report *report);
/* CLOSING: when all is sent, ends our direction, so that the client reads our last words before it sees the end. */
void client_linger(struct client *client);

void peer_from_address(struct peer *peer, const union address *address);
/* "127.0.0.1:50000", "[::1]:50000", "unix(4711)" */
void peer_print(const struct peer *peer, char *out, size_t out_bytes);
/* "app/joe@127.0.0.1:50000", for the log. `out` gets a NUL. */
void client_print(const struct client *client, char *out, size_t out_bytes);
#define CLIENT_PRINT_BYTES 220

#endif
