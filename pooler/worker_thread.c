#include "pooler/worker_thread.h"

#include <stdlib.h>
#include <unistd.h>

#include "pooler/cancel.h"
#include "pooler/clock.h"
#include "pooler/janitor.h"
#include "pooler/link.h"
#include "pooler/link_letters.h"
#include "pooler/log.h"
#include "pooler/relay.h"
#include "pooler/server.h"
#include "pooler/thread.h"

static void (*say_stopped)(struct crew *crew);

void worker_set_stopped(void (*stopped)(struct crew *crew))
{
	say_stopped = stopped;
}

/* ---- the loop ---- */

/* Before the loop waits: nobody holds what has been closed in this turn. */
static void before_waiting(struct ev_loop *loop)
{
	struct worker *worker = ev_userdata(loop);

	if (__builtin_expect(!list_is_empty(&worker->dead_clients), 0))
		client_bury(worker);
	if (__builtin_expect(!list_is_empty(&worker->dead_servers), 0))
		server_bury(worker);
}

static void after_waiting(struct ev_loop *loop)
{
	struct worker *worker = ev_userdata(loop);

	worker->now_us = clock_now_us();
}

/* ---- stopping ---- */

static const struct pg_report going_down = { "FATAL", "57P01",
					     "terminating connection: the connection pooler is shutting down", NULL,
					     NULL };

static void leave_all(struct worker *worker, enum client_state state)
{
	struct list *it, *spare;

	list_each(it, spare, &worker->client_states[state])
		link_leave(list_entry(it, struct client, node), &going_down, "shutdown");
}

static void close_all(struct worker *worker, enum server_state state)
{
	struct list *it, *spare;

	list_each(it, spare, &worker->server_states[state])
		link_close(list_entry(it, struct server, node), "shutdown");
}

/* Clients without a transaction go; of the others, each when its transaction ends (link_release). */
static void let_idle_go(struct worker *worker)
{
	struct list *it, *spare;

	for (enum client_state state = CLIENT_STARTUP; state < CLIENT_CLOSING; state++)
		if (state != CLIENT_ACTIVE)
			leave_all(worker, state);
	/* In session mode a client keeps its server between its transactions. */
	list_each(it, spare, &worker->client_states[CLIENT_ACTIVE]) {
		struct client *client = list_entry(it, struct client, node);
		if (!client->login && !client->server->task && pg_flow_is_free(&client->server->flow) &&
		    !client->kept.length)
			link_leave(client, &going_down, "shutdown");
	}
	close_all(worker, SERVER_IDLE);
}

static void drop_everything(struct worker *worker)
{
	struct list *it, *spare;

	for (enum client_state state = CLIENT_STARTUP; state < CLIENT_CLOSING; state++)
		leave_all(worker, state);
	list_each(it, spare, &worker->client_states[CLIENT_CLOSING])
		client_destroy(list_entry(it, struct client, node));
	for (enum server_state state = SERVER_IDLE; state < SERVER_CLOSING; state++)
		close_all(worker, state);
	list_each(it, spare, &worker->server_states[SERVER_CONNECTING])
		link_drop(list_entry(it, struct server, node));
	list_each(it, spare, &worker->server_states[SERVER_CLOSING])
		link_drop(list_entry(it, struct server, node));
	cancel_drop_all(worker);
}

static unsigned count_of(const unsigned *counts, unsigned states)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < states; i++)
		sum += counts[i];
	return sum;
}

/* A stop goes on: what it waits for may have happened. */
static void stop_step(struct worker *worker)
{
	unsigned clients = count_of(worker->client_counts, CLIENT_STATES);

	if (worker->stop == WORKER_WAITS_FOR_SERVERS)
		let_idle_go(worker);
	if (worker->stop == WORKER_STOPS_NOW)
		drop_everything(worker);
	/* Who only watches the console is not waited for. */
	if (worker->stop == WORKER_WAITS_FOR_CLIENTS && clients == worker->client_counts[CLIENT_CONSOLE])
		leave_all(worker, CLIENT_CONSOLE);
	if (count_of(worker->client_counts, CLIENT_STATES) > 0)
		return;
	close_all(worker, SERVER_IDLE);
	if (count_of(worker->server_counts, SERVER_STATES) > 0 || worker->stopped)
		return;
	worker->stopped = true;
	say_stopped(worker->crew);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct worker *worker = timer->data;

	(void)loop;
	(void)revents;
	janitor_tick(worker);
	if (worker->stop != WORKER_RUNS)
		stop_step(worker);
}

/* ---- letters ---- */

struct worker_letter {
	struct mail mail;
	int fd;
	struct peer peer;
	const struct config *config; /* held */
	enum worker_stop stop;
	struct shared_pool *shared; /* counted */
};

static struct worker_letter *letter_create(void (*deliver)(void *owner, struct mail *mail))
{
	struct worker_letter *letter = calloc(1, sizeof(*letter));

	if (letter)
		letter->mail.deliver = deliver;
	else
		log_error("out of memory for a letter to a worker");
	return letter;
}

static void deliver_client(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct worker_letter *letter = (struct worker_letter *)(void *)mail;

	if (worker->stop >= WORKER_WAITS_FOR_SERVERS)
		close(letter->fd);
	else if (!client_create(worker, letter->fd, &letter->peer, relay_client_event))
		log_error("out of memory for a client");
	free(letter);
}

