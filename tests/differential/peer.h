/*
 * A connection to PostgreSQL or to pgweir that never waits by itself: what came is parsed into a transcript, what is to be
 * sent is sent in pieces of a chosen size. Whoever owns it polls.
 */
#ifndef TESTS_DIFFERENTIAL_PEER_H
#define TESTS_DIFFERENTIAL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "tests/differential/random.h"
#include "tests/differential/transcript.h"

/* Where a client connects to. */
struct endpoint {
	const char *socket; /* borrowed: the directory of a unix socket; NULL: by TCP */
	uint16_t port;      /* TCP, too, is listened on there */
	const char *database;
	const char *user;
};

/* How what is sent is cut. */
enum cut {
	CUT_WHOLE,
	CUT_RANDOM,
	CUT_BYTES, /* one at a time; from the middle of what is very long, some hundred */
};

struct cutter {
	enum cut cut;
	struct random random;
};

struct peer {
	int fd; /* -1: there is none */
	bool ended;
	const char *problem; /* what the server said is no message; NULL: none */
	struct pg_buffer in;
	struct pg_buffer out;
	size_t sent; /* of out */
	struct transcript transcript;
	size_t seen; /* messages that were waited for */
	uint32_t process_id;
	uint8_t key[256];
	size_t key_bytes;
};

void peer_init(struct peer *peer);
/* Connects, and puts the startup packet into `out`. The transcript goes on if there is one. */
void peer_open(struct peer *peer, const struct endpoint *endpoint);
/* A parameter more in that packet. */
void peer_put_startup(struct peer *peer, const char *name, const char *value);
void peer_end_startup(struct peer *peer);
void peer_close(struct peer *peer);
/* Closes it and frees the transcript. */
void peer_clear(struct peer *peer);

/* Takes all that has come. */
void peer_receive(struct peer *peer);
/* Sends the next piece of `out`. False: the socket takes nothing now. A server that has hung up takes everything. */
bool peer_send(struct peer *peer, struct cutter *cutter);
static inline bool peer_has_output(const struct peer *peer)
{
	return peer->sent < peer->out.length;
}
/* The other end has taken all bytes out of the socket; only for unix sockets. */
bool peer_was_read(const struct peer *peer);

#endif
