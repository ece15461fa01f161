#include "tests/differential/talk.h"

#include <check.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/build.h"
#include "tests/support/clock.h"
#include "tests/support/sql.h"
#include "tests/support/wire.h"

#define LAST_WORD "the end of the talk"

struct run {
	struct talk *talk;
	const struct script *script;
	const struct talk_options *options;
	struct cutter cutter;
	struct peer peers[CLIENTS_MAX];
	bool open[CLIENTS_MAX]; /* has connected, and is not known to have gone */
};

__attribute__((format(printf, 2, 3))) static bool give_up(struct run *run, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(run->talk->failure, sizeof(run->talk->failure), format, arguments);
	va_end(arguments);
	return false;
}

/* ---- bytes ---- */

/* Takes what has come for anybody, after waiting for it no longer than `ms`; with `writer` until it may send, too. */
static void pump(struct run *run, int ms, const struct peer *writer)
{
	struct neighbour *neighbour = run->options->neighbour;
	struct pollfd pollers[CLIENTS_MAX + 1];
	nfds_t count = run->script->clients;

	for (nfds_t i = 0; i < count; i++) {
		const struct peer *peer = &run->peers[i];
		bool wanted = peer->fd >= 0 && !peer->ended;
		short events = peer == writer ? POLLIN | POLLOUT : POLLIN;
		pollers[i] = (struct pollfd){ wanted ? peer->fd : -1, events, 0 };
	}
	pollers[count] =
		(struct pollfd){ neighbour && neighbour_is_busy(neighbour) ? neighbour->peer.fd : -1, POLLIN, 0 };
	poll(pollers, count + 1, ms);
	for (nfds_t i = 0; i < count; i++)
		if (pollers[i].revents)
			peer_receive(&run->peers[i]);
	if (pollers[count].revents)
		neighbour_receive(neighbour, true);
}

static bool flush(struct run *run, struct peer *peer)
{
	int64_t deadline = now_ms() + run->options->patience_ms;
	bool taken = true;

	while (peer_has_output(peer)) {
		taken = peer_send(peer, &run->cutter);
		pump(run, taken ? 0 : 10, taken ? NULL : peer);
		if (now_ms() > deadline)
			return give_up(run, "the server does not take what is sent to it");
	}
	return true;
}

/* ---- waiting ---- */

static bool has_gone(const struct peer *peer)
{
	return peer->ended || peer->problem;
}

/* The direct server has read everything, said everything, and waits for its client. */
static bool is_settled(struct run *run, struct peer *peer)
{
	if (!peer_was_read(peer))
		return false;
	bool waits =
		strcmp(sql_value(run->options->super, "SELECT wait_event = 'ClientRead' FROM pg_stat_get_activity(%u)",
				 peer->process_id),
		       "t") == 0;
	peer_receive(peer);
	return waits;
}

static bool wait_settled(struct run *run, struct peer *peer)
{
	int64_t deadline = now_ms() + run->options->patience_ms;

	while (!has_gone(peer) && !is_settled(run, peer)) {
		if (now_ms() > deadline)
			return give_up(run, "the server has not come to rest within %lld ms",
				       (long long)run->options->patience_ms);
		pump(run, 1, NULL);
	}
	return true;
}

static bool wait_count(struct run *run, struct peer *peer, size_t count)
{
	int64_t deadline = now_ms() + run->options->patience_ms;

	while (!has_gone(peer) && peer->transcript.count < count) {
		if (now_ms() > deadline)
			return give_up(run, "%zu messages should have come, and %zu have, within %lld ms", count,
				       peer->transcript.count, (long long)run->options->patience_ms);
		pump(run, 10, NULL);
	}
	return true;
}

static bool read_all(struct run *run, struct peer *peer, size_t step)
{
	const struct talk *reference = run->options->reference;
	bool good = reference ? wait_count(run, peer, reference->expected[step]) : wait_settled(run, peer);

	peer->seen = peer->transcript.count;
	return good;
}

