#include "tests/differential/neighbour.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/build.h"
#include "protocol/frame.h"
#include "tests/support/clock.h"
#include "tests/support/wire.h"

/* What it asked for at startup, and what a session is like in which nobody has left anything. The catalogue is asked last:
 * it is the dear part. */
#define STATE \
	"concat_ws(' ', current_setting('application_name'), current_setting('DateStyle'), current_setting('work_mem'), " \
	"current_setting('transaction_isolation'), current_setting('statement_timeout'), " \
	"(SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE name <> ''), " \
	"(SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()))"
#define CLEAN "neighbour German, DMY 4MB read committed 0 0 0 0"

/* ---- its transactions ---- */

static void put_extended(struct pg_buffer *out, const char *value)
{
	wire_put_bind(out, "", "", &value, 1);
	wire_put_execute(out, "", 0);
	pg_build_sync(out);
}

/* One Query with a transaction in it: it begins here, so nothing was open before. */
static unsigned send_simple(struct neighbour *neighbour, const char *token)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
		 "BEGIN; SELECT '%s', " STATE ", now() = statement_timestamp(); SELECT '%s again'; COMMIT", token,
		 token);
	pg_build_query(&neighbour->peer.out, sql);
	return 1;
}

static unsigned send_parsed(struct neighbour *neighbour, const char *token)
{
	wire_put_parse(&neighbour->peer.out, "", "SELECT $1::text, " STATE);
	put_extended(&neighbour->peer.out, token);
	return 1;
}

/* Relies on its unnamed statement from the transaction before. */
static unsigned send_bound(struct neighbour *neighbour, const char *token)
{
	put_extended(&neighbour->peer.out, token);
	return 1;
}

/* A pipeline of one transaction, with an error and a way back. */
static unsigned send_pipeline(struct neighbour *neighbour, const char *token)
{
	struct pg_buffer *out = &neighbour->peer.out;

	pg_build_query(out, "BEGIN");
	wire_put_parse(out, "", "SELECT $1::text");
	put_extended(out, token);
	pg_build_query(out, "SELECT 1 / 0");
	pg_build_query(out, "ROLLBACK");
	return 4;
}

