/*
 * Conversations, written by hand. Many of them were seen on a PostgreSQL 15.
 *
 * A conversation reads "> P B E S < 1 2 C ZI": '>' is followed by what goes to the server, '<' by what comes from it; a '*'
 * marks a message of ours and its answers; ReadyForQuery carries its status. "!" after an answer: it must be bad.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/flow.h"

static struct pg_flow flow;
static struct pg_flow_answer last; /* of the server's */
static uint32_t dropped;           /* statements, since the conversation began */
static char completed[64];         /* what was completed, since the conversation began */

static void begin(void)
{
	pg_flow_init(&flow);
}

static void end(void)
{
	pg_flow_clear(&flow);
}

static void to_server(const char *word, size_t size, const char *where)
{
	enum pg_flow_sent sent = pg_flow_client(&flow, (uint8_t)word[0], size > 1 && word[1] == '*');

	ck_assert_msg(sent == PG_FLOW_SENT || sent == PG_FLOW_SKIPPED, "not taken: %s", where);
}

static void from_server(const char *word, size_t size, const char *where)
{
	uint8_t status = word[0] == 'Z' ? (uint8_t)word[1] : 0;

	last = pg_flow_server(&flow, (uint8_t)word[0], status);
	ck_assert_msg(last.bad == (word[size - 1] == '!'), "judged wrongly: %s", where);
	ck_assert_msg(last.bad || last.ours == (word[size - 1] == '*'), "ours or not: %s", where);
	dropped += last.statements_dropped;
	if (last.completed)
		completed[strlen(completed)] = (char)last.completed;
}

static void talk(const char *conversation)
{
	char direction = 0;

	memset(completed, 0, sizeof(completed));
	dropped = 0;
	for (const char *word = conversation; *word; word += strcspn(word, " "), word += strspn(word, " ")) {
		size_t size = strcspn(word, " ");
		if (*word == '>' || *word == '<')
			direction = *word;
		else if (direction == '>')
			to_server(word, size, word);
		else
			from_server(word, size, word);
	}
}

/* The conversation, on a new connection. */
static void talk_anew(const char *conversation)
{
	pg_flow_clear(&flow);
	talk(conversation);
}

#define assert_free() ck_assert(pg_flow_is_free(&flow))
#define assert_busy() ck_assert(!pg_flow_is_free(&flow))

/* ---- queries ---- */

START_TEST(simple_queries)
{
	assert_free();
	talk("> Q");
	assert_busy();
	ck_assert_uint_eq(flow.ready_owed, 1);
	talk("< T D D C");
	assert_busy();
	talk("< ZI");
	assert_free();
	ck_assert_uint_eq(last.completed, 'Q');
	ck_assert_uint_eq(flow.ready_owed, 0);
	talk("> Q < I ZI > Q < E ZI > Q < N S A T N C ZI");
	assert_free();
}
END_TEST

START_TEST(transactions)
{
	talk("> Q < C ZT");
	assert_busy();
	ck_assert(pg_flow_is_quiet(&flow));
	talk("> Q < E ZE");
	assert_busy();
	talk("> Q < C ZI");
	assert_free();
}
END_TEST

/* Trap 36: one ReadyForQuery whatever the number of statements, and its status is the last one's. */
START_TEST(several_statements_in_one_query)
{
	talk("> Q < C T D C E ZI");
	assert_free();
	talk("> Q < C T D C C T D C");
	assert_busy();
	talk("< ZI");
	assert_free();
	talk("> Q Q < C E ZE C ZI");
	assert_free();
}
END_TEST

START_TEST(extended_queries)
{
	talk("> P B D E S < 1 2 T D C ZI");
	assert_free();
	ck_assert_str_eq(completed, "PBDES");
	talk("> P D S < 1 t T ZI > P D S < 1 t n ZI > B D E C S < 2 n I 3 ZI > S < ZI");
	assert_free();
	/* Flush is not queued, and the batch stays open without a Sync. */
	talk("> P H < 1");
	assert_busy();
	ck_assert_uint_eq(flow.count, 0);
	ck_assert(!pg_flow_is_quiet(&flow));
	talk("> S < ZI");
	assert_free();
}
END_TEST

/* Trap 35. */
START_TEST(function_calls)
{
	talk("> F < V");
	assert_busy();
	talk("< ZI > F < E ZI > F < ZI!");
}
END_TEST

