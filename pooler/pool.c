#include "pooler/pool.h"

#include <assert.h>
#include <stdatomic.h>

/* The first pause after a failed open. However short the policy wants it, there is one: an open that fails at once must
 * not be followed by another in the same call. */
#define RETRY_FIRST_US 100000ull
#define RETRY_LEAST_US 1000ull
#define RETRY_DOUBLINGS_MAX 30u

#define BIT(value) (1u << (value))

/* ---- places and waiting: the only setters ---- */

static uint32_t *count_of(struct pool *pool, enum pool_place place)
{
	switch (place) {
	case POOL_OPENING:
		return &pool->counts.opening;
	case POOL_IDLE:
		return &pool->counts.idle;
	case POOL_BUSY:
		return &pool->counts.busy;
	case POOL_CLOSING:
		return &pool->counts.closing;
	case POOL_NOWHERE:
		break;
	}
	return NULL;
}

static void set_place(struct pool *pool, struct pool_member *member, enum pool_place place)
{
	static const uint8_t moves[] = {
		[POOL_NOWHERE] = BIT(POOL_OPENING),
		[POOL_OPENING] = BIT(POOL_IDLE) | BIT(POOL_BUSY) | BIT(POOL_CLOSING) | BIT(POOL_NOWHERE),
		[POOL_IDLE] = BIT(POOL_BUSY) | BIT(POOL_CLOSING) | BIT(POOL_NOWHERE),
		[POOL_BUSY] = BIT(POOL_IDLE) | BIT(POOL_CLOSING) | BIT(POOL_NOWHERE),
		[POOL_CLOSING] = BIT(POOL_NOWHERE),
	};
	uint32_t *from = count_of(pool, member->place);
	uint32_t *to = count_of(pool, place);

	assert(moves[member->place] & BIT(place));
	if (from)
		--*from;
	if (to)
		++*to;
	else if (member->epoch != pool->epoch)
		pool->counts.outdated--;
	if (member->place == POOL_IDLE)
		list_remove(&member->node);
	if (place == POOL_IDLE)
		list_push(&pool->idle[member->handle.worker], &member->node);
	member->place = place;
}

/* A waiter that becomes QUEUED is put into the line by the caller, who knows where. */
static void set_waiting(struct pool *pool, struct pool_waiter *waiter, enum pool_waiting waiting)
{
	static const uint8_t moves[] = {
		[POOL_NOT_WAITING] = BIT(POOL_QUEUED) | BIT(POOL_CLAIMED),
		[POOL_QUEUED] = BIT(POOL_CLAIMED) | BIT(POOL_NOT_WAITING),
		[POOL_CLAIMED] = BIT(POOL_NOT_WAITING),
	};
	enum pool_waiting was = atomic_load_explicit(&waiter->waiting, memory_order_relaxed);

	assert(moves[was] & BIT(waiting));
	if (was == POOL_QUEUED) {
		pool->counts.waiting--;
		list_remove(&waiter->node);
	}
	atomic_store_explicit(&waiter->waiting, waiting, memory_order_relaxed);
}

/* ---- the line ---- */

static struct pool_waiter *first_waiter(const struct pool *pool)
{
	return list_is_empty(&pool->waiters) ? NULL : list_entry(pool->waiters.next, struct pool_waiter, node);
}

static bool is_first(const struct pool *pool, const struct pool_waiter *waiter)
{
	const struct pool_waiter *first = first_waiter(pool);

	return !first || waiter->turn < first->turn;
}

/* In the order of turns. A new one goes to the end; one that lost its claim was first once, so the walk from the front
 * passes only those who were before it and lost theirs too. */
static void enqueue(struct pool *pool, struct pool_waiter *waiter)
{
	struct list *next = &pool->waiters;

	if (waiter->turn + 1 != pool->next_turn)
		for (next = pool->waiters.next; next != &pool->waiters; next = next->next)
			if (list_entry(next, struct pool_waiter, node)->turn > waiter->turn)
				break;
	set_waiting(pool, waiter, POOL_QUEUED);
	pool->counts.waiting++;
	list_append(next, &waiter->node); /* before it */
}

/* ---- the idle ---- */

/* The most recently used of a worker. Members of an older epoch lie below all younger ones, since a release keeps only
 * those of today: when the top is old, all are. */
static struct pool_member *top_of_stack(const struct pool *pool, unsigned worker)
{
	const struct list *stack = &pool->idle[worker];

