/*
 * The pool's whole life in a world without sockets: a virtual clock, workers whose letters come late, clients and
 * servers that go at any moment, logins that fail in bursts, reloads, pauses. Every answer is compared with the model's
 * (tests/unit/pool_world, pool_events), and after every step everything is counted again.
 *
 * PGWEIR_SEED runs one seed alone, as a failure prints it.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/pool_events.h"

Suite *pool_simulation_suite(void);

#define SEEDS 50
#define STEPS 40000
/* Virtual time in which everybody must have been served once nothing new comes. */
#define CALM_US (120ull * 1000000ull)

static struct world *running;

/* ---- what happens by itself ---- */

static void server_dies(struct world *world)
{
	static const enum server_is from[] = { SERVER_IN_LOGIN, SERVER_RESTS, SERVER_ASKED,
					       SERVER_WORKS,    SERVER_ENDS,  SERVER_IN_MAIL };
	struct world_server *server = world_pick_server(world, from[world_random(world, 6)]);

	if (!server)
		return;
	if (server->is == SERVER_IN_MAIL) {
		server->dead = true;
	} else if (server->is != SERVER_ENDS && world_chance(world, 40)) {
		pool_retire(&world->pool, &server->member);
		world_begin_end(world, server);
	} else {
		world_remove(world, server, server->is == SERVER_IN_LOGIN && world_chance(world, 50));
	}
}

/* PostgreSQL restarts. */
static void all_servers_die(struct world *world)
{
	for (unsigned i = 0; i < WORLD_SERVERS; i++) {
		struct world_server *server = &world->servers[i];
		if (server->is == SERVER_IN_MAIL)
			server->dead = true;
		else if (server->is != SERVER_GONE)
			world_remove(world, server, server->is == SERVER_IN_LOGIN);
	}
}

static void logins_end(struct world *world)
{
	struct world_server *server = world_pick_server(world, SERVER_IN_LOGIN);

	if (!server || server->ready_us > world->clock_us)
		return;
	if (world->failing)
		world_remove(world, server, true);
	else
		world_release(world, server);
}

static void ends_end(struct world *world)
{
	struct world_server *server = world_pick_server(world, SERVER_ENDS);

	if (server && server->ready_us <= world->clock_us)
		world_remove(world, server, false);
}

static void work_ends(struct world *world)
{
	struct world_server *server = world_pick_server(world, SERVER_WORKS);

	if (!server)
		return;
	if (server->client) {
		server->client->is = CLIENT_QUIET;
		server->client->server = NULL;
		server->client = NULL;
	}
	if (world_chance(world, 95)) /* else it cleans up for longer */
		world_release(world, server);
}

static void open_due(struct world *world, bool warm)
{
	uint64_t now_us = world_now(world, world_random(world, world->workers));
	struct world_client *first = world_first_in_line(world);

	for (;;) {
		uint16_t worker = WORLD_MAIN;
		bool due = world_open_is_due(world, 0, warm, now_us);
		world_expect(world, pool_open_due(&world->pool, warm, now_us, &worker) == due, "an open that is due");
		if (!due)
			return;
		world_expect(world, worker == (first ? first->waiter.handle.worker : WORLD_MAIN), "where it is due");
		world->did[DID_OPEN_WHEN_DUE]++;
		world->reserved++;
	}
}

static void reap(struct world *world, unsigned worker)
{
	uint64_t now_us = world_now(world, worker);
	struct pool_member *member;

	while ((member = pool_reap(&world->pool, worker, now_us))) {
		struct world_server *server = list_entry(member, struct world_server, member);
		world_expect(world, server->is == SERVER_RESTS && server->handle.worker == worker, "reaped a stranger");
		world_expect(world, world_must_reap(world, server, now_us), "reaped too early");
		world->did[DID_REAP]++;
		world_begin_end(world, server);
	}
	for (unsigned i = 0; i < WORLD_SERVERS; i++) {
		struct world_server *server = &world->servers[i];
		world_expect(world,
			     server->is != SERVER_RESTS || server->handle.worker != worker ||
				     !world_must_reap(world, server, now_us),
			     "one was not reaped");
	}
}