/* Trap 19. */
START_TEST(as_many_ready_as_sync_and_query)
{
	talk("> P B E S B E S Q S < 1 2 C ZI");
	assert_busy();
	ck_assert_uint_eq(flow.ready_owed, 3);
	talk("< 2 C ZI");
	assert_busy();
	talk("< T D C ZI");
	assert_busy();
	talk("< ZI");
	assert_free();
}
END_TEST

/* Trap 20. */
START_TEST(an_error_discards_up_to_sync)
{
	talk("> P B E Q F S < E");
	ck_assert_uint_eq(flow.ready_owed, 1);
	assert_busy();
	talk("< ZI");
	assert_free();
	/* The Sync was not sent yet: what comes before it is discarded too. */
	talk("> P B E < 1 E");
	ck_assert(flow.skipping);
	ck_assert_int_eq(pg_flow_client(&flow, 'Q', false), PG_FLOW_SKIPPED);
	ck_assert_int_eq(pg_flow_client(&flow, 'P', true), PG_FLOW_SKIPPED);
	ck_assert_int_eq(pg_flow_client(&flow, 'c', false), PG_FLOW_SKIPPED);
	ck_assert_uint_eq(flow.count, 0);
	assert_busy();
	ck_assert_int_eq(pg_flow_client(&flow, 'S', false), PG_FLOW_SENT);
	talk("< ZI");
	assert_free();
}
END_TEST

/* Trap 21. */
START_TEST(the_group_behind_a_failed_one_runs)
{
	talk("> P B D E S P B D E S < 1 E ZI");
	assert_busy();
	ck_assert_str_eq(completed, "PS");
	talk("< 1 2 T D C ZI");
	ck_assert_str_eq(completed, "PBDES");
	assert_free();
	/* A Query in a transaction that failed in a Sync of its own: the commit. */
	talk("> P B E S Q < 1 2 C E ZI T C ZI");
	assert_free();
}
END_TEST

/* Trap 22. */
START_TEST(a_suspended_portal_keeps_the_server)
{
	talk("> P B E H < 1 2 D s");
	assert_busy();
	ck_assert(flow.portal_suspended);
	talk("> E H < D s");
	assert_busy();
	ck_assert(flow.portal_suspended);
	talk("> E < D C");
	ck_assert(!flow.portal_suspended);
	assert_busy();
	talk("> S < ZI");
	assert_free();
	/* In a transaction block it outlives the Sync. */
	talk("> Q < C ZT > P B E S < 1 2 D s");
	ck_assert(flow.portal_suspended);
	talk("< ZT");
	ck_assert(flow.portal_suspended);
	assert_busy();
	talk("> Q");
	ck_assert(!flow.portal_suspended);
	talk("< C ZI > P B E S E S < 1 2 s");
	ck_assert(!flow.portal_suspended);
}
END_TEST

START_TEST(a_query_in_an_open_batch_ends_it)
{
	talk("> P B E Q < 1 2 C T D C");
	assert_busy();
	talk("< ZI");
	assert_free();
	/* PostgreSQL since 18 keeps the batch's transaction, and says so. */
	talk("> P B E Q < 1 2 C T D C ZT");
	assert_busy();
	talk("> S < ZI");
	assert_free();
	/* What was sent behind the Query opens a new one. */
	talk("> P B E Q P < 1 2 C T D C ZI 1");
	assert_busy();
	talk("> S < ZI");
	assert_free();
	talk("> P B E F < 1 2 C E ZI");
	assert_free();
}
END_TEST

/* statement_timeout in an open batch strikes at the next message, be it a Flush. */
START_TEST(an_error_between_two_messages)
{
	talk("> P H < 1 > H < E");
	ck_assert(last.unsolicited);
	ck_assert_int_eq(pg_flow_client(&flow, 'P', false), PG_FLOW_SKIPPED);
	assert_busy();
	talk("> S < ZI");
	assert_free();
	/* Where no batch is open it is the server's farewell. */
	talk("< E");
	ck_assert(last.unsolicited);
	ck_assert(!flow.skipping);
}
END_TEST

