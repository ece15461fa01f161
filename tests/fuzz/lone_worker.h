/*
 * All of pgweir in one thread: one worker or two, and what they need of the process, on loops that the caller turns. The
 * caller plays the clients and the servers at the other ends of real sockets.
 *
 *      lone_end  <== socketpair ==>  a client of a worker's
 *      lone_end  <== unix socket ==  a server of a worker's: it connects to us
 *
 * Time stands still but for lone_pass, and keys are derived on the spot: the binary is linked with the --wrap options that
 * the Makefile gives it. Nothing is logged.
 *
 * Every byte that the worker sends to either side must belong to a message of PostgreSQL's protocol; that is watched here.
 */
#ifndef TESTS_FUZZ_LONE_WORKER_H
#define TESTS_FUZZ_LONE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/process.h"
#include "pooler/worker.h"

#define LONE_WORKERS 2u
#define LONE_CLIENTS 3u
#define LONE_SERVERS 12u /* places; more that connect are turned away */
/* Of a message, as much is kept: all of an authentication's. */
#define LONE_BODY_BYTES 512u

/* What has come from the worker, message by message. */
struct lone_watch {
	uint8_t head[8];
	uint32_t head_bytes;
	uint32_t left;                     /* of the message under way */
	uint8_t body[LONE_BODY_BYTES + 1]; /* how it begins; and a NUL */
	uint32_t body_bytes;
	uint8_t type;         /* of the last whole message */
	bool startup;         /* the next message has no type byte */
	bool frames;          /* a whole frame has come */
	uint32_t counts[128]; /* of whole messages, by type */
};

struct lone_end {
	int fd;     /* -1: closed by us, or never open */
	bool deaf;  /* does not read for now */
	bool ended; /* the worker has closed its side */
	bool is_server;
	bool cancels;             /* a server's: it is a cancel request, not a session */
	bool mute;                /* a server's: answers nothing by itself */
	uint8_t status;           /* a server's: of its ReadyForQuery */
	uint8_t key[8];           /* a client's: the body of its BackendKeyData */
	const char *password;     /* a client's: it answers when it is asked for it. NULL: it says nothing by itself */
	struct lone_scram *scram; /* owned; an exchange under way */
	struct lone_watch watch;
};

/* How the servers want to know who comes, when they answer startup packets. */
enum lone_login { LONE_TRUST, LONE_PLAIN, LONE_MD5, LONE_SCRAM };
/* What they know of everybody's password. */
#define LONE_PASSWORD "secret"

struct lone {
	struct process process; /* without signals and a thread */
	struct worker workers[LONE_WORKERS];
	struct lone_end clients[LONE_CLIENTS];
	struct lone_end servers[LONE_SERVERS];
	int listen_fd; /* -1: connections are refused */
	bool logs_in;  /* the servers answer a startup packet as PostgreSQL would */
	bool answers;  /* and each request after that */
	enum lone_login login;
	unsigned server_count; /* that ever connected */
	unsigned stopped;      /* workers that have said that they have stopped */
	bool moved;            /* something has come in this turn */
};

/* Where the servers are, for a conninfo: an abstract unix socket of this process. */
const char *lone_host(void);
/* From a text in the form of a file; to be dropped. It must be good. */
struct config *lone_config(const char *text);

/* `config` is held for as long as it is open; its `workers` is 1 or 2. */
struct lone *lone_open(const struct config *config);
/* Both sides hang up, and time passes: then nothing may be left in the worker or in the pools. Frees everything. */
void lone_close(struct lone *lone);

/* A client connects in place `index`, to worker `index` or the only one; who was there hangs up first. NULL peer: one from
 * 127.0.0.1. */
struct lone_end *lone_connect(struct lone *lone, unsigned index, const struct peer *peer);
/* Sends what the socket takes; the rest is lost. Harmless on a closed end. */
void lone_say(struct lone_end *end, const void *data, size_t size);
void lone_say_buffer(struct lone_end *end, struct pg_buffer *out);
void lone_hang_up(struct lone_end *end);
/* Runs each loop once. */
void lone_run(struct lone *lone);
/* Runs the loops, and reads what comes out, until nothing moves any more. */
void lone_turn(struct lone *lone);
/* Time passes at once; then what is due by it happens. */
void lone_pass(struct lone *lone, uint64_t us);

/* From now on whatever the worker sends is taken in small pieces. */
void lone_narrow(struct lone *lone);

/* Called around each run of the loop; for who counts allocations. NULL: nobody. */
extern void (*lone_running)(bool running);

/* ---- inside lone_*.c ---- */

/* Whoever is asked for a password answers: a client with one, a server that wants one. */
void lone_client_asked(struct lone_end *end);
void lone_server_asks(struct lone *lone, struct lone_end *end);
/* True: the message was an answer of that kind, and it was right. */
bool lone_server_answered(struct lone *lone, struct lone_end *end);
void lone_scram_free(struct lone_scram *scram);

#endif
