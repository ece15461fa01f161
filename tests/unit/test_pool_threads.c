/*
 * The pool between real threads: four workers with loops and mailboxes, and a main thread that pauses and resumes.
 * Servers and clients are nothing but their places; a letter to oneself stands for the time that work takes.
 *
 * Who came first is judged from outside (tests/unit/overtakers). All atomics of the hot path are relaxed: they must not
 * give the pool an order that it does not have by itself (-fsanitize=thread).
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "pooler/mailbox.h"
#include "pooler/pool.h"
#include "pooler/thread.h"
#include "tests/unit/overtakers.h"

Suite *pool_threads_suite(void);

#define WORKERS 4
#define CLIENTS 8   /* of each worker */
#define TURNS 10000 /* of each client */
#define SIZE 8
#define SLOTS (2 * SIZE) /* one too many must be noticed, not fatal */
#define CLIENT_DONE (UINT64_C(1) << 32)

struct server {
	struct pool_member member;
	atomic_bool in_use;
	bool rests;
};

struct client {
	struct pool_waiter waiter;
	struct service service;
	int turns;
};

struct worker {
	struct mailbox mailbox;
	struct ev_loop *loop;
	pthread_t thread;
	uint16_t index;
	uint32_t random, generation;
	struct client clients[CLIENTS];
	struct server *servers[SLOTS]; /* by slot */
	struct service *services;      /* owned */
	size_t service_count;
};

struct letter {
	struct mail mail;
	struct server *server;
	struct client *client;
	struct pool_handle member, waiter;
	struct interval served;
};

static struct pool pool;
static struct worker workers[WORKERS];
static atomic_uint_fast64_t ticks = 1;
/* Letters on their way, and CLIENT_DONE for each client that is not done: both at one look. */
static atomic_uint_fast64_t going;
static atomic_int there, there_most;
static atomic_bool ended, stuck, overfull, shared_use;

static uint64_t tick(void)
{
	return atomic_fetch_add_explicit(&ticks, 1, memory_order_relaxed);
}

static bool one_in(struct worker *worker, uint32_t chances)
{
	worker->random = worker->random * 1664525u + 1013904223u;
	return (worker->random >> 8) % chances == 0;
}

/* ---- letters ---- */

static void stop(void *owner, struct mail *mail)
{
	struct worker *worker = owner;

	free(mail);
	ev_break(worker->loop, EVBREAK_ALL);
}

static void stop_all(void)
{
	for (int i = 0; i < WORKERS; i++) {
		struct letter *letter = calloc(1, sizeof(*letter));
		letter->mail.deliver = stop;
		mailbox_send(&workers[i].mailbox, &letter->mail);
	}
	atomic_store(&ended, true);
}

/* Of clients or letters. When no letter is left nothing will ever happen again. */
static void less_going(uint64_t what)
{
	uint64_t left = atomic_fetch_sub_explicit(&going, what, memory_order_relaxed) - what;

	if (left % CLIENT_DONE)
		return;
	atomic_store(&stuck, left != 0);
	stop_all();
}

static void send_letter(uint16_t to, void (*deliver)(void *, struct mail *), const struct letter *letter)
{
	struct letter *copy = malloc(sizeof(*copy));

	*copy = *letter;
	copy->mail.deliver = deliver;
	atomic_fetch_add_explicit(&going, 1, memory_order_relaxed);
	mailbox_send(&workers[to].mailbox, &copy->mail);
}

static struct letter open_letter(struct mail *mail)
{
	struct letter letter = *(struct letter *)(void *)mail;

	free(mail);
	return letter;
}

static struct client *find_claimed(struct worker *worker, const struct pool_handle *waiter)
{
	struct client *client = &worker->clients[waiter->slot];

	return client->waiter.handle.generation == waiter->generation && client->waiter.waiting == POOL_CLAIMED ? client
														: NULL;
}

/* ---- servers ---- */

static void deliver_login(void *owner, struct mail *mail);
static void deliver_end_of_work(void *owner, struct mail *mail);
static void deliver_server(void *owner, struct mail *mail);

