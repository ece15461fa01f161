/*
 * Conversations, written down.
 *
 * A conversation reads "> P B E S < 1 2 C ZI": '>' is followed by what goes to the server, '<' by what comes from it; a '*'
 * marks a message of ours and its answers; ReadyForQuery carries its status; '!' marks an answer that must be bad.
 */
#ifndef TESTS_UNIT_FLOW_TALK_H
#define TESTS_UNIT_FLOW_TALK_H

#include <check.h>
#include <string.h>

#include "protocol/flow.h"

static struct pg_flow flow;
static struct pg_flow_answer last; /* of the server's */
static uint32_t dropped;           /* statements, since the conversation began */
static char completed[64];         /* what was completed, since the conversation began */

static inline void begin(void)
{
	pg_flow_init(&flow);
}

static inline void end(void)
{
	pg_flow_clear(&flow);
}

static inline void to_server(const char *word, size_t size, const char *where)
{
	enum pg_flow_sent sent = pg_flow_client(&flow, (uint8_t)word[0], size > 1 && word[1] == '*');

	ck_assert_msg(sent == PG_FLOW_SENT || sent == PG_FLOW_SKIPPED, "not taken: %s", where);
}

static inline void from_server(const char *word, size_t size, const char *where)
{
	uint8_t status = word[0] == 'Z' ? (uint8_t)word[1] : 0;

	last = pg_flow_server(&flow, (uint8_t)word[0], status);
	ck_assert_msg(last.bad == (word[size - 1] == '!'), "judged wrongly: %s", where);
	ck_assert_msg(last.bad || last.ours == (word[size - 1] == '*'), "ours or not: %s", where);
	dropped += last.statements_dropped;
	if (last.completed)
		completed[strlen(completed)] = (char)last.completed;
}

static inline void talk(const char *conversation)
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
static inline void talk_anew(const char *conversation)
{
	pg_flow_clear(&flow);
	talk(conversation);
}

#define assert_free() ck_assert(pg_flow_is_free(&flow))
#define assert_busy() ck_assert(!pg_flow_is_free(&flow))

/* One group of tests, each of which begins with a new connection. */
static inline void add_conversations(Suite *suite, const char *name, void (*add)(TCase *tcase))
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, begin, end);
	tcase_set_timeout(tcase, 60);
	add(tcase);
	suite_add_tcase(suite, tcase);
}

#endif
