/*
 * The process: the main thread's loop with signals, listener, resolver, console, and the workers.
 *
 * Only in the main thread.
 */
#ifndef POOLER_PROCESS_H
#define POOLER_PROCESS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "pooler/listener.h"
#include "pooler/mailbox.h"
#include "pooler/resolver.h"
#include "pooler/settings.h"
#include "pooler/worker.h"

struct console;

struct process {
	struct ev_loop *loop;
	struct mailbox mailbox;
	const struct config *config; /* held */
	struct crew crew;
	struct listener *listener;
	struct resolver *resolver;
	struct console *console;
	enum worker_stop stop;
	unsigned workers_left; /* that have not said yet that they have stopped */
	unsigned next_worker;  /* gets the next client */
	ev_timer tick;
	ev_signal signals[4];
	int exit_status;
};

/* Loads the configuration again and tells everybody. False: nothing has changed, and `error` says why (file, line,
 * setting, reason). */
bool process_reload(struct process *process, char *error, size_t error_bytes);
/* Puts a new configuration in force: takes the hold. */
void process_configure(struct process *process, const struct config *config);
/* Ends the process in the given way; a harder way than the last one wins. */
void process_stop(struct process *process, enum worker_stop how);
/* Sends a copy of a letter to every worker: `make` creates the letter for each. NULL from it: nothing is sent to that one. */
void process_tell_workers(struct process *process, struct mail *(*make)(void *context), void *context);

#endif
