/*
 * The world of the pool's simulation: servers, clients and letters as plain state, a seeded generator, and a model of
 * what the pool must answer, which is computed from these objects alone.
 *
 * The model knows nothing of the pool's structures; world_check compares the two after every step.
 */
#ifndef TESTS_UNIT_POOL_WORLD_H
#define TESTS_UNIT_POOL_WORLD_H

#include "pooler/pool.h"

#define WORLD_WORKERS 4
#define WORLD_CLIENTS 40
#define WORLD_SERVERS 48
#define WORLD_SIZE_MAX 12
/* All times are whole milliseconds: what must happen at a moment is tried at that very moment too. */
#define WORLD_MS 1000ull
/* The letters of workers, and of the main thread. */
#define WORLD_SENDERS (WORLD_WORKERS + 1)
#define WORLD_MAIN WORLD_WORKERS

enum server_is {
	SERVER_GONE,
	SERVER_IN_LOGIN,
	SERVER_RESTS,
	SERVER_ASKED, /* rests, but is claimed: the letter that says so is on its way */
	SERVER_WORKS, /* for its client, or cleans up when it has none */
	SERVER_IN_MAIL,
	SERVER_ENDS,
};

struct world_server {
	struct pool_member member;
	enum server_is is;
	struct world_client *client;
	struct pool_handle handle; /* as the model knows it */
	uint32_t epoch;
	uint64_t ready_us; /* when its login, or its end, can be over */
	uint64_t opened_us;
	uint64_t rested_us;
	uint64_t rest_number; /* orders those that came to rest at the same time */
	bool dead;            /* died in the mail: nobody knows yet */
};

enum client_is {
	CLIENT_QUIET,
	CLIENT_IN_LINE,
	CLIENT_EXPECTS, /* claimed */
	CLIENT_SERVED,
};

struct world_client {
	struct pool_waiter waiter;
	enum client_is is;
	struct world_server *server;
	uint64_t turn;
};

enum letter_kind { LETTER_ASK, LETTER_SERVER, LETTER_LOST };

struct letter {
	struct list node;
	enum letter_kind kind;
	struct world_server *server; /* LETTER_SERVER */
	struct pool_handle member;   /* LETTER_ASK */
	struct pool_handle waiter;
};

/* What has happened, so that a simulation in which nothing did proves nothing. */
enum happened {
	DID_TAKE,
	DID_ASK,
	DID_OPEN,
	DID_WAIT,
	DID_GIVE_OWN,
	DID_GIVE_OTHER,
	DID_KEEP,
	DID_RETIRE,
	DID_REAP,
	DID_OPEN_AFTER_REMOVE,
	DID_OPEN_WHEN_DUE,
	DID_MATCH,
	DID_LOSE_CLAIM,
	DID_REQUEUE,
	DID_REQUEUE_BEHIND, /* another that lost its claim was before it */
	DID_FIND_NOBODY,
	DID_LEAVE_CLAIMED,
	DID_FAIL,
	DID_FAIL_TOGETHER,
	DID_UNRESERVE,
	DID_OVERSIZE,
	DID_END
};

struct world {
	struct pool pool;
	struct pool_policy policy;
	struct world_server servers[WORLD_SERVERS];
	struct world_client clients[WORLD_CLIENTS];
	struct list mail[WORLD_SENDERS][WORLD_WORKERS];
	unsigned workers, client_count;
	uint64_t clock_us;
	uint64_t now_us[WORLD_WORKERS]; /* each worker's own idea, a little behind */
	uint32_t reserved, epoch, failures, allowed;
	uint64_t retry_at_us, next_turn, next_rest;
	uint64_t opened, closed;
	uint32_t pressure;        /* how often clients come, against 750 other events */
	uint32_t letters_percent; /* how eagerly letters are delivered */
	bool paused, matching, failing;
	uint64_t random;
	uint64_t seed, step;
	uint64_t did[DID_END];
};

struct world_counts {
	uint32_t opening, idle, busy, closing, waiting;
	uint32_t there, living;
	uint32_t outdated;
};

void world_start(struct world *world, uint64_t seed);
/* Fails the test with seed and step unless `ok`. */
void world_expect(const struct world *world, bool ok, const char *what);
/* 0 .. below - 1 */
uint32_t world_random(struct world *world, uint32_t below);

struct world_client *world_find_client(struct world *world, const struct pool_handle *handle);
struct world_server *world_find_server(struct world *world, const struct pool_handle *handle);
/* Any one in that state, or NULL. */
struct world_client *world_pick_client(struct world *world, enum client_is is);
struct world_server *world_pick_server(struct world *world, enum server_is is);

void world_send(struct world *world, unsigned from, unsigned to, const struct letter *letter);

/* ---- the model ---- */

struct world_counts world_count(const struct world *world);
struct world_client *world_first_in_line(struct world *world);
/* The idle server that must serve a client of that worker; NULL: none. */
struct world_server *world_best_idle(struct world *world, unsigned worker);
/* Whether two servers are equally good where `best` was expected. */
bool world_equally_idle(const struct world_server *best, const struct world_server *other);
bool world_must_retire(const struct world *world, const struct world_server *server, uint64_t now_us);
bool world_must_reap(const struct world *world, const struct world_server *server, uint64_t now_us);
/* With `more` additional clients in line. */
bool world_open_is_due(const struct world *world, uint32_t more, bool warm, uint64_t now_us);
void world_back_off(struct world *world, uint64_t now_us);

/* All invariants. */
void world_check(struct world *world);

#endif