static bool read_until_either(struct run *run, struct peer *peer, uint8_t type, uint8_t other)
{
	int64_t deadline = now_ms() + run->options->patience_ms;

	for (;;) {
		while (peer->seen < peer->transcript.count) {
			uint8_t got = peer->transcript.messages[peer->seen++].type;
			if (got == type || got == other)
				return true;
		}
		if (has_gone(peer))
			return give_up(run, "the server hung up before it sent %c", type);
		if (now_ms() > deadline)
			return give_up(run, "no message of type %c within %lld ms", type,
				       (long long)run->options->patience_ms);
		pump(run, 10, NULL);
	}
}

static bool read_until(struct run *run, struct peer *peer, char letter)
{
	return read_until_either(run, peer, (uint8_t)letter, (uint8_t)letter);
}

static bool wait_closed(struct run *run, struct peer *peer)
{
	int64_t deadline = now_ms() + run->options->patience_ms;

	while (!has_gone(peer)) {
		if (now_ms() > deadline)
			return give_up(run, "the server has not hung up within %lld ms",
				       (long long)run->options->patience_ms);
		pump(run, 10, NULL);
	}
	return true;
}

static bool wait_true(struct run *run, const char *sql)
{
	int64_t deadline = now_ms() + run->options->patience_ms;

	while (strcmp(sql_value(run->options->super, "%s", sql), "t") != 0) {
		if (now_ms() > deadline)
			return give_up(run, "within %lld ms it has not become true: %s",
				       (long long)run->options->patience_ms, sql);
		pump(run, 2, NULL);
	}
	return true;
}

/* ---- steps ---- */

static bool log_in(struct run *run, unsigned client)
{
	struct peer *peer = &run->peers[client];

	peer_open(peer, &run->options->endpoint);
	for (size_t i = 0; i < run->script->count; i++) {
		const struct step *step = &run->script->steps[i];
		if (step->kind == STEP_OPTION && step->client == client && strcmp(step->verb, "startup") == 0)
			peer_put_startup(peer, step->words[0].text, step->words[1].text);
	}
	peer_end_startup(peer);
	run->open[client] = true;
	if (!flush(run, peer))
		return false;
	/* A refused login is an answer too: the script's "closed" waits for its end. */
	return read_until_either(run, peer, PG_BACKEND_READY, PG_BACKEND_ERROR);
}

static bool check_error(struct run *run, const struct peer *peer, const char *sqlstate)
{
	for (size_t i = peer->transcript.count; i-- > 0;)
		if (peer->transcript.messages[i].type == PG_BACKEND_ERROR) {
			const char *got = message_sqlstate(&peer->transcript.messages[i]);
			return strcmp(got, sqlstate) == 0 || give_up(run, "not error %s but %s", sqlstate, got);
		}
	return give_up(run, "not error %s but none", sqlstate);
}

/* What it had not waited for may have come or not: that is no answer to compare. */
static void leave(struct run *run, unsigned client)
{
	struct peer *peer = &run->peers[client];

	while (peer->transcript.count > peer->seen)
		free(peer->transcript.messages[--peer->transcript.count].body);
	peer_close(peer);
	run->open[client] = false;
}

static bool close_after_end(struct run *run, unsigned client)
{
	if (!wait_closed(run, &run->peers[client]))
		return false;
	run->peers[client].seen = run->peers[client].transcript.count;
	peer_close(&run->peers[client]);
	run->open[client] = false;
	return true;
}

static bool is_for_this_side(const struct run *run, const struct step *step)
{
	return step->side == SIDE_BOTH || step->side == (run->options->reference ? SIDE_PGWEIR : SIDE_DIRECT);
}

