/*
 * Sets of session parameters: what a client wants in force and what a server has in force.
 *
 * A set is immutable and interned: equal sets are one object, so that "does this server fit this client" is one compare of
 * pointers. Names compare without regard to case, as PostgreSQL's do; values byte by byte.
 *
 * Shared between threads: counted; the table of all sets has one lock, taken when a set is made or its last holder lets go,
 * never on the way of an ordinary transaction.
 */
#ifndef POOLER_PARAMS_H
#define POOLER_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"

struct param {
	const char *name;
	const char *value;
};

struct params; /* opaque; counted */

/* The set of these pairs, held once for the caller. Later pairs win over earlier ones of the same name. NULL: no memory. */
const struct params *params_make(const struct param *pairs, size_t count);
/* The empty set. */
const struct params *params_empty(void);
const struct params *params_hold(const struct params *params);
/* NULL is harmless. */
void params_drop(const struct params *params);

size_t params_count(const struct params *params);
/* In the order of names. */
const struct param *params_at(const struct params *params, size_t index);
/* NULL: not in the set. Borrowed from the set. */
const char *params_find(const struct params *params, const char *name);

/* The set with one value changed or added; with `value` NULL: without that name. A new hold; the argument keeps its own.
 * NULL: no memory. */
const struct params *params_with(const struct params *params, const char *name, const char *value);
/* All of `base`, and of `over` where both have a name. A new hold. */
const struct params *params_overlay(const struct params *base, const struct params *over);

/* Appends the statements that bring a server from `have` to `want`: SET for what differs, RESET for what only `have` has.
 * Nothing is appended when nothing is to be done. With `force`, SET is sent for every name of `want`. */
void params_put_sql(const struct params *have, const struct params *want, bool force, struct pg_buffer *sql);

#endif