/* Trap 56. */
START_TEST(asynchronous_messages_answer_nothing)
{
	talk("< N A S > P* < N 1* A > S* < S ZI*");
	assert_free();
	talk("> Q < G N S A > c < N C ZI > Q < H N d A c C ZI > Q < I N ZI");
	assert_free();
}
END_TEST

/* Trap 37. */
START_TEST(answers_to_messages_of_ours)
{
	talk("> Q* Q < C* ZI* T D C ZI");
	assert_free();
	talk("> P* B E S < 1* 2 C ZI > C* P S < 3* 1 ZI > Q* Q < E* ZI* T C ZI");
	assert_free();
}
END_TEST

/* Trap 25, flow's part. */
START_TEST(statements_that_an_error_dropped)
{
	talk("> P B D E S < E");
	ck_assert_uint_eq(dropped, 1);
	talk("< ZI > P C P B C S P S < 1 E");
	ck_assert_uint_eq(dropped, 3);
	talk("< ZI 1 ZI > B P C S < E ZI");
	ck_assert_uint_eq(dropped, 2);
	talk("> P P < E");
	ck_assert_uint_eq(dropped, 2);
	talk("> P S < ZI");
	ck_assert_uint_eq(dropped, 0);
	assert_free();
}
END_TEST

/* ---- COPY ---- */

START_TEST(copy_out)
{
	talk("> Q < H");
	assert_busy();
	talk("< d d c");
	assert_busy();
	talk("< C ZI");
	assert_free();
	talk("> P B E S < 1 2 H d E ZI > Q < H d E ZI > P B E S < 1 2 H c C ZI");
	assert_free();
	talk("> Q < H d c d!");
}
END_TEST

/* Trap 39. */
START_TEST(copy_in_keeps_the_server)
{
	talk("> Q < G");
	assert_busy();
	talk("> d d d");
	assert_busy();
	talk("> c");
	assert_busy();
	talk("< C");
	assert_busy();
	talk("< ZI");
	assert_free();
	/* All sent ahead, two of them in one Query, and one CopyDone too much. */
	talk("> Q d c d c c < G C G C T D C");
	assert_busy();
	talk("< ZI");
	assert_free();
	talk("> Q d c Q < G C ZI T C ZI");
	assert_free();
}
END_TEST

/* Trap 40. */
START_TEST(syncs_in_copy_in_are_ignored)
{
	talk("> P B D E S < 1 2 n G");
	ck_assert_uint_eq(flow.ready_owed, 0);
	ck_assert(flow.batch_open);
	talk("> d S S H c < C");
	assert_busy();
	talk("> S");
	assert_busy();
	talk("< ZI");
	assert_free();
	talk("> Q S H d S < G > d S c < C ZI");
	assert_free();
	/* The Sync behind the CopyDone counts, also when all was sent ahead. */
	talk("> P B E S d c S < 1 2 G C ZI");
	assert_free();
	talk("> P B E d c < 1 2 G C");
	assert_busy();
	talk("> S < ZI");
	assert_free();
}
END_TEST

/* Trap 41. */
START_TEST(copy_fail)
{
	talk("> Q < G > d f < E");
	assert_busy();
	talk("< ZI");
	assert_free();
	talk("> P B E < 1 2 G > f S < E ZI");
	assert_free();
	talk("> Q f < G E ZI");
	assert_free();
}
END_TEST

/* Trap 38. */
START_TEST(late_copy_messages_are_never_answered)
{
	talk("> Q < G > d < E > d d c < ZI");
	assert_free();
	talk("> d c d f");
	assert_free();
	talk("> Q < T D C ZI");
	assert_free();
	talk("> P B E < 1 2 G > d < E > d d c");
	assert_busy();
	talk("> S < ZI");
	assert_free();
	/* Half way between two queries. */
	talk("> Q d c Q < E ZI T D C ZI");
	assert_free();
}
END_TEST

/* PostgreSQL before 14 lives on after it, since 14 it says goodbye. */
START_TEST(a_message_that_copy_in_eats)
{
	talk("> P B E < 1 2 G > Q B C S Q < E");
	ck_assert_uint_eq(dropped, 1);
	ck_assert(!flow.uncertain);
	talk("< ZI");
	assert_busy();
	talk("< T C ZI");
	assert_free();
	talk("> P B E < 1 2 G > P < E E");
	assert_busy();
	talk_anew("> Q < G > Q < E E");
	assert_busy();
	talk_anew("> Q < G > Q < C!");
}
END_TEST

