#include "tests/unit/pool_world.h"

#include <check.h>
#include <stdlib.h>

void world_expect(const struct world *world, bool ok, const char *what)
{
	/* Check's own macros write to a file for each success: too slow for millions. */
	if (!ok)
		ck_abort_msg("PGWEIR_SEED=%llu, step %llu: %s", (unsigned long long)world->seed,
			     (unsigned long long)world->step, what);
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
	return mixed ^ (mixed >> 31);
}

uint32_t world_random(struct world *world, uint32_t below)
{
	return (uint32_t)((next_random(&world->random) >> 32) * below >> 32);
}

void world_start(struct world *world, uint64_t seed)
{
	*world = (struct world){
		.seed = seed, .random = seed, .clock_us = 1000000, .pressure = 200, .letters_percent = 100
	};
	world->workers = 1 + world_random(world, WORLD_WORKERS);
	world->client_count = 2 + world_random(world, WORLD_CLIENTS - 1);
	world->policy = (struct pool_policy){ .size = 1 + world_random(world, WORLD_SIZE_MAX), .retry_us = 1500000 };
	world->allowed = world->policy.size;
	pool_init(&world->pool, &world->policy);
	for (unsigned from = 0; from < WORLD_SENDERS; from++)
		for (unsigned to = 0; to < WORLD_WORKERS; to++)
			list_init(&world->mail[from][to]);
	for (unsigned i = 0; i < WORLD_WORKERS; i++)
		world->now_us[i] = world->clock_us;
	for (unsigned i = 0; i < WORLD_CLIENTS; i++) {
		struct pool_handle handle = { (uint16_t)world_random(world, world->workers), i, 1 };
		world->clients[i].waiter.handle = handle;
	}
}

struct world_client *world_find_client(struct world *world, const struct pool_handle *handle)
{
	struct world_client *client = &world->clients[handle->slot];

	world_expect(world, handle->slot < WORLD_CLIENTS && handle->worker == client->waiter.handle.worker,
		     "a handle names no client");
	return client->waiter.handle.generation == handle->generation ? client : NULL;
}

struct world_server *world_find_server(struct world *world, const struct pool_handle *handle)
{
	struct world_server *server = &world->servers[handle->slot];

	world_expect(world, handle->slot < WORLD_SERVERS, "a handle names no server");
	return server->handle.generation == handle->generation ? server : NULL;
}

struct world_client *world_pick_client(struct world *world, enum client_is is)
{
	uint32_t start = world_random(world, world->client_count);

	for (uint32_t i = 0; i < world->client_count; i++) {
		struct world_client *client = &world->clients[(start + i) % world->client_count];
		if (client->is == is)
			return client;
	}
	return NULL;
}

struct world_server *world_pick_server(struct world *world, enum server_is is)
{
	uint32_t start = world_random(world, WORLD_SERVERS);

	for (uint32_t i = 0; i < WORLD_SERVERS; i++) {
		struct world_server *server = &world->servers[(start + i) % WORLD_SERVERS];
		if (server->is == is)
			return server;
	}
	return NULL;
}

void world_send(struct world *world, unsigned from, unsigned to, const struct letter *letter)
{
	struct letter *copy = malloc(sizeof(*copy));

	*copy = *letter;
	list_append(&world->mail[from][to], &copy->node);
}

/* ---- the model ---- */

struct world_counts world_count(const struct world *world)
{
	uint32_t is[SERVER_ENDS + 1] = { 0 };
	struct world_counts counts = { 0 };

	for (unsigned i = 0; i < WORLD_SERVERS; i++) {
		const struct world_server *server = &world->servers[i];
		is[server->is]++;
		counts.outdated += server->is != SERVER_GONE && server->epoch != world->epoch;
	}
	counts.opening = world->reserved + is[SERVER_IN_LOGIN];
	counts.idle = is[SERVER_RESTS];
	counts.busy = is[SERVER_ASKED] + is[SERVER_WORKS] + is[SERVER_IN_MAIL];
	counts.closing = is[SERVER_ENDS];
	counts.living = counts.opening + counts.idle + counts.busy;
	counts.there = counts.living + counts.closing;
	for (unsigned i = 0; i < world->client_count; i++)
		counts.waiting += world->clients[i].is == CLIENT_IN_LINE;
	return counts;
}

