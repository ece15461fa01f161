/* The comparison itself: it must see what is different, and its scripts must mean what they say. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/differential/differ.h"
#include "tests/differential/generate.h"
#include "tests/differential/shrink.h"
#include "tests/support/clock.h"

Suite *harness_suite(void);

static struct cluster cluster;

static void set_up(void)
{
	cluster_open(&cluster);
}

static void tear_down(void)
{
	cluster_close(&cluster);
}

/* ---- what is seen ---- */

static const struct sight {
	const char *text;
	const char *seen; /* in what is told; NULL: nothing is told */
} sights[] = {
	{ "Query \"SELECT 1\"\nread", NULL },
	{ "direct: Query \"SELECT 1\"\npgweir: Query \"SELECT 2\"\nread", "> " },
	{ "direct: Query \"SELECT 1\"\npgweir: Query \"SELECT 1 AS other\"\nread", "RowDescription" },
	/* An answer more, an answer less. */
	{ "Query \"SELECT 1\"\npgweir: Sync", "got something else" },
	{ "Query \"SELECT 1\"\ndirect: Sync", "got something else" },
	{ "Query \"SELECT 1\"\ndirect: Sync\nread", "messages should have come" },
	/* The texts of errors, where they are to be compared. */
	{ "direct: Query \"SELEC\"\npgweir: Query \"SELECTT\"\nread", "ErrorResponse" },
	{ "compare sqlstate\ndirect: Query \"SELEC\"\npgweir: Query \"SELECTT\"\nread", NULL },
	{ "compare sqlstate\ndirect: Query \"SELEC\"\npgweir: Query \"SELECT 1 / 0\"\nread", "ErrorResponse" },
	{ "compare types\ndirect: Query \"SELEC\"\npgweir: Query \"SELECT 1 / 0\"\nread", NULL },
	{ "compare types\nQuery \"SELEC\"\nread\npgweir: error 22012", "not error 22012 but 42601" },
	{ "compare types\nQuery \"SELECT 1\"\nread\npgweir: error 22012", "but none" },
	/* A transaction that is left open is the other client's business at the latest. */
	{ "direct: Query \"SELECT 1\"\npgweir: Query \"SELECT 1; BEGIN\"\nread until Z", "ReadyForQuery" },
	{ "setup \"CREATE TABLE t (a int)\"\nQuery \"SELECT 'x' FROM t\"\nread", NULL },
	{ "Terminate\nclosed", NULL },
	{ "direct: Query \"SELECT 1\"\npgweir: Terminate\nread", "(closed)" },
};

START_TEST(differences_are_seen)
{
	const struct sight *sight = &sights[_i];
	struct place place;
	struct script script;
	struct talk reference;
	struct trial trial = { .patience_ms = 1000 };

	place_open(&place, &cluster);
	script_parse(&script, "sight", sight->text);
	ck_assert(differ_reference(&place, &script, &reference, PATIENCE_MS));
	char *told = differ_trial(&place, &script, &reference, &trial);
	if (sight->seen)
		ck_assert_msg(told && strstr(told, sight->seen), "not seen: \"%s\" in: %s", sight->seen, told);
	else
		ck_assert_msg(!told, "%s", told);
	free(told);
	talk_clear(&reference);
	script_clear(&script);
	place_close(&place);
}
END_TEST

START_TEST(a_session_that_is_not_clean_is_seen)
{
	struct place place;
	struct neighbour visitor;

	place_open(&place, &cluster);
	struct endpoint direct = place_direct(&place);
	ck_assert_msg(neighbour_visit(&visitor, &direct, PATIENCE_MS), "%s", visitor.failure);
	/* To every session of the role: what a pooled one would have left. */
	sql_exec(place.super, "ALTER ROLE u_trust IN DATABASE %s SET work_mem = '9MB'", place.database);
	ck_assert(!neighbour_visit(&visitor, &direct, PATIENCE_MS));
	ck_assert_ptr_nonnull(strstr(visitor.failure, "9MB"));
	place_close(&place);
}
END_TEST

/* ---- scripts ---- */

static void check_message(const char *line, const char *bytes, size_t count)
{
	struct step step;
	const char *problem;

	ck_assert_msg(step_parse(&step, line, &problem), "%s: %s", line, problem);
	ck_assert_uint_eq(step.message.length, count);
	ck_assert_mem_eq(step.message.data, bytes, count);
	step_clear(&step);
}