/* ---- COPY BOTH: trap 42 ---- */

START_TEST(copy_both)
{
	talk("> Q < W d d > d d < d > c < d c");
	assert_busy();
	talk("< C C ZI");
	assert_free();
	talk("> Q < W d c > d");
	assert_busy();
	talk("< d! > c < T D C C ZI");
	assert_free();
	talk("> Q d c < W d c C ZI");
	assert_free();
	talk("> Q < W d E ZI > d c Q < C ZI");
	assert_free();
	/* The server shuts down in order. */
	talk("> Q < W d C");
	assert_busy();
}
END_TEST

/* ---- COPY that fails by itself ---- */

/* Each of these was seen on PostgreSQL 15; which of them it is going to be, nobody can tell at the error. */
START_TEST(syncs_that_a_failed_copy_read_or_not)
{
	static const struct {
		const char *conversation;
		bool uncertain; /* in the end: fewer ReadyForQuery came than Syncs were in doubt */
	} seen[] = {
		{ "> P B E S d c S < 1 2 G E ZI", true },          /* the Sync in front of bad data was ignored */
		{ "> P B E S d c S < 1 2 G E ZI ZI", false },      /* a trigger failed before it was read */
		{ "> P B E d S S c S < 1 2 G E ZI ZI ZI", false }, /* they stood behind the bad data */
		{ "> P B E S S d c S < 1 2 G E ZI", true },        /* they stood in front of it */
		{ "> Q S d S c S < G E ZI ZI ZI", true },          /* one in front, one behind */
	};

	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		talk_anew(seen[i].conversation);
		ck_assert(flow.uncertain == seen[i].uncertain);
		ck_assert(pg_flow_is_quiet(&flow));
		ck_assert(pg_flow_is_free(&flow) == !seen[i].uncertain);
		/* The client goes on: its answers end the uncertainty. */
		talk("> Q < T D C ZI");
		assert_free();
	}
	/* No Sync was sent behind it: the one in the COPY was not read in copy mode. */
	talk_anew("> P B E < 1 2 G > S d < E ZI");
	assert_free();
}
END_TEST

START_TEST(what_a_failed_copy_leaves_behind_it)
{
	/* The Sync was not read in copy mode, and all behind it runs. */
	talk("> P B E d S P B E S < 1 2 G E ZI 1 2 D C ZI");
	assert_free();
	/* It was: what follows it is discarded. */
	talk("> P B E S d c P B E S < 1 2 G E ZI");
	assert_busy();
	talk("> Q < T D C ZI");
	ck_assert_uint_eq(dropped, 1);
	assert_free();
	/* What the client sends before its next Sync shares the doubt. */
	talk("> P B E S < 1 2 G > d < E > P B E S < ZI 1 2 C ZI");
	assert_free();
	talk("> P B E S < 1 2 G > d < E > P B E S < ZI");
	ck_assert(flow.uncertain);
	talk("> Q < T C ZI");
	ck_assert_uint_eq(dropped, 1);
	assert_free();
	/* No Sync in the way of an Execute's COPY: no doubt. */
	talk("> P B E d c P S < 1 2 G E ZI");
	assert_free();
}
END_TEST

START_TEST(the_thread_is_lost_rather_than_guessed)
{
	talk("> Q < G > d Q Q < E ZI");
	ck_assert(flow.uncertain);
	talk("< T");
	ck_assert(flow.lost);
	talk("< D C ZI T D C ZI > Q < C ZI");
	assert_busy();
	ck_assert_str_eq(pg_flow_unwind(&flow), "");
	/* With answers that differ there is no guessing. */
	talk_anew("> Q < G > d Q P S < E ZI");
	talk("< T C ZI 1 ZI");
	assert_free();
	talk("> Q < G > d Q P S < E ZI 1 ZI");
	assert_free();
}
END_TEST

/* ---- resynchronisation ---- */

START_TEST(resynchronisation)
{
	for (int read = 0; read < 2; read++) {
		talk_anew("> P B E S < 1 2 G > d c S < E ZI");
		ck_assert(flow.uncertain && pg_flow_is_quiet(&flow));
		assert_busy();
		pg_flow_resync(&flow);
		/* The ReadyForQuery that was owed after all is not for the client. */
		talk(read ? "< I*" : "< ZI* I*");
		assert_busy();
		talk("< ZI*");
		ck_assert_uint_eq(last.completed, 'Q');
		assert_free();
	}
}
END_TEST

