/*
 * Where scripts run: a database, and pgweir in front of it in all the ways that matter.
 *
 * Scripts act as the role u_trust, in a schema of that name which is made anew for each run.
 */
#ifndef TESTS_DIFFERENTIAL_PLACE_H
#define TESTS_DIFFERENTIAL_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/differential/peer.h"
#include "tests/differential/script.h"
#include "tests/support/cluster.h"
#include "tests/support/middle.h"
#include "tests/support/weir.h"

/* One way through pgweir. */
struct way {
	bool session; /* pool_mode; else "transaction" */
	bool wide;    /* four servers instead of one */
	bool workers; /* three instead of one */
	bool split;   /* what passes between pgweir and PostgreSQL is cut, too: place_split */
};

struct place {
	struct cluster *cluster; /* borrowed */
	char database[DATABASE_NAME_BYTES];
	PGconn *super;
	struct weir weirs[2]; /* with one worker and with three */
	PGconn *consoles[2];
	struct middle *middle; /* between pgweir and PostgreSQL, for some pools */
};

/* pgweir's processes belong to the calling process. */
void place_open(struct place *place, struct cluster *cluster);
/* Each pgweir must end well. */
void place_close(struct place *place);
/* New processes of pgweir, whatever has become of the old ones. */
void place_renew(struct place *place);

/* The schema is empty, and then what the script's "setup" lines make. False: somebody still holds a lock in it. */
bool place_reset(struct place *place, const struct script *script);

struct endpoint place_direct(const struct place *place);
struct endpoint place_pooled(const struct place *place, const struct way *way);
/* "session, pool of 1, 3 workers" */
const char *way_name(const struct way *way);

/* How long the pieces are for ways that are split: by chance 1 to so many bytes; 0: as it comes. */
void place_split(const struct place *place, size_t piece_bytes);

/* Nobody is linked, waiting or in cleanup in that pool; waits for it. */
bool place_is_quiet(const struct place *place, const struct way *way, int64_t patience_ms);
/* No pgweir has died. */
bool place_is_alive(struct place *place);

#endif