struct world_client *world_first_in_line(struct world *world)
{
	struct world_client *first = NULL;

	for (unsigned i = 0; i < world->client_count; i++) {
		struct world_client *client = &world->clients[i];
		if (client->is == CLIENT_IN_LINE && (!first || client->turn < first->turn))
			first = client;
	}
	return first;
}

static bool is_usable(const struct world *world, const struct world_server *server)
{
	return server->is == SERVER_RESTS && server->epoch == world->epoch;
}

static bool is_better(const struct world_server *server, const struct world_server *than, unsigned worker)
{
	bool own = server->handle.worker == worker;

	if (!than)
		return true;
	if (own != (than->handle.worker == worker))
		return own;
	if (own || server->rested_us == than->rested_us)
		return server->rest_number > than->rest_number;
	return server->rested_us > than->rested_us;
}

struct world_server *world_best_idle(struct world *world, unsigned worker)
{
	struct world_server *best = NULL;

	for (unsigned i = 0; i < WORLD_SERVERS; i++)
		if (is_usable(world, &world->servers[i]) && is_better(&world->servers[i], best, worker))
			best = &world->servers[i];
	return best;
}

bool world_equally_idle(const struct world_server *best, const struct world_server *other)
{
	return best == other || (best->rested_us == other->rested_us && best->handle.worker != other->handle.worker);
}

static bool is_over(uint64_t limit_us, uint64_t since_us, uint64_t now_us)
{
	return limit_us && since_us + limit_us <= now_us;
}

bool world_must_retire(const struct world *world, const struct world_server *server, uint64_t now_us)
{
	return server->epoch != world->epoch || world_count(world).living > world->policy.size ||
	       is_over(world->policy.lifetime_us, server->opened_us, now_us);
}

bool world_must_reap(const struct world *world, const struct world_server *server, uint64_t now_us)
{
	struct world_counts counts = world_count(world);

	return world_must_retire(world, server, now_us) ||
	       (is_over(world->policy.idle_timeout_us, server->rested_us, now_us) &&
		counts.idle + counts.busy > world->policy.min_size);
}

bool world_open_is_due(const struct world *world, uint32_t more, bool warm, uint64_t now_us)
{
	struct world_counts counts = world_count(world);
	bool wanted = counts.waiting + more > counts.opening || (warm && counts.living < world->policy.min_size);

	return wanted && !world->paused && counts.there < world->policy.size && now_us >= world->retry_at_us;
}

void world_back_off(struct world *world, uint64_t now_us)
{
	uint64_t pause_us = 100000;

	if (now_us < world->retry_at_us) {
		world->did[DID_FAIL_TOGETHER]++;
		return;
	}
	for (uint32_t i = 0; i < world->failures && pause_us < world->policy.retry_us; i++)
		pause_us *= 2;
	if (pause_us > world->policy.retry_us)
		pause_us = world->policy.retry_us;
	if (pause_us < 1000)
		pause_us = 1000;
	world->retry_at_us = now_us + pause_us;
	world->failures++;
}

/* ---- the invariants ---- */

static enum pool_place place_of(enum server_is is)
{
	static const enum pool_place places[] = {
		[SERVER_GONE] = POOL_NOWHERE, [SERVER_IN_LOGIN] = POOL_OPENING, [SERVER_RESTS] = POOL_IDLE,
		[SERVER_ASKED] = POOL_BUSY,   [SERVER_WORKS] = POOL_BUSY,       [SERVER_IN_MAIL] = POOL_BUSY,
		[SERVER_ENDS] = POOL_CLOSING,
	};

	return places[is];
}

static enum pool_waiting waiting_of(enum client_is is)
{
	if (is == CLIENT_IN_LINE)
		return POOL_QUEUED;
	return is == CLIENT_EXPECTS ? POOL_CLAIMED : POOL_NOT_WAITING;
}