	if (list_is_empty(stack))
		return NULL;
	struct pool_member *top = list_entry(stack->next, struct pool_member, node);
	return top->epoch == pool->epoch ? top : NULL;
}

static struct pool_member *best_idle(const struct pool *pool, unsigned worker)
{
	struct pool_member *best = top_of_stack(pool, worker);

	if (best || !pool->counts.idle)
		return best;
	for (unsigned i = 0; i < POOL_WORKERS_MAX; i++) {
		struct pool_member *top = top_of_stack(pool, i);
		if (top && (!best || top->idle_since_us > best->idle_since_us))
			best = top;
	}
	return best;
}

static bool is_over(uint64_t limit_us, uint64_t since_us, uint64_t now_us)
{
	return limit_us && now_us > since_us && now_us - since_us >= limit_us;
}

/* Closing members have been told to go already: they must not make others go in their place. */
static bool is_oversized(const struct pool *pool)
{
	return pool->counts.opening + pool->counts.idle + pool->counts.busy > pool->policy.size;
}

static bool must_retire(const struct pool *pool, const struct pool_member *member, uint64_t now_us)
{
	return member->epoch != pool->epoch || is_oversized(pool) ||
	       is_over(pool->policy.lifetime_us, member->opened_us, now_us);
}

/* ---- opening ---- */

static bool can_open(const struct pool *pool, uint64_t now_us)
{
	const struct pool_counts *counts = &pool->counts;

	return !pool->paused && counts->opening + counts->idle + counts->busy + counts->closing < pool->policy.size &&
	       now_us >= pool->retry_at_us;
}

/* Reserves a place where somebody waits for whom none is being opened yet. */
static bool reserve_for_waiter(struct pool *pool, uint64_t now_us)
{
	if (pool->counts.waiting <= pool->counts.opening || !can_open(pool, now_us))
		return false;
	pool->reserved++;
	pool->counts.opening++;
	return true;
}

static void unreserve(struct pool *pool)
{
	assert(pool->reserved > 0);
	pool->reserved--;
	pool->counts.opening--;
}

static void end_back_off(struct pool *pool)
{
	pool->failures = 0;
	pool->retry_at_us = 0;
}

/* Twenty logins under way fail together when the server goes: that is one failure, or the pause would be the longest at
 * once. */
static void back_off(struct pool *pool, uint64_t now_us)
{
	if (now_us < pool->retry_at_us)
		return;
	uint32_t doublings = pool->failures < RETRY_DOUBLINGS_MAX ? pool->failures : RETRY_DOUBLINGS_MAX;
	uint64_t pause_us = RETRY_FIRST_US << doublings;
	if (pause_us > pool->policy.retry_us)
		pause_us = pool->policy.retry_us;
	if (pause_us < RETRY_LEAST_US)
		pause_us = RETRY_LEAST_US;
	pool->failures++;
	pool->retry_at_us = now_us + pause_us;
}

/* ---- life ---- */

void pool_init(struct pool *pool, const struct pool_policy *policy)
{
	*pool = (struct pool){ 0 };
	pthread_mutex_init(&pool->lock, NULL);
	list_init(&pool->waiters);
	for (unsigned i = 0; i < POOL_WORKERS_MAX; i++)
		list_init(&pool->idle[i]);
	pool_set_policy(pool, policy);
}

void pool_clear(struct pool *pool)
{
	const struct pool_counts *counts = &pool->counts;

	assert(counts->opening + counts->idle + counts->busy + counts->closing + counts->waiting == 0);
	pthread_mutex_destroy(&pool->lock);
}

void pool_set_policy(struct pool *pool, const struct pool_policy *policy)
{
	assert(policy->size >= 1 && policy->min_size <= policy->size);
	pthread_mutex_lock(&pool->lock);
	pool->policy = *policy;
	pthread_mutex_unlock(&pool->lock);
}

/* ---- waiters ---- */

static struct pool_decision hand_over(struct pool *pool, struct pool_member *member, struct pool_waiter *waiter)
{
	set_place(pool, member, POOL_BUSY);
	if (member->handle.worker == waiter->handle.worker)
		return (struct pool_decision){ .answer = POOL_TAKE, .member = member };
	set_waiting(pool, waiter, POOL_CLAIMED);
	return (struct pool_decision){ .answer = POOL_ASK, .handle = member->handle };
}

