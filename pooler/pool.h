/*
 * One pool: the server connections of one (database, server user), and the line of those who wait for one.
 *
 * It decides and does no I/O. Time comes in as an argument (monotonic microseconds), so that its whole life can run in
 * a simulation. Members and waiters are embedded in the servers and clients of the callers; each belongs to the worker
 * in its handle, and only that worker frees it, after it left the pool.
 *
 *                 pool_acquire                           pool_release
 *      waiter -----> TAKE  an idle member, now busy       busy or opening --> GIVE    to the oldest waiter, now busy
 *                    ASK   another worker for its idle                        KEEP    idle
 *                          member, claimed for the waiter                     RETIRE  closing: close it
 *                    OPEN  queued, and a place is reserved
 *                    WAIT  queued
 *
 * The invariants, checked by the simulation after every step:
 *  - opening + idle + busy + closing <= size (but for members that were there when the size was lowered);
 *  - nobody waits while an idle member could serve him, unless the pool is paused;
 *  - first come, first served over all workers;
 *  - nobody is lost: whoever waits is served, leaves by himself, or another open is due;
 *  - the counters equal what is there.
 *
 * A closing member keeps its place until pool_remove: the server process may live a little longer than our descriptor,
 * and the bound speaks of what PostgreSQL sees.
 *
 * A claim pairs a member with a waiter of another worker: the member is busy and on its way, the waiter stands in no
 * line. Either end may break it. When the waiter leaves, the member arrives, finds nobody, and is released by the
 * worker where it arrived. When the member is lost, its worker removes it and writes to the waiter's worker, which
 * calls pool_acquire_again. A waiter that left and asks again may be claimed for another member while the first still
 * travels: whichever member comes first is its own, the other finds nobody. So a worker must not use an idle member of
 * its own but through pool_acquire: it may have been claimed already.
 *
 * What becomes possible by time or by the administrator (the end of a back-off, a raised size, a resume) is told to
 * nobody: pool_open_due and pool_reap must be asked every now and then.
 *
 * Threads: every function takes pool->lock itself, for list operations only. Handles are copied out, so that nobody
 * follows a pointer into another worker's memory. The clocks of workers may differ a little: a time in the future is
 * now. A call for a member or waiter in a place where it cannot be is a broken invariant and asserts.
 *
 * Source: Go's database/sql (DB.SetMaxOpenConns and friends), HikariCP, PgBouncer's pool settings.
 */
#ifndef POOLER_POOL_H
#define POOLER_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pooler/list.h"
#include "pooler/pool_policy.h"

/* Names a client or a server across workers. A stale handle finds nobody: the generation has moved on. */
struct pool_handle {
	uint16_t worker;
	uint32_t slot;
	uint32_t generation;
};

enum pool_place {
	POOL_NOWHERE, /* not in the pool */
	POOL_OPENING,
	POOL_IDLE,
	POOL_BUSY, /* serves a client, cleans up after one, is claimed for one or on its way to one */
	POOL_CLOSING,
};

struct pool_member {
	struct list node;          /* shared: pool->lock; while it is idle */
	struct pool_handle handle; /* set by the owner before pool_attach */
	enum pool_place place;     /* shared: pool->lock */
	uint32_t epoch;            /* shared: pool->lock */
	uint64_t opened_us;        /* end of its login; set by its first pool_release */
	uint64_t idle_since_us;    /* shared: pool->lock */
};

enum pool_waiting {
	POOL_NOT_WAITING,
	POOL_QUEUED,
	POOL_CLAIMED, /* a member is on its way to it */
};

struct pool_waiter {
	struct list node;          /* shared: pool->lock */
	struct pool_handle handle; /* set by the owner before its first pool_acquire */
	/* Written under pool->lock; the owner may read it without. Any worker may turn QUEUED into CLAIMED at any
	 * moment; every other change is made by a call of the owner's. */
	_Atomic enum pool_waiting waiting;
	uint64_t since_us; /* when it asked; kept over a requeue */
	uint64_t turn;     /* shared: pool->lock; its number in the order of asking; kept over a requeue */
};

struct pool_counts {
	uint32_t opening; /* in login, and the places reserved for more */
	uint32_t idle, busy, closing;
	uint32_t waiting;        /* in line; who is claimed is not */
	uint32_t outdated;       /* members of an older epoch, in whatever place */
	uint32_t size;           /* the policy's */
	uint64_t oldest_wait_us; /* since when the first in line waits; 0: nobody */
};

struct pool {
	pthread_mutex_t lock;
	struct pool_policy policy;          /* shared: lock */
	struct list waiters;                /* shared: lock; oldest first */
	struct list idle[POOL_WORKERS_MAX]; /* shared: lock; a stack per worker, most recently used first */
	struct pool_counts counts;          /* shared: lock; size and oldest_wait_us are filled by pool_count */
	uint32_t reserved;                  /* shared: lock; of counts.opening: not attached yet */
	uint32_t epoch;                     /* shared: lock; members of an older one are retired */
	uint64_t next_turn;                 /* shared: lock; of the next waiter */
	uint32_t failures;                  /* shared: lock; attempts to open that failed in a row */
	uint64_t retry_at_us;               /* shared: lock; no attempt before */
	bool paused;                        /* shared: lock; nobody is served */
};