START_TEST(unwinding)
{
	static const struct {
		const char *conversation;
		const char *types;
		const char *rest;
	} cases[] = {
		{ "", "", "" },
		{ "> Q < T D", "", "< C ZI" },
		{ "> Q < C ZT", "", "> Q* < C* ZI*" },
		{ "> P B E", "S", "< 1 2 C ZI*" },
		{ "> P B E H < 1 2 D s", "S", "< ZI*" },
		{ "> P B E < 1 2 E", "S", "< ZI*" },
		{ "> P B E Q", "S", "< 1 2 C T C ZI ZI*" },
		{ "> P B E Q", "S", "< E ZI*" },
		{ "> P B E S", "", "< 1 2 C ZI" },
		{ "> Q < G", "f", "< E ZI" },
		{ "> Q < G > d c", "", "< C ZI" },
		{ "> P B E < 1 2 G", "fS", "< E ZI*" },
		{ "> Q < H d", "", "< d c C ZI" },
		{ "> Q < W d > c", "", "< c C ZI" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		talk_anew(cases[i].conversation);
		const char *types = pg_flow_unwind(&flow);
		ck_assert_str_eq(types, cases[i].types);
		for (; *types; types++)
			ck_assert_int_eq(pg_flow_client(&flow, (uint8_t)*types, true), PG_FLOW_SENT);
		ck_assert_str_eq(pg_flow_unwind(&flow), "");
		talk(cases[i].rest);
		assert_free();
	}
	/* The COPY began after the Sync was sent, and ignored it. */
	talk_anew("> P B E S* < 1 2 G");
	ck_assert_str_eq(pg_flow_unwind(&flow), "fS");
	/* Copying both ways is ended with the connection. */
	talk_anew("> Q < W");
	ck_assert_str_eq(pg_flow_unwind(&flow), "f");
}
END_TEST

/* ---- what is not allowed ---- */

START_TEST(bad_client_messages)
{
	for (unsigned type = 0; type < 256; type++) {
		if (type && strchr("QPBDECSFHdcf", (int)type))
			continue;
		ck_assert_int_eq(pg_flow_client(&flow, (uint8_t)type, false), PG_FLOW_BAD);
	}
	assert_free();
}
END_TEST

START_TEST(answers_by_the_oldest_message)
{
	static const struct {
		const char *conversation;
		const char *allowed;
	} cases[] = {
		{ "", "" },
		{ "> Q", "TDCIGHW" },
		{ "> Q < C", "ZTDCIGHW" },
		{ "> Q < I", "Z" },
		{ "> Q < E", "Z" },
		{ "> Q < G", "" },
		{ "> Q < G > c", "C" },
		{ "> Q < H c", "C" },
		{ "> Q < W c > c", "TDCIGHW" },
		{ "> Q < H", "dcC" },
		{ "> Q < W", "dcC" },
		{ "> P", "1" },
		{ "> B", "2" },
		{ "> C", "3" },
		{ "> D", "tTn" },
		{ "> D < t", "Tn" },
		{ "> E", "DCIsGH" },
		{ "> E < G", "" },
		{ "> E < H", "dcC" },
		{ "> S", "Z" },
		{ "> F", "V" },
		{ "> F < V", "Z" },
		{ "> P < E", "" },
		{ "> P S < E", "Z" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned type = 0; type < 256; type++) {
			talk_anew(cases[i].conversation);
			bool allowed = type && (strchr("NSAE", (int)type) || strchr(cases[i].allowed, (int)type));
			bool plain = pg_flow_is_plain_row(&flow, (uint8_t)type);
			struct pg_flow before = flow;
			struct pg_flow_answer answer = pg_flow_server(&flow, (uint8_t)type, 'I');
			ck_assert(!plain || (!answer.bad && !answer.ours && !answer.completed));
			ck_assert(!plain || memcmp(&before, &flow, sizeof(flow)) == 0);
			ck_assert_msg(answer.bad == !allowed, "'%c' (%u) after %s", (int)type, type,
				      cases[i].conversation);
		}
	}
}
END_TEST

START_TEST(a_ready_must_have_a_status)
{
	for (unsigned status = 0; status < 256; status++) {
		talk_anew("> S");
		struct pg_flow_answer answer = pg_flow_server(&flow, 'Z', (uint8_t)status);
		ck_assert(answer.bad == !(status && strchr("ITE", (int)status)));
	}
	talk_anew("> P B E S < 1 2 G > d < E");
	ck_assert(pg_flow_server(&flow, 'Z', 'x').bad);
	talk("> S < ZI");
	ck_assert(pg_flow_server(&flow, 'Z', 'x').bad);
}
END_TEST

/* ---- the queue ---- */

static void fill(uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (pg_flow_client(&flow, i % 5 ? 'P' : 'S', i % 7 == 0) != PG_FLOW_SENT)
			ck_abort_msg("message %u was not taken", i);
}

static void drain(uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct pg_flow_answer answer = pg_flow_server(&flow, i % 5 ? '1' : 'Z', 'I');
		if (answer.bad || answer.ours != (i % 7 == 0) || answer.completed != (i % 5 ? 'P' : 'S'))
			ck_abort_msg("answer %u was judged wrongly", i);
	}
}