/* ---- what comes from outside ---- */

static void match(struct world *world)
{
	struct pool_handle member, waiter;
	struct world_client *first = world_first_in_line(world);
	struct world_server *best = first && !world->paused ? world_best_idle(world, first->waiter.handle.worker)
							    : NULL;

	world_expect(world, pool_match(&world->pool, &member, &waiter) == (best != NULL), "whether two match");
	if (!best) {
		world->matching = false;
		return;
	}
	struct world_server *server = world_find_server(world, &member);
	world_expect(world, server && server->is == SERVER_RESTS && server->epoch == world->epoch,
		     "matched a stranger");
	world_expect(world, world_equally_idle(best, server), "not the best was matched");
	world_expect(world, world_find_client(world, &waiter) == first, "not the oldest was matched");
	world->did[DID_MATCH]++;
	server->is = SERVER_ASKED;
	first->is = CLIENT_EXPECTS;
	struct letter letter = { .kind = LETTER_ASK, .member = member, .waiter = waiter };
	world_send(world, WORLD_MAIN, member.worker, &letter);
}

static void set_policy(struct world *world, const struct pool_policy *policy)
{
	struct world_counts counts = world_count(world);

	world->policy = *policy;
	world->allowed = counts.there > policy->size ? counts.there : policy->size;
	pool_set_policy(&world->pool, policy);
}

static void reload(struct world *world)
{
	struct pool_policy policy = { .size = 1 + world_random(world, WORLD_SIZE_MAX) };

	policy.min_size = world_chance(world, 50) ? world_random(world, policy.size + 1) : 0;
	policy.lifetime_us = world_chance(world, 50) ? WORLD_MS * (1 + world_random(world, 1000)) : 0;
	policy.idle_timeout_us = world_chance(world, 70) ? WORLD_MS * (1 + world_random(world, 300)) : 0;
	policy.retry_us = WORLD_MS * world_random(world, world_chance(world, 90) ? 400 : 3000);
	if (world_chance(world, 10))
		policy.retry_us = 0;
	set_policy(world, &policy);
}

static void resume(struct world *world)
{
	pool_resume(&world->pool);
	world->matching = world->matching || world->paused;
	world->paused = false;
}

static void renew(struct world *world)
{
	pool_renew(&world->pool);
	world->epoch++;
	world->failures = 0;
	world->retry_at_us = 0;
}

/* Reloads, pauses, and weather. */
static void change_course(struct world *world)
{
	uint32_t what = world_random(world, 100);

	if (world->paused && what < 50) {
		resume(world);
	} else if (world->failing && what < 50) {
		world->failing = false;
	} else if (what < 60) {
		reload(world);
	} else if (what < 70) {
		world->paused = true;
		world->matching = false;
		pool_pause(&world->pool);
	} else if (what < 76) {
		renew(world);
	} else if (what < 82) {
		all_servers_die(world);
	} else if (what < 92) {
		world->pressure = 20 + world_random(world, 230);
		world->letters_percent = 10 + world_random(world, 91);
	} else {
		world->failing = true;
	}
}

/* ---- the course of it ---- */

