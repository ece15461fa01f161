/*
 * The console, in the main thread: the sessions of its clients, and the counters' averages.
 *
 *      client --- worker: console_client --- letters --- console: session, conversation --- command --- admin
 *                                                                                      \--- table --- snapshot
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_CONSOLE_H
#define POOLER_CONSOLE_CONSOLE_H

#include "pooler/console/table.h"

struct console;
struct process;

/* Before the workers start: from then on requests of clients come. NULL: no memory. */
struct console *console_create(struct process *process);
/* Ends all sessions without an answer; requests that still come are thrown away. Before admin_close. NULL is harmless. */
void console_free(struct console *console);
/* Every 100 ms: at the end of each stats_period come the averages and the log's "stats:" line. */
void console_tick(struct console *console);

/* What rows are made from at this moment, for other front ends; `snapshot` as the table needs it. */
struct table_source console_source(const struct console *console, const struct snapshot *snapshot);

#endif
