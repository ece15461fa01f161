/*
 * One question of the main thread's to all workers, and their answers brought together.
 *
 *      main thread                 each worker                      main thread
 *      gather_ask  -- letter -->   kind->answer, once or in     --> done, when the last letter
 *                                  several rounds of its loop       is home or the time is over
 *
 * A letter begins with struct gather_letter and carries question and answer; nothing else is shared.
 *
 * Only in the main thread, but for kind->answer.
 */
#ifndef POOLER_GATHER_H
#define POOLER_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/clock.h"
#include "pooler/mailbox.h"
#include "pooler/worker.h"

/* A worker that has not answered by then does not: it has stopped, or hangs. */
#define GATHER_TIMEOUT_US (5 * USEC_PER_SEC)

struct gather_kind;

struct gather_letter {
	struct mail mail;
	const struct gather_kind *kind;
	uint64_t question;
	uint16_t worker; /* whose letter it is */
};

struct gather_kind {
	size_t letter_bytes; /* of the whole letter */
	/* In the worker's thread: looks and fills in. False: it is called again in the next round of the loop, so that a long
	 * look does not hold up the connections. */
	bool (*answer)(struct worker *worker, struct gather_letter *letter);
	/* Frees what the letter holds, not the letter. NULL: it holds nothing. */
	void (*discard)(struct gather_letter *letter);
};

/* `letters` are the `count` that came home, which are discarded and freed afterwards; what a callback keeps of them it takes
 * out. Not `complete`: a worker did not answer in time, or there was no memory to ask it. */
typedef void gather_done(void *context, struct gather_letter **letters, unsigned count, bool complete);

/* Sends a copy of `question` (letter_bytes; mail, kind, question and worker are filled in; it holds nothing that
 * discard would free) to each worker. `done` is called once, later. Returns a number for gather_forget; 0: no memory, and
 * done is not called. */
uint64_t gather_ask(struct crew *crew, const struct gather_kind *kind, const void *question, gather_done *done,
		    void *context);
/* The answers are not wanted any more: done is not called. Harmless for 0 and for what is done. */
void gather_forget(uint64_t question);
/* Ends what took too long. Every 100 ms or so. */
void gather_tick(uint64_t now_us);
/* Forgets all. Letters that still come home are freed. */
void gather_forget_all(void);

#endif
