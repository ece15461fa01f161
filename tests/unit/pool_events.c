#include "tests/unit/pool_events.h"

#include <stdlib.h>

bool world_chance(struct world *world, uint32_t percent)
{
	return world_random(world, 100) < percent;
}

uint64_t world_now(struct world *world, unsigned worker)
{
	if (world_chance(world, 60))
		world->now_us[worker] = world->clock_us;
	return world->now_us[worker];
}

static uint64_t soon(struct world *world, uint32_t within_ms)
{
	return world->clock_us + WORLD_MS * world_random(world, within_ms);
}

/* ---- servers ---- */

static void forget(struct world_server *server)
{
	struct pool_handle handle = server->handle;

	if (server->client) {
		server->client->server = NULL;
		server->client->is = CLIENT_QUIET;
	}
	*server = (struct world_server){ .is = SERVER_GONE };
	handle.generation++; /* whoever still has the old one finds nobody */
	server->handle = handle;
	server->member.handle = handle;
}

void world_fill(struct world *world)
{
	unsigned worker = world_random(world, world->workers);
	uint64_t now_us = world_now(world, worker);
	struct world_server *server = world_pick_server(world, SERVER_GONE);

	world_expect(world, server != NULL, "the world is too small");
	if (world_chance(world, world->failing ? 20 : 1)) {
		world->did[DID_UNRESERVE]++;
		world->reserved--;
		world_back_off(world, now_us);
		pool_unreserve(&world->pool, now_us);
		return;
	}
	server->handle.worker = (uint16_t)worker;
	server->handle.slot = (uint32_t)(server - world->servers);
	server->handle.generation++;
	server->member.handle = server->handle;
	server->epoch = world->epoch;
	server->is = SERVER_IN_LOGIN;
	server->ready_us = soon(world, world_chance(world, 10) ? 5000 : 50);
	world->reserved--;
	world->opened++;
	pool_attach(&world->pool, &server->member);
}

void world_remove(struct world *world, struct world_server *server, bool failed)
{
	uint64_t now_us = world_now(world, server->handle.worker);
	struct pool_member *member = &server->member;

	server->is = SERVER_GONE;
	if (failed) {
		world->did[DID_FAIL]++;
		world_back_off(world, now_us);
	}
	bool due = world_open_is_due(world, 0, false, now_us);
	world->closed++;
	world_expect(world, pool_remove(&world->pool, member, failed, now_us) == due, "an open after a remove");
	world->reserved += due;
	world->did[DID_OPEN_AFTER_REMOVE] += due;
	forget(server);
}

void world_begin_end(struct world *world, struct world_server *server)
{
	if (server->client) {
		server->client->server = NULL;
		server->client->is = CLIENT_QUIET;
		server->client = NULL;
	}
	server->is = SERVER_ENDS;
	server->ready_us = soon(world, 20);
}

static void serve(struct world_server *server, struct world_client *client)
{
	server->is = SERVER_WORKS;
	server->client = client;
	client->server = server;
	client->is = CLIENT_SERVED;
}

static void mail_server(struct world *world, struct world_server *server, const struct pool_handle *waiter)
{
	struct letter letter = { .kind = LETTER_SERVER, .server = server, .waiter = *waiter };

	server->is = SERVER_IN_MAIL;
	world_send(world, server->handle.worker, waiter->worker, &letter);
}

static void given(struct world *world, struct world_server *server, const struct pool_release *release)
{
	struct world_client *first = world_first_in_line(world);

	world_expect(world, first && !world->paused, "given to nobody");
	world_expect(world, world_find_client(world, &release->handle) == first, "not given to the oldest");
	bool own = server->handle.worker == first->waiter.handle.worker;
	world_expect(world, release->waiter == (own ? &first->waiter : NULL), "given in the wrong way");
	world->did[own ? DID_GIVE_OWN : DID_GIVE_OTHER]++;
	if (own) {
		serve(server, first);
	} else {
		first->is = CLIENT_EXPECTS;
		mail_server(world, server, &release->handle);
	}
}

void world_release(struct world *world, struct world_server *server)
{
	uint64_t now_us = world_now(world, server->handle.worker);

	if (server->is == SERVER_IN_LOGIN) {
		server->opened_us = now_us;
		world->failures = 0;
		world->retry_at_us = 0;
	}
	bool retire = world_must_retire(world, server, now_us);
	struct pool_release release = pool_release(&world->pool, &server->member, now_us);
	world_expect(world, (release.verdict == POOL_RETIRE) == retire, "retire");
	if (retire) {
		world->did[DID_RETIRE]++;
		world_begin_end(world, server);
	} else if (release.verdict == POOL_GIVE) {
		given(world, server, &release);
	} else {
		world_expect(world, world->paused || !world_first_in_line(world), "kept from somebody who waits");
		world->did[DID_KEEP]++;
		server->is = SERVER_RESTS;
		server->rested_us = now_us;
		server->rest_number = ++world->next_rest;
	}
}

/* ---- clients ---- */

