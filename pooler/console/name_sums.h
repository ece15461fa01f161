/*
 * How many clients and servers there are for each database, or for each user.
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_NAME_SUMS_H
#define POOLER_CONSOLE_NAME_SUMS_H

#include <stdint.h>

#include "pooler/snapshot.h"

struct name_sum {
	uint64_t clients; /* logged in */
	uint64_t servers; /* connections, in whatever state */
};

struct name_sums; /* opaque */

/* Clients from the snapshot, servers as the pools count them. NULL: no memory. */
struct name_sums *name_sums_by_database(const struct snapshot *snapshot);
/* Clients by the user they logged in as, servers by the user that we logged in as. */
struct name_sums *name_sums_by_user(const struct snapshot *snapshot);
void name_sums_free(struct name_sums *sums);
/* All zero for a name that nobody uses. */
const struct name_sum *name_sums_find(const struct name_sums *sums, const char *name);
/* The console's own clients: they belong to no database. By user they are counted as all others. */
const struct name_sum *name_sums_console(const struct name_sums *sums);
void name_sums_each(const struct name_sums *sums,
		    void (*each)(void *context, const char *name, const struct name_sum *sum), void *context);

#endif