START_TEST(the_queue_grows_up_to_its_bound)
{
	fill(0, PG_FLOW_QUEUE_MAX - 3);
	ck_assert(!pg_flow_is_full(&flow));
	fill(PG_FLOW_QUEUE_MAX - 3, PG_FLOW_QUEUE_MAX);
	ck_assert(pg_flow_is_full(&flow));
	for (const char *type = "QPSc"; *type; type++)
		ck_assert_int_eq(pg_flow_client(&flow, (uint8_t)*type, false), PG_FLOW_FULL);
	ck_assert_int_eq(pg_flow_client(&flow, 'd', false), PG_FLOW_SENT);
	ck_assert_uint_eq(flow.count, PG_FLOW_QUEUE_MAX);
	ck_assert_uint_eq(flow.ready_owed, PG_FLOW_QUEUE_MAX / 5 + 1);
	drain(0, PG_FLOW_QUEUE_MAX - 1);
	assert_busy();
	drain(PG_FLOW_QUEUE_MAX - 1, PG_FLOW_QUEUE_MAX);
	ck_assert_uint_eq(flow.count, 0);
	ck_assert_ptr_eq(flow.queue, flow.inline_queue);
	talk("> S < ZI");
	assert_free();
}
END_TEST

/* The queue goes round its end, and grows while it does. */
START_TEST(the_queue_goes_round)
{
	uint32_t sent = 0;
	uint32_t answered = 0;

	for (uint32_t round = 1; round < 400; round++) {
		fill(sent, sent + round % 97);
		sent += round % 97;
		uint32_t count = round % 89 < sent - answered ? round % 89 : sent - answered;
		drain(answered, answered + count);
		answered += count;
		ck_assert_uint_eq(flow.count, sent - answered);
	}
}
END_TEST

/* A client may send as many Syncs into a COPY as it likes: the server says nothing that would make room. */
START_TEST(copy_in_takes_any_number_of_syncs)
{
	talk("> Q < G");
	for (uint32_t i = 0; i < 2 * PG_FLOW_QUEUE_MAX; i++)
		if (pg_flow_client(&flow, (uint8_t) "SdH"[i % 3], false) != PG_FLOW_SENT)
			ck_abort_msg("message %u was not taken", i);
	ck_assert_uint_eq(flow.count, 1);
	talk("> c < C ZI");
	assert_free();
}
END_TEST

/* ---- nonsense ---- */

static uint32_t random_below(uint64_t *random, uint32_t bound)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*random >> 33) % bound;
}

/* Not by ck_assert, which is slow where it holds. */
static bool queue_is_whole(void)
{
	uint32_t owed = 0;

	if (flow.head >= flow.capacity || flow.count > flow.capacity || flow.doubtful > flow.count)
		return false;
	for (uint32_t i = 0; i < flow.count; i++) {
		uint8_t type = flow.queue[(flow.head + i) % flow.capacity] & 0x7f;
		if (!type || !strchr("QPBDECSFcf", type))
			return false;
		owed += strchr("QSF", type) != NULL;
	}
	return flow.ready_owed == owed && (flow.uncertain || (!flow.doubtful && !flow.lost));
}

