/*
 * One client: connects, logs in, and runs its transactions one after the other, for ever or as many as it is told. When
 * its connection is closed, it comes back.
 *
 * Sessions belong to a crowd, which has what they share and tells them what to do. One thread, one epoll.
 */
#ifndef TESTS_BENCH_LOAD_SESSION_H
#define TESTS_BENCH_LOAD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/frame.h"

enum session_state {
	SESSION_CLOSED,
	SESSION_CONNECTING,
	SESSION_LOGIN,     /* until its first ReadyForQuery */
	SESSION_PREPARING, /* makes its prepared statement */
	SESSION_RESTING,   /* nothing asked */
	SESSION_BUSY,      /* in a transaction */
	SESSION_LEAKING,   /* opens a transaction */
	SESSION_HOLDING,   /* and never ends it */
};

/* What is kept of a message's body: enough for the code of an error and of an authentication request. */
#define SESSION_BODY_BYTES 256u

struct crowd;

struct session {
	struct crowd *crowd; /* borrowed */
	int fd;              /* -1: none */
	enum session_state state;
	bool leaks;      /* opens a transaction and never ends it */
	bool ready_once; /* has been logged in before */
	uint64_t transactions;
	uint64_t wanted_ns;            /* since when it wants its transaction, through all reconnects */
	struct pg_scram_client *scram; /* owned; NULL: not in the middle of a log-in by password */
	char sqlstate[6];              /* of the first error since the last request; "": none */

	/* The message that is being read. */
	uint8_t head[PG_FRAME_HEADER_BYTES];
	uint32_t head_bytes;
	uint32_t body_left;
	uint32_t body_bytes;
	uint8_t body[SESSION_BODY_BYTES];
};

/* Opens the connection; a failure is told to the crowd. */
void session_connect(struct session *session);
void session_event(struct session *session, uint32_t events);
/* From RESTING: the next transaction, or the leak. */
void session_begin(struct session *session, uint64_t now_ns);
/* Says good-bye and closes. */
void session_leave(struct session *session);
void session_close(struct session *session);

#endif
