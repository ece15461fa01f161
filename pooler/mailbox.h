/*
 * Letters between threads.
 *
 * A letter is a structure of the sender's that begins with struct mail. mailbox_send may be called from any thread; the
 * owner's loop wakes up and calls deliver for each letter, in the order of sending. Deliver takes the letter: it frees it
 * or sends it on.
 */
#ifndef POOLER_MAILBOX_H
#define POOLER_MAILBOX_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

struct mail {
	struct mail *next;
	/* `owner` is the mailbox's: a struct worker or the struct process. */
	void (*deliver)(void *owner, struct mail *mail);
};

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first; /* shared: lock */
	struct mail **last; /* shared: lock */
	struct ev_loop *loop;
	struct ev_async wake;
	void *owner; /* borrowed: longer than the mailbox */
};

/* The mailbox keeps its loop running: a thread that has nothing but mail to wait for waits. */
void mailbox_init(struct mailbox *mailbox, struct ev_loop *loop, void *owner);
/* Delivers what is left, also letters that these deliveries send, then ends. In the owner's thread, after its loop has
 * ended and before the loop is destroyed; nobody may send any more. */
void mailbox_clear(struct mailbox *mailbox);
/* Never fails and never waits for the owner. A deliver may send to its own mailbox: that letter comes in the next round. */
void mailbox_send(struct mailbox *mailbox, struct mail *mail);

#endif
