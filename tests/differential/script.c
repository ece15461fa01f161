#define _GNU_SOURCE 1 /* strchrnul */

#include "tests/differential/script.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/child.h"

static bool note_modes(struct script *script, const char *mode)
{
	script->session = strcmp(mode, "session") == 0;
	script->transaction = strcmp(mode, "transaction") == 0;
	return script->session || script->transaction;
}

static bool note_compare(struct script *script, const char *how)
{
	static const char *const names[] = {
		[COMPARE_SQLSTATES] = "sqlstate",
		[COMPARE_TYPES] = "types",
		[COMPARE_FAREWELLS] = "farewells",
	};

	for (size_t i = COMPARE_SQLSTATES; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(how, names[i]) == 0)
			script->compare = (enum compare)i;
	return script->compare != COMPARE_ALL;
}

static bool note_step(struct script *script, const struct step *step)
{
	if (step->client >= script->clients)
		script->clients = step->client + 1;
	if (step->kind != STEP_OPTION)
		return true;
	if (strcmp(step->verb, "modes") == 0)
		return note_modes(script, step->words[0].text);
	if (strcmp(step->verb, "compare") == 0)
		return note_compare(script, step->words[0].text);
	return true;
}

static void begin(struct script *script, const char *name)
{
	memset(script, 0, sizeof(*script));
	snprintf(script->name, sizeof(script->name), "%s", name);
	script->session = script->transaction = true;
	script->clients = 1;
}

static void add_line(struct script *script, const char *line, unsigned number)
{
	const char *problem;
	struct step step;

	line += strspn(line, " \t");
	if (*line == '#' || *line == '\0')
		return;
	ck_assert_msg(step_parse(&step, line, &problem), "%s, line %u: %s: %s", script->name, number, problem, line);
	ck_assert_msg(note_step(script, &step), "%s, line %u: no such choice: %s", script->name, number, line);
	script->steps = realloc(script->steps, (script->count + 1) * sizeof(step));
	ck_assert_ptr_nonnull(script->steps);
	script->steps[script->count++] = step;
}

void script_parse(struct script *script, const char *name, const char *text)
{
	begin(script, name);
	for (unsigned number = 1; *text; number++) {
		const char *end = strchrnul(text, '\n');
		char *line = strndup(text, (size_t)(end - text));
		add_line(script, line, number);
		free(line);
		text = *end ? end + 1 : end;
	}
	ck_assert_msg(script->count > 0, "%s is empty", name);
}

void script_load(struct script *script, const char *path)
{
	const char *name = strrchr(path, '/');
	char *text = file_text(path);

	script_parse(script, name ? name + 1 : path, text);
	free(text);
}

void script_clear(struct script *script)
{
	for (size_t i = 0; i < script->count; i++)
		step_clear(&script->steps[i]);
	free(script->steps);
	memset(script, 0, sizeof(*script));
}

void script_copy_without(struct script *out, const struct script *script, const bool *dropped)
{
	begin(out, script->name);
	for (size_t i = 0; i < script->count; i++)
		if (!dropped[i])
			add_line(out, script->steps[i].line, (unsigned)i + 1);
}

char *script_text(const struct script *script)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	for (size_t i = 0; i < script->count; i++) {
		pg_buffer_put_bytes(&out, script->steps[i].line, strlen(script->steps[i].line));
		pg_buffer_put_u8(&out, '\n');
	}
	pg_buffer_put_u8(&out, '\0');
	ck_assert(!out.failed);
	return (char *)out.data;
}