/* Whatever the server says, legal or not: the queue stays whole, and nothing is free that still owes something. */
START_TEST(random_nonsense)
{
	static const char client[] = "QQPPBDEECSSFHdcfX";
	static const char server[] = "NSAEZTDCIs123tnVGHWdcKRv?";
	const char *given = getenv("PGWEIR_SEED");
	uint64_t seed = given && *given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
	uint64_t random = seed;

	for (unsigned step = 0; step < 1000000; step++) {
		if (random_below(&random, 300) == 0)
			pg_flow_clear(&flow);
		if (random_below(&random, 3) == 0) {
			uint8_t type = (uint8_t)client[random_below(&random, sizeof(client) - 1)];
			pg_flow_client(&flow, type, random_below(&random, 4) == 0);
		} else {
			uint8_t type = (uint8_t)server[random_below(&random, sizeof(server) - 1)];
			pg_flow_server(&flow, type, (uint8_t) "IIITE?"[random_below(&random, 6)]);
		}
		if (random_below(&random, 500) == 0 && pg_flow_is_quiet(&flow))
			pg_flow_resync(&flow);
		pg_flow_unwind(&flow);
		if (!queue_is_whole())
			ck_abort_msg("PGWEIR_SEED=%llu, step %u", (unsigned long long)seed, step);
	}
}
END_TEST

static void add_queries(TCase *tcase)
{
	tcase_add_test(tcase, simple_queries);
	tcase_add_test(tcase, transactions);
	tcase_add_test(tcase, several_statements_in_one_query);
	tcase_add_test(tcase, extended_queries);
	tcase_add_test(tcase, function_calls);
	tcase_add_test(tcase, as_many_ready_as_sync_and_query);
	tcase_add_test(tcase, an_error_discards_up_to_sync);
	tcase_add_test(tcase, the_group_behind_a_failed_one_runs);
	tcase_add_test(tcase, a_suspended_portal_keeps_the_server);
	tcase_add_test(tcase, a_query_in_an_open_batch_ends_it);
	tcase_add_test(tcase, an_error_between_two_messages);
	tcase_add_test(tcase, asynchronous_messages_answer_nothing);
	tcase_add_test(tcase, answers_to_messages_of_ours);
	tcase_add_test(tcase, statements_that_an_error_dropped);
}

static void add_copy(TCase *tcase)
{
	tcase_add_test(tcase, copy_out);
	tcase_add_test(tcase, copy_in_keeps_the_server);
	tcase_add_test(tcase, syncs_in_copy_in_are_ignored);
	tcase_add_test(tcase, copy_fail);
	tcase_add_test(tcase, late_copy_messages_are_never_answered);
	tcase_add_test(tcase, a_message_that_copy_in_eats);
	tcase_add_test(tcase, copy_both);
	tcase_add_test(tcase, syncs_that_a_failed_copy_read_or_not);
	tcase_add_test(tcase, what_a_failed_copy_leaves_behind_it);
	tcase_add_test(tcase, the_thread_is_lost_rather_than_guessed);
	tcase_add_test(tcase, resynchronisation);
	tcase_add_test(tcase, unwinding);
}

static void add_limits(TCase *tcase)
{
	tcase_add_test(tcase, bad_client_messages);
	tcase_add_test(tcase, answers_by_the_oldest_message);
	tcase_add_test(tcase, a_ready_must_have_a_status);
	tcase_add_test(tcase, the_queue_grows_up_to_its_bound);
	tcase_add_test(tcase, the_queue_goes_round);
	tcase_add_test(tcase, copy_in_takes_any_number_of_syncs);
	tcase_add_test(tcase, random_nonsense);
}

Suite *flow_suite(void)
{
	static const struct {
		const char *name;
		void (*add)(TCase *tcase);
	} groups[] = { { "queries", add_queries }, { "copy", add_copy }, { "limits", add_limits } };
	Suite *suite = suite_create("flow");

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		TCase *tcase = tcase_create(groups[i].name);
		tcase_add_checked_fixture(tcase, begin, end);
		tcase_set_timeout(tcase, 60);
		groups[i].add(tcase);
		suite_add_tcase(suite, tcase);
	}
	return suite;
}
