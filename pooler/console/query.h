/*
 * The text of a console command, cut into words.
 *
 *      show pools;  PAUSE "My-App" -- why
 *      set server_lifetime = 10min; SET server_reset_query TO 'DISCARD ALL'
 *
 * Statements end with a semicolon or the text. White space and comments, PostgreSQL's two kinds, separate words and mean
 * nothing else. A word is a run of letters, digits and _.*+-/:@$% and any byte above 127; "..." and '...' may hold anything,
 * their own quote written twice. Everything else is a mark of one character.
 *
 * Pure: no allocation, any thread.
 */
#ifndef POOLER_CONSOLE_QUERY_H
#define POOLER_CONSOLE_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#define QUERY_WORDS_MAX 12
#define QUERY_TEXT_BYTES 4096 /* of all words of one statement, with their NULs */

enum query_word_kind {
	QUERY_PLAIN,
	QUERY_QUOTED, /* "..." */
	QUERY_STRING, /* '...' */
	QUERY_MARK,
};

struct query_word {
	enum query_word_kind kind;
	const char *text; /* in struct query */
};

struct query {
	unsigned count; /* 0: an empty statement */
	struct query_word words[QUERY_WORDS_MAX];
	size_t used;
	char text[QUERY_TEXT_BYTES];
};

enum query_result {
	QUERY_OK,
	QUERY_END, /* no more statements */
	QUERY_BAD, /* `error` says why */
};

/* The next statement from *at, which moves on behind it. Empty ones between semicolons are skipped. */
enum query_result query_next(const char **at, struct query *query, const char **error);

/* True when the word at `index` is there, plain, and this keyword, whatever the case. */
bool query_is(const struct query *query, unsigned index, const char *keyword);
/* True when the word at `index` is this mark. */
bool query_is_mark(const struct query *query, unsigned index, char mark);
/* A name, plain or in double quotes; NULL when the word at `index` is none. */
const char *query_name(const struct query *query, unsigned index);
/* A value: a name, or a string; the same. */
const char *query_value(const struct query *query, unsigned index);

#endif