/* What waits sends first what was collected: messages between two waits leave together. */
static bool take_step(struct run *run, size_t nth)
{
	const struct step *step = &run->script->steps[nth];
	struct peer *peer = &run->peers[step->client];

	if (step->kind == STEP_OPTION || !is_for_this_side(run, step))
		return true;
	if (!run->open[step->client] && !log_in(run, step->client))
		return false;
	if (step->kind == STEP_MESSAGE) {
		pg_buffer_put_bytes(&peer->out, step->message.data, step->message.length);
		return true;
	}
	if (!flush(run, peer))
		return false;
	switch (step->kind) {
	case STEP_READ:
		return read_all(run, peer, nth);
	case STEP_READ_UNTIL:
		return read_until(run, peer, step->letter);
	case STEP_UNTIL:
		return wait_true(run, step->words[0].text);
	case STEP_CANCEL:
		wire_cancel_with(run->options->endpoint.port, peer->process_id, peer->key, peer->key_bytes);
		return true;
	case STEP_ERROR:
		return check_error(run, peer, step->words[0].text);
	case STEP_CLOSED:
		return close_after_end(run, step->client);
	case STEP_LEAVE:
		leave(run, step->client);
		return true;
	default:
		return true;
	}
}

static bool take_steps(struct run *run)
{
	char why[sizeof(run->talk->failure)];

	for (size_t i = 0; i < run->script->count; i++) {
		if (!take_step(run, i)) {
			memcpy(why, run->talk->failure, sizeof(why));
			return give_up(run, "at \"%.60s\": %.180s", run->script->steps[i].line, why);
		}
		run->talk->expected[i] = run->peers[run->script->steps[i].client].transcript.count;
	}
	return true;
}

/* ---- the end ---- */

static bool is_last_word(const struct message *message)
{
	/* A row of one column: 2 bytes for the count, 4 for the length. */
	return message->type == PG_BACKEND_DATA_ROW && message->bytes == 6 + strlen(LAST_WORD) &&
	       memcmp(message->body + 6, LAST_WORD, strlen(LAST_WORD)) == 0;
}

static bool read_last_word(struct run *run, struct peer *peer)
{
	do {
		while (peer->seen == peer->transcript.count && !has_gone(peer))
			if (!wait_count(run, peer, peer->seen + 1))
				return false;
		if (has_gone(peer) && peer->seen == peer->transcript.count)
			return true;
	} while (!is_last_word(&peer->transcript.messages[peer->seen++]));
	return read_until(run, peer, PG_BACKEND_READY);
}

/* All send before one waits: they may be waiting for each other. */
static bool say_last_words(struct run *run)
{
	for (unsigned i = 0; i < run->script->clients; i++) {
		struct peer *peer = &run->peers[i];
		if (!run->open[i])
			continue;
		pg_build_copy_fail(&peer->out, LAST_WORD);
		pg_build_sync(&peer->out);
		pg_build_query(&peer->out, "ROLLBACK; SELECT '" LAST_WORD "'");
		if (!flush(run, peer))
			return false;
	}
	for (unsigned i = 0; i < run->script->clients; i++)
		if (run->open[i] && !read_last_word(run, &run->peers[i]))
			return give_up(run, "at the end of client %u: it was not answered", i + 1);
	return true;
}

static bool is_sound(struct run *run)
{
	for (unsigned i = 0; i < run->script->clients; i++)
		if (run->peers[i].problem)
			return give_up(run, "%s", run->peers[i].problem);
	return true;
}

bool talk_run(struct talk *talk, const struct script *script, const struct talk_options *options)
{
	struct run run = { .talk = talk, .script = script, .options = options, .cutter = options->cutter };

	memset(talk, 0, sizeof(*talk));
	talk->expected = calloc(script->count + 1, sizeof(talk->expected[0]));
	ck_assert_ptr_nonnull(talk->expected);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		peer_init(&run.peers[i]);
	bool good = take_steps(&run) && say_last_words(&run);
	good = is_sound(&run) && good;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		talk->transcripts[i] = run.peers[i].transcript;
		peer_close(&run.peers[i]);
	}
	return good;
}

void talk_clear(struct talk *talk)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		transcript_clear(&talk->transcripts[i]);
	free(talk->expected);
	talk->expected = NULL;
}
