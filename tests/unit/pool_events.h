/*
 * What servers, clients and letters do in the simulated world, each with the pool's answer checked against the model's.
 *
 * Times are those of the worker that acts.
 */
#ifndef TESTS_UNIT_POOL_EVENTS_H
#define TESTS_UNIT_POOL_EVENTS_H

#include "tests/unit/pool_world.h"

bool world_chance(struct world *world, uint32_t percent);
/* A worker's clock follows now and then, as a loop's does. */
uint64_t world_now(struct world *world, unsigned worker);

/* Some worker opens a server in a reserved place, or cannot. */
void world_fill(struct world *world);
/* A server is gone. */
void world_remove(struct world *world, struct world_server *server, bool failed);
/* A server that the pool counts as closing says goodbye, to its client too. */
void world_begin_end(struct world *world, struct world_server *server);
/* Its login is over, or it has no client and is clean. */
void world_release(struct world *world, struct world_server *server);

/* A client wants a server; `again`: its claim was lost. */
void world_request(struct world *world, struct world_client *client, bool again);
/* It goes, or only gives up and may come again under the same name. */
void world_leave(struct world *world, struct world_client *client);

/* One letter, of any pair of threads but the oldest of that pair. False: there is none. */
bool world_deliver(struct world *world);

#endif