static void check_counts(struct world *world, const struct world_counts *counts)
{
	struct pool_counts said = pool_count(&world->pool);
	const struct world_client *first = world_first_in_line(world);

	world_expect(world, said.opening == counts->opening, "opening and reserved");
	world_expect(world, said.idle == counts->idle, "idle");
	world_expect(world, said.busy == counts->busy, "busy");
	world_expect(world, said.closing == counts->closing, "closing");
	world_expect(world, said.waiting == counts->waiting, "waiting");
	world_expect(world, said.outdated == counts->outdated, "outdated");
	world_expect(world, said.size == world->policy.size, "size");
	world_expect(world, said.oldest_wait_us == (first ? first->waiter.since_us : 0), "oldest wait");
	world_expect(world, world->pool.reserved == world->reserved, "reserved");
	world_expect(world, world->opened == world->closed + counts->there - world->reserved,
		     "opened = closed + there");
}

/* Members that were there when the size was lowered may stay, but no new one comes. */
static void check_bound(struct world *world, const struct world_counts *counts)
{
	if (counts->there < world->allowed)
		world->allowed = counts->there;
	if (world->allowed < world->policy.size)
		world->allowed = world->policy.size;
	world->did[DID_OVERSIZE] += counts->there > world->policy.size;
	world_expect(world, counts->there <= world->allowed, "more than the bound");
}

static void check_line(struct world *world, const struct world_counts *counts)
{
	uint64_t last = 0;
	uint32_t length = 0;
	struct list *it, *spare;

	list_each(it, spare, &world->pool.waiters) {
		struct pool_waiter *waiter = list_entry(it, struct pool_waiter, node);
		struct world_client *client = list_entry(waiter, struct world_client, waiter);
		world_expect(world, client->is == CLIENT_IN_LINE, "a stranger in the line");
		world_expect(world, ++length <= counts->waiting, "the line is too long");
		world_expect(world, client->turn > last, "first come, first served");
		last = client->turn;
	}
	world_expect(world, length == counts->waiting, "somebody is not in the line");
}

static void check_lists(struct world *world, const struct world_counts *counts)
{
	uint32_t idle = 0;
	struct list *it, *spare;

	for (unsigned worker = 0; worker < POOL_WORKERS_MAX; worker++)
		list_each(it, spare, &world->pool.idle[worker]) {
			const struct pool_member *member = list_entry(it, struct pool_member, node);
			world_expect(world, member->place == POOL_IDLE && member->handle.worker == worker,
				     "a stranger among the idle");
			world_expect(world, ++idle <= counts->idle, "too many idle in the lists");
		}
	world_expect(world, idle == counts->idle, "an idle one is in no list");
}

/* A claim without a letter that tells of it would never end. */
static void check_claims(struct world *world)
{
	bool told[WORLD_CLIENTS] = { false };
	struct list *it, *spare;

	for (unsigned from = 0; from < WORLD_SENDERS; from++)
		for (unsigned to = 0; to < world->workers; to++)
			list_each(it, spare, &world->mail[from][to]) {
				struct letter *letter = list_entry(it, struct letter, node);
				struct world_client *client = world_find_client(world, &letter->waiter);
				if (client)
					told[letter->waiter.slot] = true;
			}
	for (unsigned i = 0; i < world->client_count; i++)
		world_expect(world, world->clients[i].is != CLIENT_EXPECTS || told[i], "a claim is lost");
}

void world_check(struct world *world)
{
	struct world_counts counts = world_count(world);

	check_counts(world, &counts);
	check_bound(world, &counts);
	check_line(world, &counts);
	check_lists(world, &counts);
	check_claims(world);
	for (unsigned i = 0; i < WORLD_SERVERS; i++) {
		const struct world_server *server = &world->servers[i];
		const struct pool_handle *handle = &server->member.handle;
		world_expect(world, server->member.place == place_of(server->is), "a place");
		world_expect(world,
			     handle->worker == server->handle.worker && handle->slot == server->handle.slot &&
				     handle->generation == server->handle.generation,
			     "a handle");
	}
	for (unsigned i = 0; i < world->client_count; i++) {
		struct world_client *client = &world->clients[i];
		world_expect(world, client->waiter.waiting == waiting_of(client->is), "a waiting");
		world_expect(world, !client->server || client->server->client == client, "a pair");
		world_expect(world, (client->is == CLIENT_SERVED) == (client->server != NULL), "served");
	}
	/* After a resume pool_match is called as often as it takes, and others act in between. */
	world_expect(world, !counts.waiting || world->paused || world->matching || !world_best_idle(world, 0),
		     "somebody waits while an idle member could serve him");
}