START_TEST(lines_become_messages)
{
#define CHECK_MESSAGE(line, bytes) check_message(line, bytes, sizeof(bytes) - 1)
	CHECK_MESSAGE("Query \"a\\n\\\"\\x41\"", "Q\0\0\0\011a\n\"A\0");
	CHECK_MESSAGE("Query \"a\" + 3*\"bc\" + \"d\"", "Q\0\0\0\015abcbcbcd\0");
	CHECK_MESSAGE("Parse \"s\" \"q\" 23 0", "P\0\0\0\022s\0q\0\0\2\0\0\0\27\0\0\0\0");
	CHECK_MESSAGE("Bind \"p\" \"s\" \"x\" NULL b\"\\x00\" -> 1 0",
		      "B\0\0\0\046p\0s\0\0\3\0\0\0\0\0\1\0\3\0\0\0\1x\377\377\377\377\0\0\0\1\0\0\2\0\1\0\0");
	CHECK_MESSAGE("Describe S \"s\"", "D\0\0\0\7Ss\0");
	CHECK_MESSAGE("Close P \"\"", "C\0\0\0\6P\0");
	CHECK_MESSAGE("Execute \"p\" 7", "E\0\0\0\012p\0\0\0\0\7");
	CHECK_MESSAGE("Sync", "S\0\0\0\4");
	CHECK_MESSAGE("Flush", "H\0\0\0\4");
	CHECK_MESSAGE("CopyData \"1\\n\"", "d\0\0\0\0061\n");
	CHECK_MESSAGE("CopyDone", "c\0\0\0\4");
	CHECK_MESSAGE("CopyFail \"no\"", "f\0\0\0\7no\0");
	CHECK_MESSAGE("FunctionCall 177 \"1\" -> 1", "F\0\0\0\025\0\0\0\261\0\1\0\0\0\1\0\0\0\0011\0\1");
	CHECK_MESSAGE("Message \"y\" \"body\"", "y\0\0\0\010body");
	CHECK_MESSAGE("Bytes \"\\x00\\xff\"", "\0\377");
}
END_TEST

START_TEST(senseless_lines_are_refused)
{
	static const char *const lines[] = {
		"Qery \"a\"",          "Query",          "Query \"a\" \"b\"", "Query \"a",
		"Query \"\\q\"",       "Execute \"\" x", "Describe SS \"\"",  "read until",
		"read until ZZ",       "client 9: Sync", "Bind \"\" \"\" x",  "Parse \"\" \"\" y",
		"Message \"yy\" \"\"", "Query 3*\"a\" +"
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct step step;
		const char *problem = NULL;
		ck_assert_msg(!step_parse(&step, lines[i], &problem), "it was taken: %s", lines[i]);
		ck_assert_ptr_nonnull(problem);
	}
}
END_TEST

START_TEST(quoted_bytes_are_read_as_the_same)
{
	struct pg_buffer line = PG_BUFFER_EMPTY;
	struct step step;
	const char *problem;
	char all[256];

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	pg_buffer_put_bytes(&line, "CopyData ", 9);
	step_quote(&line, all, sizeof(all));
	pg_buffer_put_u8(&line, '\0');
	ck_assert_msg(step_parse(&step, (char *)line.data, &problem), "%s", problem);
	ck_assert_uint_eq(step.message.length, 5 + sizeof(all));
	ck_assert_mem_eq(step.message.data + 5, all, sizeof(all));
	step_clear(&step);
	pg_buffer_clear(&line);
}
END_TEST

START_TEST(a_seed_gives_one_conversation)
{
	struct script one, same, other;

	generate_script(&one, 42, false);
	generate_script(&same, 42, false);
	generate_script(&other, 43, false);
	char *text = script_text(&one), *same_text = script_text(&same), *other_text = script_text(&other);
	ck_assert_str_eq(text, same_text);
	ck_assert_str_ne(text, other_text);
	free(text), free(same_text), free(other_text);
	script_clear(&one), script_clear(&same), script_clear(&other);
}
END_TEST

/* ---- shrinking ---- */

/* Fails when "SELECT 3" stands somewhere in front of a Flush. */
static bool has_three_and_flush(void *context, const struct script *script)
{
	bool three = false;

	++*(int *)context;
	for (size_t i = 0; i < script->count; i++) {
		three |= strcmp(script->steps[i].line, "Query \"SELECT 3\"") == 0;
		if (three && strcmp(script->steps[i].line, "Flush") == 0)
			return true;
	}
	return false;
}

START_TEST(what_does_not_matter_is_left_out)
{
	struct script script;
	int tries = 0;

	script_parse(&script, "long",
		     "Sync\nFlush\nQuery \"SELECT 1\"\nQuery \"SELECT 2\"\nread\nQuery \"SELECT 3\"\nSync\nSync\nread\n"
		     "Parse \"\" \"\"\nFlush\nSync\nFlush\nread\nQuery \"SELECT 4\"\nread\n");
	shrink_script(&script, has_three_and_flush, &tries, now_ms() + PATIENCE_MS);
	char *text = script_text(&script);
	ck_assert_str_eq(text, "Query \"SELECT 3\"\nFlush\n");
	ck_assert_int_lt(tries, 60);
	free(text);
	script_clear(&script);
}
END_TEST

Suite *harness_suite(void)
{
	Suite *suite = suite_create("harness");
	TCase *talks = tcase_create("talks"), *scripts = tcase_create("scripts");

	tcase_add_unchecked_fixture(talks, set_up, tear_down);
	tcase_add_loop_test(talks, differences_are_seen, 0, sizeof(sights) / sizeof(sights[0]));
	tcase_add_test(talks, a_session_that_is_not_clean_is_seen);
	suite_add_tcase(suite, talks);
	tcase_add_test(scripts, lines_become_messages);
	tcase_add_test(scripts, senseless_lines_are_refused);
	tcase_add_test(scripts, quoted_bytes_are_read_as_the_same);
	tcase_add_test(scripts, a_seed_gives_one_conversation);
	tcase_add_test(scripts, what_does_not_matter_is_left_out);
	suite_add_tcase(suite, scripts);
	return suite;
}
