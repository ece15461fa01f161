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
	int verbosity;         /* of the command line */
	ev_timer tick;
	ev_signal signals[4];
	int exit_status;
};

/* Starts everything that the configuration asks for; takes its hold. `verbosity` is the command line's. False: it has logged
 * why, and the process is to exit. */
bool process_start(struct process *process, const struct config *config, int verbosity);
/* Until it has been stopped and all is done. */
void process_run(struct process *process);
/* Frees everything, after process_run. */
void process_end(struct process *process);

/* Loads the configuration again and tells everybody. False: nothing has changed, and `error` says why (file, line,
 * setting, reason). */
bool process_reload(struct process *process, char *error, size_t error_bytes);
/* Puts a new configuration in force: takes the hold. */
void process_configure(struct process *process, const struct config *config);
/* Ends the process in the given way; a harder way than the last one wins. */
void process_stop(struct process *process, enum worker_stop how);
/* What is due by time; the process does it by itself every 100 ms. */
void process_tick(struct process *process);
#endif
