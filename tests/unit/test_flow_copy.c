/*
 * Conversations with a COPY in them. Many of them were seen on a PostgreSQL 15.
 */
#include "tests/unit/flow_talk.h"

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
		/* The ReadyForQuery that was owed after all answers the client's Sync. */
		talk(read ? "< I*" : "< ZI I*");
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

Suite *flow_copy_suite(void)
{
	Suite *suite = suite_create("flow_copy");

	add_conversations(suite, "copy", add_copy);
	return suite;
}
