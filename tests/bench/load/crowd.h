/*
 * All clients of a run, and what was counted of them.
 */
#ifndef TESTS_BENCH_LOAD_CROWD_H
#define TESTS_BENCH_LOAD_CROWD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "protocol/buffer.h"
#include "tests/bench/load/histogram.h"
#include "tests/bench/load/password.h"
#include "tests/bench/load/script.h"
#include "tests/bench/load/session.h"

/* How many different SQLSTATEs are counted by name; others are counted together. */
#define CROWD_CODES 16u
#define CROWD_READ_BYTES 65536u

struct crowd_code {
	char sqlstate[6];
	uint64_t count;
};

/* What is counted; all zero at the beginning of the time that is measured. */
struct crowd_counts {
	uint64_t transactions;
	uint64_t errors; /* transactions that failed */
	uint64_t lost;   /* of these: the connection was closed without a word */
	uint64_t login_errors;
	uint64_t reconnects;
	uint64_t evicted; /* leakers that were thrown out */
	struct crowd_code codes[CROWD_CODES];
	struct histogram latency_ns;
};

struct crowd {
	int epoll;
	struct sockaddr_storage address;
	socklen_t address_bytes;
	struct script script;
	struct password password;
	struct pg_buffer startup; /* the first packet of each */
	struct pg_buffer out;     /* scratch */
	uint8_t read[CROWD_READ_BYTES];
	uint64_t random;

	struct session *sessions; /* owned */
	uint32_t count;           /* of sessions */
	uint32_t wanted;          /* the first so many shall be connected */
	uint32_t next;            /* the first that was not yet told to connect */
	uint32_t joining;         /* on their way in, of the first log-ins */
	uint32_t ready;           /* have logged in, ever */
	uint32_t finished;        /* have done all their transactions */
	bool running;             /* sessions that rest begin at once */
	bool reconnect;           /* after each transaction */
	bool together;            /* all begin at the same moment, and again when the last is done */
	uint32_t done;            /* of those who begin together */
	bool calm;                /* few at a time, and each has asked before the next comes: for idle clients */
	uint64_t limit;           /* transactions of each session; 0: no limit */
	struct crowd_counts counts;

	/* Those whose login failed, to be tried again when their time comes; a ring, in order. */
	struct session **later; /* owned */
	uint64_t *later_ns;     /* owned */
	uint32_t later_first, later_count;
};

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* xorshift64*: the same numbers in every run. */
static inline uint64_t crowd_random(struct crowd *crowd)
{
	crowd->random ^= crowd->random >> 12;
	crowd->random ^= crowd->random << 25;
	crowd->random ^= crowd->random >> 27;
	return (crowd->random * 2685821657736338717u) >> 16;
}

/* `host`: an IPv4 address, or the directory of a unix socket. Ends the program when something is missing. `crowd` is all
 * zero but for script, password and what says how they behave. */
void crowd_init(struct crowd *crowd, const char *host, uint16_t port, const char *user, const char *database,
		uint32_t count, uint32_t leakers);
void crowd_clear(struct crowd *crowd);

/* Asks for the first `wanted` sessions to be connected: a few at a time. */
void crowd_want(struct crowd *crowd, uint32_t wanted);
/* All that rest begin, and those that come to rest go on. */
void crowd_run(struct crowd *crowd);
/* Waits for events for at most `timeout_ms` and serves them. */
void crowd_serve(struct crowd *crowd, int timeout_ms);

/* Told by sessions. */
void crowd_session_ready(struct crowd *crowd, struct session *session, uint64_t now);
void crowd_session_done(struct crowd *crowd, struct session *session, uint64_t now);
/* HOLDING: it keeps its server from now on; else it could not open its transaction. */
void crowd_session_leaked(struct crowd *crowd, struct session *session, uint64_t now);
/* Its connection is closed; `state` is the one that it was in. */
void crowd_session_lost(struct crowd *crowd, struct session *session, enum session_state state);

#endif