void worker_send_client(struct worker *worker, int fd, const struct peer *peer)
{
	struct worker_letter *letter = letter_create(deliver_client);

	if (!letter) {
		close(fd);
		return;
	}
	letter->fd = fd;
	letter->peer = *peer;
	mailbox_send(&worker->mailbox, &letter->mail);
}

static void deliver_config(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct worker_letter *letter = (struct worker_letter *)(void *)mail;

	config_drop(worker->config);
	worker->config = letter->config;
	free(letter);
}

void worker_send_config(struct worker *worker, const struct config *config)
{
	struct worker_letter *letter = letter_create(deliver_config);

	if (!letter)
		return;
	letter->config = config_hold(config);
	mailbox_send(&worker->mailbox, &letter->mail);
}

static void deliver_stop(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct worker_letter *letter = (struct worker_letter *)(void *)mail;

	if (letter->stop > worker->stop)
		worker->stop = letter->stop;
	free(letter);
	stop_step(worker);
}

void worker_send_stop(struct worker *worker, enum worker_stop how)
{
	struct worker_letter *letter = letter_create(deliver_stop);

	if (!letter)
		return;
	letter->stop = how;
	mailbox_send(&worker->mailbox, &letter->mail);
}

static void deliver_open(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct worker_letter *letter = (struct worker_letter *)(void *)mail;

	if (worker->stop >= WORKER_WAITS_FOR_SERVERS)
		pool_unreserve(&letter->shared->pool, worker->now_us);
	else
		link_open(worker, letter->shared);
	pools_drop(letter->shared, worker->now_us);
	free(letter);
}

void worker_send_open(struct worker *worker, struct shared_pool *shared)
{
	struct worker_letter *letter = letter_create(deliver_open);

	if (!letter) {
		pool_unreserve(&shared->pool, clock_now_us());
		return;
	}
	letter->shared = shared;
	pools_hold(shared);
	mailbox_send(&worker->mailbox, &letter->mail);
}

void worker_send_ask(struct worker *worker, struct shared_pool *shared, const struct pool_handle *member,
		     const struct pool_handle *waiter)
{
	letter_send_ask(worker->crew, shared, member, waiter);
}

static void deliver_end(void *owner, struct mail *mail)
{
	struct worker *worker = owner;

	/* What was on its way to us when we said that we have stopped: a server for a client that has left. */
	drop_everything(worker);
	ev_break(worker->loop, EVBREAK_ALL);
	free(mail);
}

/* ---- the thread ---- */

static void *worker_run(void *argument)
{
	struct worker *worker = argument;

	worker->now_us = clock_now_us();
	ev_run(worker->loop, 0);
	return NULL;
}

static void worker_init(struct worker *worker, struct crew *crew, uint16_t index, const struct config *config)
{
	worker->crew = crew;
	worker->index = index;
	worker->config = config_hold(config);
	worker->now_us = clock_now_us();
	handles_init(&worker->clients);
	handles_init(&worker->servers);
	for (unsigned i = 0; i < CLIENT_STATES; i++)
		list_init(&worker->client_states[i]);
	for (unsigned i = 0; i < SERVER_STATES; i++)
		list_init(&worker->server_states[i]);
	list_init(&worker->dead_clients);
	list_init(&worker->dead_servers);
	list_init(&worker->cancels);
	statements_init(&worker->statements);
	mailbox_init(&worker->mailbox, worker->loop, worker);
	ev_set_userdata(worker->loop, worker);
	ev_set_loop_release_cb(worker->loop, before_waiting, after_waiting);
	ev_timer_init(&worker->tick, on_tick, JANITOR_TICK_S, JANITOR_TICK_S);
	worker->tick.data = worker;
	ev_timer_start(worker->loop, &worker->tick);
}

bool worker_open(struct worker *worker, struct crew *crew, uint16_t index, const struct config *config)
{
	worker->loop = ev_loop_new(EVFLAG_AUTO);
	worker->input = malloc(WORKER_KEPT_BYTES_MAX + WORKER_READ_BYTES);
	if (!worker->loop || !worker->input)
		return false;
	worker_init(worker, crew, index, config);
	return true;
}

bool worker_start(struct worker *worker, struct crew *crew, uint16_t index, const struct config *config)
{
	return worker_open(worker, crew, index, config) &&
	       thread_start(&worker->thread, worker_run, worker, "pgweir-worker");
}

void worker_end(struct worker *worker)
{
	struct mail *letter = calloc(1, sizeof(*letter));

	if (!letter) {
		log_fatal("out of memory at the end");
		abort();
	}
	letter->deliver = deliver_end;
	mailbox_send(&worker->mailbox, letter);
	pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
	mailbox_clear(&worker->mailbox);
	client_bury(worker);
	server_bury(worker);
	cancel_drop_all(worker);
	ev_timer_stop(worker->loop, &worker->tick);
	ev_loop_destroy(worker->loop);
	statements_clear(&worker->statements);
	handles_clear(&worker->clients);
	handles_clear(&worker->servers);
	config_drop(worker->config);
	free(worker->input);
}
