/*
 * Conversations without a COPY, what is not allowed, and the queue. Many conversations were seen on a PostgreSQL 15.
 */
#include <stdlib.h>
#include <time.h>

#include "tests/unit/flow_talk.h"

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
	Suite *suite = suite_create("flow");

	add_conversations(suite, "queries", add_queries);
	add_conversations(suite, "limits", add_limits);
	return suite;
}
