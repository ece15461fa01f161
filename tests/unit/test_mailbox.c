#include <check.h>
#include <stdlib.h>

#include "pooler/mailbox.h"
#include "pooler/thread.h"

Suite *mailbox_suite(void);

#define SENDERS 4
#define LETTERS 20000

struct letter {
	struct mail mail;
	int sender;
	int number;
};

/* The owner: what has come, and from whom in which order. */
struct inbox {
	struct mailbox mailbox;
	struct ev_loop *loop;
	int received;
	int expected;
	int last[SENDERS];
	bool out_of_order;
	int echoes;
};

struct sender {
	struct inbox *inbox;
	int index;
};

static struct inbox inbox_open(void)
{
	return (struct inbox){ .loop = ev_loop_new(EVFLAG_AUTO) };
}

static void letter_send(struct mailbox *mailbox, void (*deliver)(void *, struct mail *), int sender, int number)
{
	struct letter *letter = malloc(sizeof(*letter));

	*letter = (struct letter){ .mail.deliver = deliver, .sender = sender, .number = number };
	mailbox_send(mailbox, &letter->mail);
}

static void letter_count(void *owner, struct mail *mail)
{
	struct inbox *inbox = owner;
	struct letter *letter = (struct letter *)mail;

	if (letter->number != inbox->last[letter->sender] + 1)
		inbox->out_of_order = true;
	inbox->last[letter->sender] = letter->number;
	free(letter);
	if (++inbox->received == inbox->expected)
		ev_break(inbox->loop, EVBREAK_ALL);
}

static void *sender_run(void *argument)
{
	struct sender *sender = argument;

	for (int i = 1; i <= LETTERS; i++)
		letter_send(&sender->inbox->mailbox, letter_count, sender->index, i);
	return NULL;
}

START_TEST(every_letter_arrives_once_in_its_senders_order)
{
	struct inbox inbox = inbox_open();
	struct sender senders[SENDERS];
	pthread_t threads[SENDERS];

	inbox.expected = SENDERS * LETTERS;
	mailbox_init(&inbox.mailbox, inbox.loop, &inbox);
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .inbox = &inbox, .index = i };
		ck_assert(thread_start(&threads[i], sender_run, &senders[i], "sender"));
	}
	ev_run(inbox.loop, 0); /* a lost wake-up hangs here, and the test's time-out tells */
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(inbox.received, SENDERS * LETTERS);
	ck_assert(!inbox.out_of_order);
	mailbox_clear(&inbox.mailbox);
	ck_assert_int_eq(inbox.received, SENDERS * LETTERS);
	ev_loop_destroy(inbox.loop);
}
END_TEST

START_TEST(clear_delivers_what_is_left)
{
	struct inbox inbox = inbox_open();

	mailbox_init(&inbox.mailbox, inbox.loop, &inbox);
	for (int i = 1; i <= 3; i++)
		letter_send(&inbox.mailbox, letter_count, 0, i);
	mailbox_clear(&inbox.mailbox);
	ck_assert_int_eq(inbox.received, 3);
	ck_assert(!inbox.out_of_order);
	ev_loop_destroy(inbox.loop);
}
END_TEST

static void letter_echo(void *owner, struct mail *mail)
{
	struct inbox *inbox = owner;
	struct letter *letter = (struct letter *)mail;

	inbox->echoes++;
	if (letter->number > 0)
		letter_send(&inbox->mailbox, letter_echo, 0, letter->number - 1);
	free(letter);
}

START_TEST(a_letter_sent_by_deliver_waits_for_the_next_round)
{
	struct inbox inbox = inbox_open();

	mailbox_init(&inbox.mailbox, inbox.loop, &inbox);
	letter_send(&inbox.mailbox, letter_echo, 0, 5);
	ev_run(inbox.loop, EVRUN_ONCE);
	ck_assert_int_eq(inbox.echoes, 1);
	ev_run(inbox.loop, EVRUN_ONCE);
	ck_assert_int_eq(inbox.echoes, 2);
	mailbox_clear(&inbox.mailbox);
	ck_assert_int_eq(inbox.echoes, 6);
	ev_loop_destroy(inbox.loop);
}
END_TEST

/* A letter may be sent on as it is: the mailbox does not look at it after deliver. */
static void letter_forward(void *owner, struct mail *mail)
{
	struct inbox *inbox = owner;

	mail->deliver = letter_count;
	mailbox_send(&inbox->mailbox, mail);
}

START_TEST(deliver_may_send_the_letter_on)
{
	struct inbox inbox = inbox_open();

	inbox.expected = 2;
	mailbox_init(&inbox.mailbox, inbox.loop, &inbox);
	letter_send(&inbox.mailbox, letter_forward, 0, 1);
	letter_send(&inbox.mailbox, letter_forward, 0, 2);
	ev_run(inbox.loop, 0);
	ck_assert_int_eq(inbox.received, 2);
	ck_assert(!inbox.out_of_order);
	mailbox_clear(&inbox.mailbox);
	ev_loop_destroy(inbox.loop);
}
END_TEST

Suite *mailbox_suite(void)
{
	Suite *suite = suite_create("mailbox");
	TCase *cases = tcase_create("mailbox");

	tcase_set_timeout(cases, 30);
	tcase_add_test(cases, every_letter_arrives_once_in_its_senders_order);
	tcase_add_test(cases, clear_delivers_what_is_left);
	tcase_add_test(cases, a_letter_sent_by_deliver_waits_for_the_next_round);
	tcase_add_test(cases, deliver_may_send_the_letter_on);
	suite_add_tcase(suite, cases);
	return suite;
}
