#include "pooler/link_letters.h"

#include <stdlib.h>

#include "pooler/link.h"
#include "pooler/log.h"

/* One shape for all of them; each uses what it needs. */
struct letter {
	struct mail mail;
	struct shared_pool *shared; /* counted */
	struct server *server;      /* owned while it travels */
	struct pool_handle member;
	struct pool_handle waiter;
	struct pool_failure failure;
};

/* NULL: no memory. */
static struct letter *letter_create(struct shared_pool *shared, void (*deliver)(void *, struct mail *))
{
	struct letter *letter = calloc(1, sizeof(*letter));

	if (!letter)
		return NULL;
	letter->mail.deliver = deliver;
	letter->shared = shared;
	pools_hold(shared);
	return letter;
}

/* Letters are a few hundred bytes and rare. A process that cannot have one with a server in it, or for it, cannot keep its
 * promises to those who wait. */
static struct letter *letter_must(struct shared_pool *shared, void (*deliver)(void *, struct mail *))
{
	struct letter *letter = letter_create(shared, deliver);

	if (letter)
		return letter;
	log_fatal("out of memory for a letter between workers");
	abort();
}

static void letter_free(struct letter *letter, struct worker *worker)
{
	pools_drop(letter->shared, worker->now_us);
	free(letter);
}

static void letter_post(struct crew *crew, unsigned worker, struct letter *letter)
{
	mailbox_send(&crew->workers[worker].mailbox, &letter->mail);
}

static void deliver_lost(void *owner, struct mail *mail)
{
	struct letter *letter = (struct letter *)(void *)mail;

	link_claim_lost(owner, &letter->waiter);
	letter_free(letter, owner);
}

static void deliver_ask(void *owner, struct mail *mail)
{
	struct worker *worker = owner;
	struct letter *letter = (struct letter *)(void *)mail;
	struct server *server = handles_find(&worker->servers, letter->member.slot, letter->member.generation);

	if (server && server->state == SERVER_IDLE) {
		letter_send_server(server, &letter->waiter);
		letter_free(letter, worker);
		return;
	}
	letter->mail.deliver = deliver_lost;
	letter_post(worker->crew, letter->waiter.worker, letter);
}

void letter_send_ask(struct crew *crew, struct shared_pool *shared, const struct pool_handle *member,
		     const struct pool_handle *waiter)
{
	struct letter *letter = letter_must(shared, deliver_ask);

	letter->member = *member;
	letter->waiter = *waiter;
	letter_post(crew, member->worker, letter);
}

static void deliver_server(void *owner, struct mail *mail)
{
	struct letter *letter = (struct letter *)(void *)mail;

	if (!server_attach(letter->server, owner)) {
		log_fatal("out of memory for a server connection");
		abort();
	}
	link_arrived(letter->server, &letter->waiter);
	letter_free(letter, owner);
}

void letter_send_server(struct server *server, const struct pool_handle *waiter)
{
	struct letter *letter = letter_must(server->shared, deliver_server);

	letter->waiter = *waiter;
	letter->server = server;
	struct crew *crew = server->worker->crew;
	server_detach(server);
	letter_post(crew, waiter->worker, letter);
}

static void deliver_refuse(void *owner, struct mail *mail)
{
	struct letter *letter = (struct letter *)(void *)mail;

	link_refuse_pool(owner, letter->shared, &letter->failure);
	letter_free(letter, owner);
}

void letter_refuse_everywhere(struct crew *crew, struct shared_pool *shared, const struct pool_failure *failure)
{
	for (unsigned i = 0; i < crew->worker_count; i++) {
		struct letter *letter = letter_create(shared, deliver_refuse);
		if (!letter) {
			log_error("out of memory: clients of %s/%s wait on for a server that refuses logins",
				  shared->database, shared->user);
			return;
		}
		letter->failure = *failure;
		letter_post(crew, i, letter);
	}
}