static void settle(struct worker *worker, struct server *server, struct pool_handle *handle)
{
	uint32_t slot = 0;

	while (worker->servers[slot])
		if (++slot == SLOTS)
			abort();
	worker->servers[slot] = server;
	*handle = (struct pool_handle){ worker->index, slot, ++worker->generation };
}

static void unsettle(struct worker *worker, struct server *server)
{
	worker->servers[server->member.handle.slot] = NULL;
	server->rests = false;
}

static void open_server(struct worker *worker)
{
	struct server *server = calloc(1, sizeof(*server));
	struct letter letter = { .server = server };

	settle(worker, server, &server->member.handle);
	pool_attach(&pool, &server->member);
	int now_there = atomic_fetch_add_explicit(&there, 1, memory_order_relaxed) + 1;
	if (now_there > SIZE)
		atomic_store(&overfull, true);
	if (now_there > atomic_load_explicit(&there_most, memory_order_relaxed))
		atomic_store_explicit(&there_most, now_there, memory_order_relaxed);
	send_letter(worker->index, deliver_login, &letter);
}

static void end_server(struct worker *worker, struct server *server)
{
	unsettle(worker, server);
	atomic_fetch_sub_explicit(&there, 1, memory_order_relaxed);
	bool due = pool_remove(&pool, &server->member, false, tick());
	free(server);
	if (due)
		open_server(worker);
}

static void work(struct worker *worker, struct server *server, struct client *client, const struct interval *served)
{
	struct letter letter = { .server = server, .client = client };

	if (atomic_exchange_explicit(&server->in_use, true, memory_order_relaxed))
		atomic_store(&shared_use, true);
	client->service.served = *served;
	worker->services[worker->service_count++] = client->service;
	send_letter(worker->index, deliver_end_of_work, &letter);
}

static void mail_server(struct worker *worker, struct server *server, struct letter *letter)
{
	unsettle(worker, server);
	letter->server = server;
	send_letter(letter->waiter.worker, deliver_server, letter);
}

static void give(struct worker *worker, struct server *server)
{
	struct interval served = { .before = tick() };
	struct pool_release release = pool_release(&pool, &server->member, served.before);
	struct letter letter = { .waiter = release.handle };

	served.after = tick();
	letter.served = served;
	if (release.verdict == POOL_RETIRE)
		end_server(worker, server);
	else if (release.verdict == POOL_KEEP)
		server->rests = true;
	else if (release.waiter)
		work(worker, server, list_entry(release.waiter, struct client, waiter), &served);
	else
		mail_server(worker, server, &letter);
}

/* An idle one dies, perhaps just when it has been claimed. */
static void kill_idle(struct worker *worker)
{
	for (int i = 0; i < SLOTS; i++)
		if (worker->servers[i] && worker->servers[i]->rests) {
			end_server(worker, worker->servers[i]);
			return;
		}
}

/* ---- clients ---- */

static void deliver_ask(void *owner, struct mail *mail);
static void deliver_leave(void *owner, struct mail *mail);

static void ask(struct worker *worker, struct client *client, bool again)
{
	struct interval asked = { .before = tick() };
	struct pool_decision decision = again ? pool_acquire_again(&pool, &client->waiter, asked.before)
					      : pool_acquire(&pool, &client->waiter, asked.before);
	asked.after = tick();
	struct letter letter = { .member = decision.handle, .waiter = client->waiter.handle, .served = asked };

	if (!again)
		client->service = (struct service){ .asked = asked };
	client->service.requeued = again;
	if (decision.answer == POOL_TAKE) {
		struct server *server = list_entry(decision.member, struct server, member);
		server->rests = false;
		work(worker, server, client, &asked);
	} else if (decision.answer == POOL_ASK) {
		send_letter(decision.handle.worker, deliver_ask, &letter);
	} else if (decision.answer == POOL_OPEN) {
		open_server(worker);
	}
	if (decision.answer != POOL_TAKE && one_in(worker, 16))
		send_letter(worker->index, deliver_leave, &letter);
}