/* For a waiter that is not in line (any more) but has its turn. */
static struct pool_decision decide(struct pool *pool, struct pool_waiter *waiter, uint64_t now_us)
{
	if (!pool->paused && is_first(pool, waiter)) {
		struct pool_member *member = best_idle(pool, waiter->handle.worker);
		if (member)
			return hand_over(pool, member, waiter);
	}
	enqueue(pool, waiter);
	return (struct pool_decision){ .answer = reserve_for_waiter(pool, now_us) ? POOL_OPEN : POOL_WAIT };
}

struct pool_decision pool_acquire(struct pool *pool, struct pool_waiter *waiter, uint64_t now_us)
{
	pthread_mutex_lock(&pool->lock);
	assert(waiter->waiting == POOL_NOT_WAITING && waiter->handle.worker < POOL_WORKERS_MAX);
	waiter->since_us = now_us;
	waiter->turn = pool->next_turn++;
	struct pool_decision decision = decide(pool, waiter, now_us);
	pthread_mutex_unlock(&pool->lock);
	return decision;
}

struct pool_decision pool_acquire_again(struct pool *pool, struct pool_waiter *waiter, uint64_t now_us)
{
	pthread_mutex_lock(&pool->lock);
	assert(waiter->waiting == POOL_CLAIMED);
	set_waiting(pool, waiter, POOL_NOT_WAITING);
	struct pool_decision decision = decide(pool, waiter, now_us);
	pthread_mutex_unlock(&pool->lock);
	return decision;
}

void pool_leave(struct pool *pool, struct pool_waiter *waiter)
{
	pthread_mutex_lock(&pool->lock);
	if (waiter->waiting != POOL_NOT_WAITING)
		set_waiting(pool, waiter, POOL_NOT_WAITING);
	pthread_mutex_unlock(&pool->lock);
}

void pool_arrived(struct pool *pool, struct pool_waiter *waiter)
{
	pthread_mutex_lock(&pool->lock);
	assert(waiter->waiting == POOL_CLAIMED);
	set_waiting(pool, waiter, POOL_NOT_WAITING);
	pthread_mutex_unlock(&pool->lock);
}

/* ---- members ---- */

void pool_attach(struct pool *pool, struct pool_member *member)
{
	pthread_mutex_lock(&pool->lock);
	assert(member->place == POOL_NOWHERE && member->handle.worker < POOL_WORKERS_MAX);
	unreserve(pool);
	set_place(pool, member, POOL_OPENING);
	member->epoch = pool->epoch;
	pthread_mutex_unlock(&pool->lock);
}

void pool_unreserve(struct pool *pool, uint64_t now_us)
{
	pthread_mutex_lock(&pool->lock);
	unreserve(pool);
	back_off(pool, now_us);
	pthread_mutex_unlock(&pool->lock);
}

static struct pool_release give(struct pool *pool, struct pool_member *member, struct pool_waiter *waiter)
{
	struct pool_release release = { .verdict = POOL_GIVE, .handle = waiter->handle };

	if (member->place != POOL_BUSY)
		set_place(pool, member, POOL_BUSY);
	if (waiter->handle.worker == member->handle.worker) {
		set_waiting(pool, waiter, POOL_NOT_WAITING);
		release.waiter = waiter;
	} else {
		set_waiting(pool, waiter, POOL_CLAIMED);
	}
	return release;
}

static struct pool_release release_locked(struct pool *pool, struct pool_member *member, uint64_t now_us)
{
	assert(member->place == POOL_BUSY || member->place == POOL_OPENING);
	if (member->place == POOL_OPENING) {
		member->opened_us = now_us;
		end_back_off(pool);
	}
	if (must_retire(pool, member, now_us)) {
		set_place(pool, member, POOL_CLOSING);
		return (struct pool_release){ .verdict = POOL_RETIRE };
	}
	struct pool_waiter *waiter = pool->paused ? NULL : first_waiter(pool);
	if (waiter)
		return give(pool, member, waiter);
	member->idle_since_us = now_us;
	set_place(pool, member, POOL_IDLE);
	return (struct pool_release){ .verdict = POOL_KEEP };
}

struct pool_release pool_release(struct pool *pool, struct pool_member *member, uint64_t now_us)
{
	pthread_mutex_lock(&pool->lock);
	struct pool_release release = release_locked(pool, member, now_us);
	pthread_mutex_unlock(&pool->lock);
	return release;
}

