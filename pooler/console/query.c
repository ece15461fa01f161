#include "pooler/console/query.h"

#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c > 127 ||
	       (c && strchr("_.*+-/:@$%", c));
}

static bool starts_comment(const char *at)
{
	return (at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*');
}

/* Behind a block comment, which may hold others; NULL: it does not end. */
static const char *skip_block(const char *at)
{
	unsigned depth = 0;

	do {
		if (at[0] == '/' && at[1] == '*') {
			depth++;
			at += 2;
		} else if (at[0] == '*' && at[1] == '/') {
			depth--;
			at += 2;
		} else if (*at++ == '\0') {
			return NULL;
		}
	} while (depth > 0);
	return at;
}

/* Behind white space and comments. */
static const char *skip_space(const char *at, const char **error)
{
	for (;;) {
		while (is_space(*at))
			at++;
		if (!starts_comment(at))
			return at;
		at = at[0] == '-' ? at + strcspn(at, "\r\n") : skip_block(at);
		if (!at) {
			*error = "unterminated /* comment";
			return NULL;
		}
	}
}

static void put(struct query *query, char c)
{
	if (query->used < sizeof(query->text))
		query->text[query->used] = c;
	query->used++; /* beyond the end it says that the text is too long */
}

static const char *take_quoted(const char *at, struct query *query, const char **error)
{
	char quote = *at++;

	for (;; at++) {
		if (*at == '\0') {
			*error = quote == '"' ? "unterminated quoted identifier" : "unterminated quoted string";
			return NULL;
		}
		if (*at == quote && *++at != quote)
			return at;
		put(query, *at);
	}
}

static const char *take_plain(const char *at, struct query *query)
{
	while (is_plain(*at) && !starts_comment(at))
		put(query, *at++);
	return at;
}

static const char *take_word(const char *at, struct query *query, const char **error)
{
	if (query->count == QUERY_WORDS_MAX) {
		*error = "the statement has too many words";
		return NULL;
	}
	struct query_word *word = &query->words[query->count++];
	word->text = query->text + query->used;
	if (*at == '"' || *at == '\'') {
		word->kind = *at == '"' ? QUERY_QUOTED : QUERY_STRING;
		at = take_quoted(at, query, error);
	} else if (is_plain(*at)) {
		word->kind = QUERY_PLAIN;
		at = take_plain(at, query);
	} else {
		word->kind = QUERY_MARK;
		put(query, *at++);
	}
	put(query, '\0');
	if (at && query->used > sizeof(query->text)) {
		*error = "the statement is too long";
		return NULL;
	}
	return at;
}

static enum query_result next_statement(const char **at, struct query *query, const char **error)
{
	const char *here = *at;

	query->count = 0;
	query->used = 0;
	while ((here = skip_space(here, error)) && *here != '\0' && *here != ';')
		if (!(here = take_word(here, query, error)))
			return QUERY_BAD;
	if (!here)
		return QUERY_BAD;
	*at = *here == ';' ? here + 1 : here;
	return query->count == 0 && *here == '\0' ? QUERY_END : QUERY_OK;
}

enum query_result query_next(const char **at, struct query *query, const char **error)
{
	enum query_result result;

	do
		result = next_statement(at, query, error);
	while (result == QUERY_OK && query->count == 0);
	return result;
}

bool query_is(const struct query *query, unsigned index, const char *keyword)
{
	return index < query->count && query->words[index].kind == QUERY_PLAIN &&
	       strcasecmp(query->words[index].text, keyword) == 0;
}

bool query_is_mark(const struct query *query, unsigned index, char mark)
{
	return index < query->count && query->words[index].kind == QUERY_MARK && query->words[index].text[0] == mark;
}

const char *query_name(const struct query *query, unsigned index)
{
	const struct query_word *word = &query->words[index];

	return index < query->count && (word->kind == QUERY_PLAIN || word->kind == QUERY_QUOTED) ? word->text : NULL;
}

const char *query_value(const struct query *query, unsigned index)
{
	return index < query->count && query->words[index].kind == QUERY_STRING ? query->words[index].text
										: query_name(query, index);
}