void pool_init(struct pool *pool, const struct pool_policy *policy);
/* The pool must be empty. */
void pool_clear(struct pool *pool);
/* Idle members over a lowered size leave through pool_reap, busy ones at their release. After a raised size opens may
 * be due: pool_open_due. */
void pool_set_policy(struct pool *pool, const struct pool_policy *policy);

enum pool_answer {
	POOL_TAKE, /* decision.member is the caller's */
	POOL_ASK,  /* the waiter is claimed: mail decision.handle.worker to send that member here */
	POOL_OPEN, /* the waiter is queued and a place reserved: open a server and pool_attach it */
	POOL_WAIT, /* the waiter is queued */
};

struct pool_decision {
	enum pool_answer answer;
	struct pool_member *member; /* POOL_TAKE */
	struct pool_handle handle;  /* POOL_ASK: of the member */
};

/* One client wants a server. An idle member is taken from the waiter's own worker, the most recently used first, else
 * the most recently used one of the others is asked for; one of an older epoch serves nobody any more. OPEN: fewer are
 * being opened than wait, the bound has room and no back-off runs. */
struct pool_decision pool_acquire(struct pool *pool, struct pool_waiter *waiter, uint64_t now_us);

/* A claimed waiter whose member was lost on the way: back to the head of the line (behind those only who asked before
 * it and lost theirs too), or served again at once. Same answers as pool_acquire; since_us stays. */
struct pool_decision pool_acquire_again(struct pool *pool, struct pool_waiter *waiter, uint64_t now_us);

/* The waiter leaves the line or its claim. A member that is already on its way finds nobody and is released by its
 * finder. Harmless when not waiting. */
void pool_leave(struct pool *pool, struct pool_waiter *waiter);

/* A claimed member has arrived at its waiter, which waits no more. */
void pool_arrived(struct pool *pool, struct pool_waiter *waiter);

/* Fills the place that OPEN, pool_remove or pool_open_due reserved; the member is opening. */
void pool_attach(struct pool *pool, struct pool_member *member);

/* The reserved place will not be filled: the server could not even be created. Counts as a failed open. */
void pool_unreserve(struct pool *pool, uint64_t now_us);

enum pool_verdict { POOL_GIVE, POOL_KEEP, POOL_RETIRE };

struct pool_release {
	enum pool_verdict verdict;
	struct pool_waiter *waiter; /* GIVE to the member's own worker, else NULL */
	struct pool_handle handle;  /* GIVE: of the waiter; to another worker the member must be mailed */
};

/* A busy member is free, or an opening one is ready: its first release ends the login, the failures in a row and the
 * back-off. RETIRE: it is older than the lifetime, of an older epoch, or over the size. */
struct pool_release pool_release(struct pool *pool, struct pool_member *member, uint64_t now_us);

/* The busy member moved: it belongs to another worker from now on. Called by the new owner, with its new handle. */
void pool_moved(struct pool *pool, struct pool_member *member, struct pool_handle handle);

/* The member will be closed but its server process may still be there: it keeps its place. From idle, busy or
 * opening. A member that was idle and has been claimed meanwhile leaves too: its claim finds nobody. */
void pool_retire(struct pool *pool, struct pool_member *member);

/* The member is gone, from whatever place. `failed`: its login did not succeed, so attempts back off; attempts that
 * were under way together and fail during the back-off are one failure. True: another open is due for somebody who
 * waits, and reserved; the caller opens it. */
bool pool_remove(struct pool *pool, struct pool_member *member, bool failed, uint64_t now_us);

/* The next idle member of `worker` whose time has come (idle, age, epoch, size); now closing, the caller closes it. The
 * idle time-out leaves min_size alone. NULL: none. */
struct pool_member *pool_reap(struct pool *pool, unsigned worker, uint64_t now_us);

/* True: an open is due (somebody waits and the back-off is over, or fewer than min_size are there) and reserved: open
 * one, and ask again. `warm`: min_size counts (the caller knows whom to log in as). `worker` is where the first in line
 * waits, or unchanged. */
bool pool_open_due(struct pool *pool, bool warm, uint64_t now_us, uint16_t *worker);

/* An idle member and the first in line, both claimed: mail the member's worker to send it there. False: no such pair.
 * Call it until false after a resume or a raised size. */
bool pool_match(struct pool *pool, struct pool_handle *member, struct pool_handle *waiter);

void pool_pause(struct pool *pool);
void pool_resume(struct pool *pool);
/* All members of today are retired once free: RECONNECT, or a changed address. What failed so far tells nothing about
 * the new ones: the back-off ends. */
void pool_renew(struct pool *pool);

struct pool_counts pool_count(struct pool *pool);
/* The member is in the pool and of an older epoch: it goes as soon as it is free. */
bool pool_is_outdated(struct pool *pool, const struct pool_member *member);

#endif