static unsigned (*const kinds[])(struct neighbour *neighbour, const char *token) = {
	send_simple,
	send_parsed,
	send_bound,
	send_pipeline,
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* What must come, in the words of put_message below. */
static void expected_answer(const struct neighbour *neighbour, const char *token, char *out, size_t bytes)
{
	switch (neighbour->step) {
	case 0:
		snprintf(out, bytes, "C T D(%s|" CLEAN "|t) C T D(%s again) C C Z(I) ", token, token);
		break;
	case 1:
		snprintf(out, bytes, "1 2 D(%s|" CLEAN ") C Z(I) ", token);
		break;
	case 2:
		snprintf(out, bytes, "2 D(%s|" CLEAN ") C Z(I) ", token);
		break;
	default:
		snprintf(out, bytes, "C Z(T) 1 2 D(%s) C Z(T) E(22012) Z(E) C Z(I) ", token);
		break;
	}
}

/* ---- what it gets ---- */

static void append(char *out, size_t bytes, const void *text, size_t count)
{
	size_t used = strlen(out);

	if (count > bytes - used - 1)
		count = bytes - used - 1;
	memcpy(out + used, text, count);
	out[used + count] = '\0';
}

static void put_values(char *out, size_t bytes, const struct message *message)
{
	size_t at = 2;

	for (unsigned left = pg_load_u16(message->body); left > 0; left--) {
		size_t value_bytes = pg_load_u32(message->body + at);
		append(out, bytes, message->body + at + 4, value_bytes);
		append(out, bytes, "|", left > 1);
		at += 4 + value_bytes;
	}
}

static void put_message(char *out, size_t bytes, const struct message *message)
{
	append(out, bytes, message->type ? (const char *)&message->type : "closed", message->type ? 1 : 6);
	if (strchr("DZE", message->type) && message->type)
		append(out, bytes, "(", 1);
	if (message->type == PG_BACKEND_DATA_ROW)
		put_values(out, bytes, message);
	else if (message->type == PG_BACKEND_READY)
		append(out, bytes, message->body, 1);
	else if (message->type == PG_BACKEND_ERROR)
		append(out, bytes, message_sqlstate(message), 5);
	if (strchr("DZE", message->type) && message->type)
		append(out, bytes, ")", 1);
	append(out, bytes, " ", 1);
}

static void name_token(const struct neighbour *neighbour, char *token, size_t bytes)
{
	snprintf(token, bytes, "token-%u", neighbour->number);
}

static void check(struct neighbour *neighbour)
{
	char token[32], expected[1024], got[1024] = "";

	name_token(neighbour, token, sizeof(token));
	expected_answer(neighbour, token, expected, sizeof(expected));
	for (size_t i = 0; i < neighbour->peer.transcript.count; i++)
		put_message(got, sizeof(got), &neighbour->peer.transcript.messages[i]);
	if (strcmp(expected, got) != 0)
		snprintf(neighbour->failure, sizeof(neighbour->failure),
			 "the other client should have got\n  %s\nand got\n  %s\n", expected, got);
}

/* ---- its life ---- */

static void send_all(struct neighbour *neighbour)
{
	struct cutter whole = { CUT_WHOLE, { 0 } };

	while (peer_has_output(&neighbour->peer) && peer_send(&neighbour->peer, &whole))
		;
}

void neighbour_begin(struct neighbour *neighbour)
{
	char token[32];

	transcript_clear(&neighbour->peer.transcript);
	neighbour->step = neighbour->number++ % KINDS;
	name_token(neighbour, token, sizeof(token));
	neighbour->owed = kinds[neighbour->step](neighbour, token);
	send_all(neighbour);
}

static unsigned count_ready(const struct transcript *transcript)
{
	unsigned count = 0;

	for (size_t i = 0; i < transcript->count; i++)
		count += transcript->messages[i].type == PG_BACKEND_READY;
	return count;
}

void neighbour_receive(struct neighbour *neighbour, bool again)
{
	peer_receive(&neighbour->peer);
	bool over = neighbour->peer.ended || neighbour->peer.problem ||
		    count_ready(&neighbour->peer.transcript) >= neighbour->owed;
	if (!over || !neighbour->owed)
		return;
	neighbour->owed = 0;
	check(neighbour);
	if (again && !neighbour->failure[0])
		neighbour_begin(neighbour);
}

/* Until what is owed has come. */
static bool wait_for_it(struct neighbour *neighbour, int64_t patience_ms)
{
	int64_t deadline = now_ms() + patience_ms;

	while (neighbour_is_busy(neighbour) && now_ms() < deadline) {
		struct pollfd poller = { neighbour->peer.fd, POLLIN, 0 };
		poll(&poller, 1, 10);
		neighbour_receive(neighbour, false);
	}
	if (neighbour_is_busy(neighbour)) {
		check(neighbour);
		size_t used = strlen(neighbour->failure);
		snprintf(neighbour->failure + used, sizeof(neighbour->failure) - used, "and then nothing for %lld ms\n",
			 (long long)patience_ms);
	}
	return neighbour->failure[0] == '\0';
}

static bool wait_for_welcome(struct neighbour *neighbour, int64_t patience_ms)
{
	struct peer *peer = &neighbour->peer;
	int64_t deadline = now_ms() + patience_ms;

	while (!peer->ended && !peer->problem && count_ready(&peer->transcript) == 0 && now_ms() < deadline) {
		struct pollfd poller = { peer->fd, POLLIN, 0 };
		poll(&poller, 1, 10);
		peer_receive(peer);
	}
	if (count_ready(&peer->transcript) == 1)
		return true;
	char got[1024] = "";
	for (size_t i = 0; i < peer->transcript.count; i++)
		put_message(got, sizeof(got), &peer->transcript.messages[i]);
	snprintf(neighbour->failure, sizeof(neighbour->failure), "the other client was not let in: %s\n", got);
	return false;
}

bool neighbour_open(struct neighbour *neighbour, const struct endpoint *endpoint, int64_t patience_ms)
{
	memset(neighbour, 0, sizeof(*neighbour));
	peer_init(&neighbour->peer);
	peer_open(&neighbour->peer, endpoint);
	peer_put_startup(&neighbour->peer, "application_name", "neighbour");
	peer_put_startup(&neighbour->peer, "DateStyle", "German");
	peer_end_startup(&neighbour->peer);
	send_all(neighbour);
	return wait_for_welcome(neighbour, patience_ms);
}

bool neighbour_close(struct neighbour *neighbour, int64_t patience_ms)
{
	bool good = !neighbour->failure[0] && wait_for_it(neighbour, patience_ms);

	peer_clear(&neighbour->peer);
	return good;
}

bool neighbour_visit(struct neighbour *neighbour, const struct endpoint *endpoint, int64_t patience_ms)
{
	bool good = neighbour_open(neighbour, endpoint, patience_ms);

	for (size_t i = 0; good && i < KINDS; i++) {
		neighbour_begin(neighbour);
		good = wait_for_it(neighbour, patience_ms);
	}
	return neighbour_close(neighbour, patience_ms) && good;
}