static void next_turn(struct worker *worker, struct client *client)
{
	if (one_in(worker, 30))
		kill_idle(worker);
	if (client->turns++ < TURNS)
		ask(worker, client, false);
	else
		less_going(CLIENT_DONE);
}

static void deliver_leave(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct letter letter = open_letter(mail);
	struct client *client = &worker->clients[letter.waiter.slot];

	if (client->waiter.handle.generation == letter.waiter.generation &&
	    client->waiter.waiting != POOL_NOT_WAITING) {
		pool_leave(&pool, &client->waiter);
		client->waiter.handle.generation++;
		next_turn(worker, client);
	}
	less_going(1);
}

static void deliver_start(void *owner, struct mail *mail)
{
	struct worker *worker = owner;

	open_letter(mail);
	for (int i = 0; i < CLIENTS; i++)
		next_turn(worker, &worker->clients[i]);
	less_going(1);
}

static void deliver_login(void *owner, struct mail *mail)
{
	struct letter letter = open_letter(mail);

	give(owner, letter.server);
	less_going(1);
}

/* A client without a wish: now and then there are more servers than wishes. */
static void deliver_thought(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct letter letter = open_letter(mail);

	if (one_in(worker, 8))
		next_turn(worker, letter.client);
	else
		send_letter(worker->index, deliver_thought, &letter);
	less_going(1);
}

static void deliver_end_of_work(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct letter letter = open_letter(mail);

	atomic_store_explicit(&letter.server->in_use, false, memory_order_relaxed);
	if (one_in(worker, 50))
		end_server(worker, letter.server);
	else
		give(worker, letter.server);
	letter.client->waiter.handle.generation++;
	if (one_in(worker, 2))
		send_letter(worker->index, deliver_thought, &letter);
	else
		next_turn(worker, letter.client);
	less_going(1);
}

static void deliver_lost(void *owner, struct mail *mail)
{
	struct letter letter = open_letter(mail);
	struct client *client = find_claimed(owner, &letter.waiter);

	if (client)
		ask(owner, client, true);
	less_going(1);
}

static void deliver_ask(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct letter letter = open_letter(mail);
	struct server *server = worker->servers[letter.member.slot];

	if (server && (!server->rests || server->member.handle.generation != letter.member.generation))
		server = NULL;
	if (server && one_in(worker, 8)) {
		end_server(worker, server);
		server = NULL;
	}
	if (server)
		mail_server(worker, server, &letter);
	else
		send_letter(letter.waiter.worker, deliver_lost, &letter);
	less_going(1);
}

static void deliver_server(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct letter letter = open_letter(mail);
	struct client *client = find_claimed(worker, &letter.waiter);
	struct pool_handle handle;

	settle(worker, letter.server, &handle);
	pool_moved(&pool, &letter.server->member, handle);
	if (client) {
		pool_arrived(&pool, &client->waiter);
		work(worker, letter.server, client, &letter.served);
	} else {
		give(worker, letter.server);
	}
	less_going(1);
}

/* ---- the main thread ---- */

static void deliver_open(void *owner, struct mail *mail)
{
	open_letter(mail);
	open_server(owner);
	less_going(1);
}

static void resume(void)
{
	struct letter letter = { 0 };
	uint16_t worker = 0;

	pool_resume(&pool);
	for (;;) {
		letter.served.before = tick();
		if (!pool_match(&pool, &letter.member, &letter.waiter))
			break;
		letter.served.after = tick();
		send_letter(letter.member.worker, deliver_ask, &letter);
	}
	while (pool_open_due(&pool, false, tick(), &worker))
		send_letter(worker, deliver_open, &letter);
}