static void step(struct world *world)
{
	uint32_t what = world_random(world, 750 + world->pressure);
	struct world_client *client;

	if (what < 200) {
		work_ends(world);
	} else if (what < 420) {
		if (world_chance(world, world->letters_percent))
			world_deliver(world);
	} else if (what < 500) {
		logins_end(world);
	} else if (what < 550) {
		ends_end(world);
	} else if (what < 630) {
		world->clock_us += WORLD_MS * world_random(world, 10);
	} else if (what < 660) {
		if ((client = world_pick_client(world, (enum client_is)world_random(world, CLIENT_SERVED + 1))))
			world_leave(world, client);
	} else if (what < 680) {
		server_dies(world);
	} else if (what < 700) {
		reap(world, world_random(world, world->workers));
		open_due(world, world_chance(world, 70));
	} else if (what < 706) {
		change_course(world);
	} else if (world->reserved && what < 740) {
		world_fill(world);
	} else if ((world->matching || world->paused) && what < 750) {
		match(world);
	} else if ((client = world_pick_client(world, CLIENT_QUIET))) {
		world_request(world, client, false);
	}
}

static bool is_calm(struct world *world)
{
	for (unsigned i = 0; i < world->client_count; i++)
		if (world->clients[i].is != CLIENT_QUIET)
			return false;
	for (unsigned i = 0; i < WORLD_SERVERS; i++)
		if (world->servers[i].is != SERVER_GONE && world->servers[i].is != SERVER_RESTS)
			return false;
	return !world->reserved;
}

/* Time passes and what is under way ends; nothing new comes. */
static void calm_down(struct world *world)
{
	uint64_t limit_us = world->clock_us + CALM_US;

	do {
		world_expect(world, world->clock_us < limit_us, "somebody waits for ever");
		world->clock_us += 10 * WORLD_MS;
		while (world->reserved)
			world_fill(world);
		while (world_deliver(world))
			;
		for (unsigned i = 0; i < WORLD_SERVERS; i++) {
			logins_end(world);
			work_ends(world);
			ends_end(world);
		}
		for (unsigned i = 0; i < world->workers; i++)
			reap(world, i);
		match(world);
		open_due(world, false);
		world->step++;
		world_check(world);
	} while (!is_calm(world));
}

static void end(struct world *world)
{
	struct pool_policy nothing = { .size = 1 };

	world->failing = false;
	resume(world);
	calm_down(world);
	world_expect(world, world->opened == world->closed + world_count(world).idle, "opened = closed + idle");
	set_policy(world, &nothing);
	renew(world);
	calm_down(world);
	world_expect(world, world->opened == world->closed, "opened = closed");
	pool_clear(&world->pool);
}

/* An assertion of the pool's own must tell the seed as well. */
static void on_abort(int signal_number)
{
	char text[120];
	int bytes = snprintf(text, sizeof(text), "PGWEIR_SEED=%llu, step %llu: aborted\n",
			     (unsigned long long)running->seed, (unsigned long long)running->step);

	if (write(STDERR_FILENO, text, (size_t)bytes) < bytes)
		_exit(2);
	signal(signal_number, SIG_DFL);
}

static void run(struct world *world, uint64_t seed)
{
	world_start(world, seed);
	for (world->step = 1; world->step <= STEPS; world->step++) {
		step(world);
		world_check(world);
	}
	end(world);
}

START_TEST(a_million_random_steps_keep_every_promise)
{
	uint64_t did[DID_END] = { 0 };
	struct world *world = malloc(sizeof(*world));
	const char *only = getenv("PGWEIR_SEED");

	running = world;
	signal(SIGABRT, on_abort);
	for (uint64_t i = 1; i <= (only ? 1 : SEEDS); i++) {
		run(world, only ? strtoull(only, NULL, 0) : i);
		for (int j = 0; j < DID_END; j++)
			did[j] += world->did[j];
	}
	for (int i = 0; i < DID_END && !only; i++)
		ck_assert_msg(did[i] >= 50, "event %d happened only %llu times", i, (unsigned long long)did[i]);
	free(world);
}
END_TEST

Suite *pool_simulation_suite(void)
{
	Suite *suite = suite_create("pool_simulation");
	TCase *life = tcase_create("life");

	tcase_add_test(life, a_million_random_steps_keep_every_promise);
	tcase_set_timeout(life, 300);
	suite_add_tcase(suite, life);
	return suite;
}
