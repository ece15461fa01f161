/*
 * Sets of session parameters, and the SQL that brings a server from one to another: read as PostgreSQL would read it, it sets
 * just what is wanted to just the value that is wanted, whatever stands in names and values.
 *
 * The input is pairs of strings; a string that begins with 0xff ends the first set and begins the second.
 */
#include <strings.h>

#include "pooler/params.h"
#include "tests/fuzz/fuzz.h"

#define PAIRS_MAX 24

static const struct params *make_set(struct choices *choices, char *strings[], size_t *string_count)
{
	struct param pairs[PAIRS_MAX];
	size_t count = 0;

	for (int i = 0; i < PAIRS_MAX && choices_left(choices) && *choices->at != 0xff; i++) {
		char *name = strings[(*string_count)++] = choose_string(choices);
		char *value = strings[(*string_count)++] = choose_string(choices);
		if (*name)
			pairs[count++] = (struct param){ name, value };
	}
	choose_byte(choices);
	const struct params *made = params_make(pairs, count);
	assert(made);
	return made;
}

/* In the order of names, each once. */
static void expect_sound(const struct params *params)
{
	for (size_t i = 0; i < params_count(params); i++) {
		const struct param *param = params_at(params, i);
		assert(i == 0 || strcasecmp(params_at(params, i - 1)->name, param->name) < 0);
		assert(params_find(params, param->name) == param->value);
	}
}

/* ---- reading the SQL ---- */

static bool take_text(const char **at, const char *text)
{
	size_t bytes = strlen(text);

	if (strncmp(*at, text, bytes) != 0)
		return false;
	*at += bytes;
	return true;
}

/* A literal in its quotes, E in front or not; the value goes to `out`. */
static void take_literal(const char **at, char *out)
{
	bool escapes = take_text(at, "E");

	assert(take_text(at, "'"));
	for (;;) {
		char c = *(*at)++;
		assert(c);
		if (c == '\\') {
			assert(escapes); /* else what it means depends on a setting */
			c = *(*at)++;
			assert(c == '\\');
		} else if (c == '\'' && *(*at)++ != '\'') {
			--*at;
			*out = '\0';
			return;
		}
		*out++ = c;
	}
}

/* "a"."b": the name of a setting, as it was before it was quoted. */
static void take_name(const char **at, char *out)
{
	do {
		assert(take_text(at, "\""));
		while (**at != '"' || (*at)[1] == '"') {
			*at += **at == '"';
			assert(**at);
			*out++ = *(*at)++;
		}
		++*at;
		*out++ = '.';
	} while (take_text(at, "."));
	out[-1] = '\0';
}

/* Runs it over `have` as a server would; returns what is in force then. */
static const struct params *run_sql(const struct params *have, const char *sql)
{
	const struct params *now = params_hold(have);
	char name[600], value[600];

	while (*sql) {
		const struct params *next;
		if (take_text(&sql, "RESET ")) {
			take_name(&sql, name);
			assert(params_find(now, name));
			next = params_with(now, name, NULL);
		} else {
			assert(take_text(&sql, "SELECT pg_catalog.set_config("));
			take_literal(&sql, name);
			assert(take_text(&sql, ","));
			take_literal(&sql, value);
			assert(take_text(&sql, ",false)"));
			next = params_with(now, name, value);
		}
		assert(take_text(&sql, ";") && next);
		params_drop(now);
		now = next;
	}
	return now;
}

static bool equal_values(const struct params *a, const struct params *b)
{
	if (params_count(a) != params_count(b))
		return false;
	for (size_t i = 0; i < params_count(a); i++) {
		const char *other = params_find(b, params_at(a, i)->name);
		if (!other || strcmp(other, params_at(a, i)->value) != 0)
			return false;
	}
	return true;
}

static void try_sql(const struct params *have, const struct params *want, bool force)
{
	struct pg_buffer sql = PG_BUFFER_EMPTY;

	params_put_sql(have, want, force, &sql);
	pg_buffer_put_u8(&sql, '\0');
	if (!sql.failed) {
		const struct params *now = run_sql(have, (const char *)sql.data);
		assert(equal_values(now, want));
		params_drop(now);
	}
	pg_buffer_clear(&sql);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choices choices = { data, data + size };
	char *strings[4 * PAIRS_MAX];
	size_t string_count = 0;
	const struct params *have = make_set(&choices, strings, &string_count);
	const struct params *want = make_set(&choices, strings, &string_count);

	expect_sound(have);
	expect_sound(want);
	const struct params *both = params_overlay(have, want);
	expect_sound(both);
	try_sql(have, want, false);
	try_sql(have, want, true);
	try_sql(want, both, false);
	params_drop(both);
	params_drop(want);
	params_drop(have);
	for (size_t i = 0; i < string_count; i++)
		free(strings[i]);
	return 0;
}