static void taken(struct world *world, struct world_client *client, const struct pool_decision *decision,
		  const struct world_server *best)
{
	struct world_server *server;

	if (decision->answer == POOL_TAKE) {
		server = list_entry(decision->member, struct world_server, member);
		world_expect(world, server == best, "not the most recently used of its own");
		world->did[DID_TAKE]++;
		serve(server, client);
		return;
	}
	world_expect(world, decision->answer == POOL_ASK, "an idle member was left alone");
	server = world_find_server(world, &decision->handle);
	world_expect(world, server && server->is == SERVER_RESTS && server->epoch == world->epoch, "nobody to ask");
	world_expect(world, best->handle.worker != client->waiter.handle.worker, "asked instead of taken");
	world_expect(world, world_equally_idle(best, server), "not the most recently used of the others");
	world->did[DID_ASK]++;
	server->is = SERVER_ASKED;
	client->is = CLIENT_EXPECTS;
	struct letter letter = { .kind = LETTER_ASK, .member = decision->handle, .waiter = client->waiter.handle };
	world_send(world, client->waiter.handle.worker, decision->handle.worker, &letter);
}

void world_request(struct world *world, struct world_client *client, bool again)
{
	unsigned worker = client->waiter.handle.worker;
	uint64_t now_us = world_now(world, worker), since_us = client->waiter.since_us;

	client->is = CLIENT_QUIET;
	if (!again)
		client->turn = ++world->next_turn;
	const struct world_client *first = world_first_in_line(world);
	bool is_next = !world->paused && (!first || first->turn > client->turn);
	const struct world_server *best = is_next ? world_best_idle(world, worker) : NULL;
	bool due = world_open_is_due(world, 1, false, now_us);
	struct pool_decision decision = again ? pool_acquire_again(&world->pool, &client->waiter, now_us)
					      : pool_acquire(&world->pool, &client->waiter, now_us);
	world_expect(world, client->waiter.since_us == (again ? since_us : now_us), "since when it waits");
	if (best) {
		taken(world, client, &decision, best);
		return;
	}
	world_expect(world, decision.answer == (due ? POOL_OPEN : POOL_WAIT), "whether another is opened");
	world->did[due ? DID_OPEN : DID_WAIT]++;
	world->did[DID_REQUEUE] += again;
	world->did[DID_REQUEUE_BEHIND] += again && first && first->turn < client->turn;
	client->is = CLIENT_IN_LINE;
	world->reserved += due;
}

void world_leave(struct world *world, struct world_client *client)
{
	world->did[DID_LEAVE_CLAIMED] += client->is == CLIENT_EXPECTS;
	if (client->server)
		client->server->client = NULL; /* and cleans up */
	client->server = NULL;
	client->is = CLIENT_QUIET;
	pool_leave(&world->pool, &client->waiter);
	if (world_chance(world, 50))
		client->waiter.handle.generation++;
}

/* ---- letters ---- */

static void deliver_ask(struct world *world, unsigned worker, struct letter *letter)
{
	struct world_server *server = world_find_server(world, &letter->member);

	if (server && server->is == SERVER_ASKED) {
		mail_server(world, server, &letter->waiter);
		return;
	}
	world->did[DID_LOSE_CLAIM]++;
	letter->kind = LETTER_LOST;
	world_send(world, worker, letter->waiter.worker, letter);
}

static void deliver_dead(struct world *world, struct world_server *server, struct world_client *client)
{
	bool remove_first = world_chance(world, 50);

	world->did[DID_LOSE_CLAIM]++;
	server->is = SERVER_WORKS;
	if (remove_first)
		world_remove(world, server, false);
	if (client)
		world_request(world, client, true);
	if (!remove_first)
		world_remove(world, server, false);
}

static void deliver_server(struct world *world, unsigned worker, const struct letter *letter)
{
	struct world_server *server = letter->server;
	struct world_client *client = world_find_client(world, &letter->waiter);

	server->handle.worker = (uint16_t)worker;
	server->handle.generation++;
	pool_moved(&world->pool, &server->member, server->handle);
	if (client && client->is != CLIENT_EXPECTS)
		client = NULL;
	if (server->dead) {
		deliver_dead(world, server, client);
		return;
	}
	server->is = SERVER_WORKS;
	if (client) {
		pool_arrived(&world->pool, &client->waiter);
		serve(server, client);
		return;
	}
	world->did[DID_FIND_NOBODY]++;
	world_release(world, server);
}

static void deliver_lost(struct world *world, const struct letter *letter)
{
	struct world_client *client = world_find_client(world, &letter->waiter);

	if (client && client->is == CLIENT_EXPECTS)
		world_request(world, client, true);
}

bool world_deliver(struct world *world)
{
	uint32_t start = world_random(world, WORLD_SENDERS * world->workers);

	for (uint32_t i = 0; i < WORLD_SENDERS * world->workers; i++) {
		uint32_t pair = (start + i) % (WORLD_SENDERS * world->workers);
		unsigned worker = pair % world->workers;
		struct list *node = list_pop(&world->mail[pair / world->workers][worker]);
		if (!node)
			continue;
		struct letter *letter = list_entry(node, struct letter, node);
		if (letter->kind == LETTER_ASK)
			deliver_ask(world, worker, letter);
		else if (letter->kind == LETTER_SERVER)
			deliver_server(world, worker, letter);
		else
			deliver_lost(world, letter);
		free(letter);
		return true;
	}
	return false;
}
