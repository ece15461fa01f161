/*
 * What is due by time in one worker: time-outs of clients and servers, idle and old servers.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_JANITOR_H
#define POOLER_JANITOR_H

#include "pooler/worker.h"

/* How often janitor_tick is to be called. */
#define JANITOR_TICK_S 0.1

void janitor_tick(struct worker *worker);

#endif