void pool_moved(struct pool *pool, struct pool_member *member, struct pool_handle handle)
{
	pthread_mutex_lock(&pool->lock);
	assert(member->place == POOL_BUSY && handle.worker < POOL_WORKERS_MAX);
	member->handle = handle;
	pthread_mutex_unlock(&pool->lock);
}

void pool_retire(struct pool *pool, struct pool_member *member)
{
	pthread_mutex_lock(&pool->lock);
	set_place(pool, member, POOL_CLOSING);
	pthread_mutex_unlock(&pool->lock);
}

bool pool_remove(struct pool *pool, struct pool_member *member, bool failed, uint64_t now_us)
{
	pthread_mutex_lock(&pool->lock);
	set_place(pool, member, POOL_NOWHERE);
	if (failed)
		back_off(pool, now_us);
	bool due = reserve_for_waiter(pool, now_us);
	pthread_mutex_unlock(&pool->lock);
	return due;
}

/* ---- what time and the administrator bring ---- */

static bool is_idle_too_long(const struct pool *pool, const struct pool_member *member, uint64_t now_us)
{
	return pool->counts.idle + pool->counts.busy > pool->policy.min_size &&
	       is_over(pool->policy.idle_timeout_us, member->idle_since_us, now_us);
}

struct pool_member *pool_reap(struct pool *pool, unsigned worker, uint64_t now_us)
{
	struct pool_member *found = NULL;

	assert(worker < POOL_WORKERS_MAX);
	pthread_mutex_lock(&pool->lock);
	/* The least recently used first: of those over the size, the most useful ones stay. */
	for (struct list *it = pool->idle[worker].prev; it != &pool->idle[worker] && !found; it = it->prev) {
		struct pool_member *member = list_entry(it, struct pool_member, node);
		if (must_retire(pool, member, now_us) || is_idle_too_long(pool, member, now_us))
			found = member;
	}
	if (found)
		set_place(pool, found, POOL_CLOSING);
	pthread_mutex_unlock(&pool->lock);
	return found;
}

static bool reserve_for_minimum(struct pool *pool, uint64_t now_us)
{
	const struct pool_counts *counts = &pool->counts;

	if (counts->opening + counts->idle + counts->busy >= pool->policy.min_size || !can_open(pool, now_us))
		return false;
	pool->reserved++;
	pool->counts.opening++;
	return true;
}

bool pool_open_due(struct pool *pool, bool warm, uint64_t now_us, uint16_t *worker)
{
	pthread_mutex_lock(&pool->lock);
	const struct pool_waiter *first = first_waiter(pool);
	bool due = reserve_for_waiter(pool, now_us) || (warm && reserve_for_minimum(pool, now_us));
	if (due && first)
		*worker = first->handle.worker;
	pthread_mutex_unlock(&pool->lock);
	return due;
}

bool pool_match(struct pool *pool, struct pool_handle *member, struct pool_handle *waiter)
{
	pthread_mutex_lock(&pool->lock);
	struct pool_waiter *first = pool->paused ? NULL : first_waiter(pool);
	struct pool_member *idle = first ? best_idle(pool, first->handle.worker) : NULL;
	if (idle) {
		set_place(pool, idle, POOL_BUSY);
		set_waiting(pool, first, POOL_CLAIMED);
		*member = idle->handle;
		*waiter = first->handle;
	}
	pthread_mutex_unlock(&pool->lock);
	return idle != NULL;
}

void pool_pause(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->paused = true;
	pthread_mutex_unlock(&pool->lock);
}

void pool_resume(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->paused = false;
	pthread_mutex_unlock(&pool->lock);
}

void pool_renew(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->epoch++;
	pool->counts.outdated =
		pool->counts.opening - pool->reserved + pool->counts.idle + pool->counts.busy + pool->counts.closing;
	end_back_off(pool);
	pthread_mutex_unlock(&pool->lock);
}

struct pool_counts pool_count(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	struct pool_counts counts = pool->counts;
	const struct pool_waiter *first = first_waiter(pool);
	counts.size = pool->policy.size;
	counts.oldest_wait_us = first ? first->since_us : 0;
	pthread_mutex_unlock(&pool->lock);
	return counts;
}

bool pool_is_outdated(struct pool *pool, const struct pool_member *member)
{
	pthread_mutex_lock(&pool->lock);
	bool outdated = member->place != POOL_NOWHERE && member->epoch != pool->epoch;
	pthread_mutex_unlock(&pool->lock);
	return outdated;
}
