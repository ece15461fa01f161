#include "pooler/mailbox.h"

/* All letters that are there, in the order of sending. */
static struct mail *mailbox_take_all(struct mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	struct mail *mail = mailbox->first;
	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	pthread_mutex_unlock(&mailbox->lock);
	return mail;
}

/* Letters that are sent while these are delivered wait for the next wake-up, so that letters which breed letters do not
 * keep the loop from its descriptors. False: there was none. */
static bool mailbox_deliver(struct mailbox *mailbox)
{
	struct mail *mail = mailbox_take_all(mailbox);
	bool any = mail != NULL;

	while (mail) {
		struct mail *next = mail->next; /* before deliver frees it */
		mail->next = NULL;
		mail->deliver(mailbox->owner, mail);
		mail = next;
	}
	return any;
}

static void mailbox_woken(struct ev_loop *loop, ev_async *wake, int revents)
{
	(void)loop;
	(void)revents;
	mailbox_deliver(wake->data);
}

void mailbox_init(struct mailbox *mailbox, struct ev_loop *loop, void *owner)
{
	*mailbox = (struct mailbox){ .loop = loop, .owner = owner };
	mailbox->last = &mailbox->first;
	pthread_mutex_init(&mailbox->lock, NULL);
	ev_async_init(&mailbox->wake, mailbox_woken);
	mailbox->wake.data = mailbox;
	ev_async_start(loop, &mailbox->wake);
}

void mailbox_clear(struct mailbox *mailbox)
{
	while (mailbox_deliver(mailbox))
		continue;
	ev_async_stop(mailbox->loop, &mailbox->wake);
	pthread_mutex_destroy(&mailbox->lock);
}

/* The wake-up is sent under the lock: when the owner sees this letter and ends the mailbox because it was the last one that
 * it waited for, the sender must be done with the watcher. A letter that is not the first finds the wake-up sent. */
void mailbox_send(struct mailbox *mailbox, struct mail *mail)
{
	mail->next = NULL;
	pthread_mutex_lock(&mailbox->lock);
	if (!mailbox->first)
		ev_async_send(mailbox->loop, &mailbox->wake);
	*mailbox->last = mail;
	mailbox->last = &mail->next;
	pthread_mutex_unlock(&mailbox->lock);
}