/* Until all are done. While nobody is served, the pause itself is what is going on. */
static void administrate(void)
{
	while (!atomic_load(&ended)) {
		struct pool_counts counts = pool_count(&pool);
		if (counts.opening + counts.idle + counts.busy + counts.closing > SIZE)
			atomic_store(&overfull, true);
		usleep(500);
		uint64_t before = atomic_fetch_add_explicit(&going, 1, memory_order_relaxed);
		if (before == 0)
			return; /* all had ended already */
		pool_pause(&pool);
		usleep(50);
		resume();
		less_going(1);
	}
}

static void *run(void *argument)
{
	struct worker *worker = argument;

	ev_run(worker->loop, 0);
	return NULL;
}

static void start(void)
{
	struct letter nothing = { 0 };

	atomic_store(&going, WORKERS * CLIENTS * CLIENT_DONE + 1);
	for (uint16_t i = 0; i < WORKERS; i++) {
		struct worker *worker = &workers[i];
		worker->index = i;
		worker->random = i;
		worker->loop = ev_loop_new(EVFLAG_AUTO);
		worker->services = malloc(CLIENTS * TURNS * sizeof(*worker->services));
		mailbox_init(&worker->mailbox, worker->loop, worker);
		for (uint32_t j = 0; j < CLIENTS; j++)
			worker->clients[j].waiter.handle = (struct pool_handle){ i, j, 1 };
	}
	for (int i = 0; i < WORKERS; i++) {
		ck_assert(thread_start(&workers[i].thread, run, &workers[i], "worker"));
		send_letter((uint16_t)i, deliver_start, &nothing);
	}
	less_going(1);
}

/* ---- the end of it ---- */

/* What rests at the end must be all that is there. */
static void end(void)
{
	struct pool_counts counts = pool_count(&pool);
	uint32_t resting = 0;

	ck_assert_uint_eq(counts.opening + counts.busy + counts.closing + counts.waiting, 0);
	ck_assert_int_eq((int)counts.idle, atomic_load(&there));
	for (int i = 0; i < WORKERS; i++) {
		for (int j = 0; j < SLOTS; j++)
			if (workers[i].servers[j]) {
				end_server(&workers[i], workers[i].servers[j]);
				resting++;
			}
		mailbox_clear(&workers[i].mailbox);
		ev_loop_destroy(workers[i].loop);
		free(workers[i].services);
	}
	ck_assert_uint_eq(resting, counts.idle);
	pool_clear(&pool);
}

static size_t count_all_overtakers(void)
{
	struct service *all = malloc(WORKERS * CLIENTS * TURNS * sizeof(*all));
	size_t count = 0;

	for (int i = 0; i < WORKERS; i++)
		for (size_t j = 0; j < workers[i].service_count; j++)
			all[count++] = workers[i].services[j];
	size_t overtakers = overtakers_count(all, count);
	free(all);
	return overtakers;
}

START_TEST(four_threads_share_in_order_and_within_the_bound)
{
	struct pool_policy policy = { .size = SIZE };
	size_t served = 0, requeued = 0;

	pool_init(&pool, &policy);
	start();
	administrate();
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		served += workers[i].service_count;
		for (size_t j = 0; j < workers[i].service_count; j++)
			requeued += workers[i].services[j].requeued;
	}
	ck_assert_msg(!atomic_load(&stuck), "somebody waits and nothing will serve him");
	ck_assert_msg(!atomic_load(&overfull), "more than the bound");
	ck_assert_msg(!atomic_load(&shared_use), "two used one server");
	ck_assert_int_eq(atomic_load(&there_most), SIZE);
	ck_assert_uint_gt(served, WORKERS * CLIENTS * TURNS / 2);
	ck_assert_uint_gt(requeued, 0);
	ck_assert_uint_eq(count_all_overtakers(), 0);
	end();
}
END_TEST

Suite *pool_threads_suite(void)
{
	Suite *suite = suite_create("pool_threads");
	TCase *threads = tcase_create("threads");

	tcase_add_test(threads, four_threads_share_in_order_and_within_the_bound);
	tcase_set_timeout(threads, 120);
	suite_add_tcase(suite, threads);
	return suite;
}
