#include "pooler/gather.h"

#include <stdlib.h>
#include <string.h>

#include "pooler/clock.h"
#include "pooler/list.h"
#include "pooler/pool.h"

struct question {
	struct list node;
	uint64_t number;
	uint64_t asked_us;
	gather_done *done;
	void *context;
	unsigned asked; /* letters that are out, or home */
	unsigned home;
	bool failed;                                     /* a letter could not be sent */
	struct gather_letter *letters[POOL_WORKERS_MAX]; /* owned: those that are home */
};

static struct list questions = { &questions, &questions };
static uint64_t last_number;

static void letter_free(struct gather_letter *letter)
{
	if (letter->kind->discard)
		letter->kind->discard(letter);
	free(letter);
}

static struct question *question_find(uint64_t number)
{
	struct list *it, *spare;

	list_each(it, spare, &questions) {
		struct question *question = list_entry(it, struct question, node);
		if (question->number == number)
			return question;
	}
	return NULL;
}

static void question_free(struct question *question)
{
	list_remove(&question->node);
	for (unsigned i = 0; i < question->home; i++)
		letter_free(question->letters[i]);
	free(question);
}

static void question_end(struct question *question)
{
	bool complete = question->home == question->asked && !question->failed;

	list_remove(&question->node); /* done may forget it, or ask something else */
	question->done(question->context, question->letters, question->home, complete);
	question_free(question);
}

static void come_home(void *owner, struct mail *mail)
{
	struct gather_letter *letter = (struct gather_letter *)(void *)mail;
	struct question *question = question_find(letter->question);

	(void)owner;
	if (!question) {
		letter_free(letter);
		return;
	}
	question->letters[question->home++] = letter;
	if (question->home == question->asked)
		question_end(question);
}

static void reach_worker(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct gather_letter *letter = (struct gather_letter *)(void *)mail;

	if (!letter->kind->answer(worker, letter)) {
		mailbox_send(&worker->mailbox, mail);
		return;
	}
	mail->deliver = come_home;
	mailbox_send(worker->crew->main_mailbox, mail);
}

static bool send_letter(struct worker *worker, const struct gather_kind *kind, const void *content, uint64_t number)
{
	struct gather_letter *letter = malloc(kind->letter_bytes);

	if (!letter)
		return false;
	memcpy(letter, content, kind->letter_bytes);
	letter->mail.deliver = reach_worker;
	letter->kind = kind;
	letter->question = number;
	letter->worker = worker->index;
	mailbox_send(&worker->mailbox, &letter->mail);
	return true;
}

uint64_t gather_ask(struct crew *crew, const struct gather_kind *kind, const void *question, gather_done *done,
		    void *context)
{
	struct question *made = calloc(1, sizeof(*made));

	if (!made)
		return 0;
	made->number = ++last_number;
	made->asked_us = clock_now_us();
	made->done = done;
	made->context = context;
	for (unsigned i = 0; i < crew->worker_count; i++) {
		if (send_letter(&crew->workers[i], kind, question, made->number))
			made->asked++;
		else
			made->failed = true;
	}
	if (made->asked == 0) {
		free(made);
		return 0;
	}
	list_append(&questions, &made->node);
	return made->number;
}

void gather_forget(uint64_t question)
{
	struct question *found = question_find(question);

	if (found)
		question_free(found);
}

void gather_tick(uint64_t now_us)
{
	struct list *it, *spare;

	list_each(it, spare, &questions) {
		struct question *question = list_entry(it, struct question, node);
		if (now_us < question->asked_us + GATHER_TIMEOUT_US)
			continue;
		question_end(question);
		return; /* its done may have changed the list; the rest has time until the next tick */
	}
}

void gather_forget_all(void)
{
	struct list *node;

	while ((node = list_pop(&questions)))
		question_free(list_entry(node, struct question, node));
}
