#include "tests/differential/step.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/build.h"

#define WORDS_MAX 64

/* ---- words ---- */

static int hex_digit(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* What stands behind a backslash. NULL: nothing that means something. */
static const char *parse_escape(const char *at, uint8_t *value)
{
	static const char names[] = "nrt0\\\"", values[] = "\n\r\t\0\\\"";
	const char *name = *at ? strchr(names, *at) : NULL;

	if (name) {
		*value = (uint8_t)values[name - names];
		return at + 1;
	}
	if (*at != 'x' || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
		return NULL;
	*value = (uint8_t)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
	return at + 3;
}

/* Behind the opening quote. NULL: it has no end, or a wrong escape. */
static const char *parse_quoted(const char *at, struct pg_buffer *out)
{
	while (*at != '"') {
		uint8_t value = (uint8_t)*at++;
		if (value == '\0')
			return NULL;
		if (value == '\\' && !(at = parse_escape(at, &value)))
			return NULL;
		pg_buffer_put_u8(out, value);
	}
	return at + 1;
}

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* [N*]"..." [+ [N*]"..."] ... */
static const char *parse_pieces(const char *at, struct pg_buffer *out)
{
	for (;;) {
		struct pg_buffer piece = PG_BUFFER_EMPTY;
		unsigned long times = 1;

		if (isdigit((unsigned char)*at)) {
			times = strtoul(at, (char **)(uintptr_t)&at, 10);
			at += *at == '*';
		}
		at = *at == '"' ? parse_quoted(at + 1, &piece) : NULL;
		for (unsigned long i = 0; at && i < times; i++)
			pg_buffer_put_bytes(out, piece.data, piece.length);
		pg_buffer_clear(&piece);
		const char *next = at ? skip_blanks(at) : NULL;
		if (!next || *next != '+')
			return at;
		at = skip_blanks(next + 1);
	}
}

static bool begins_string(const char *at)
{
	while (isdigit((unsigned char)*at))
		at++;
	return *at == '"' || (*at == '*' && at[1] == '"');
}

static const char *parse_word(const char *at, struct word *word)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	if (begins_string(at)) {
		word->kind = WORD_STRING;
		at = parse_pieces(at, &out);
	} else if (at[0] == 'b' && at[1] == '"') {
		word->kind = WORD_BYTES;
		at = parse_pieces(at + 1, &out);
	} else {
		word->kind = WORD_BARE;
		size_t bytes = strcspn(at, " \t");
		pg_buffer_put_bytes(&out, at, bytes);
		at += bytes;
	}
	word->bytes = out.length;
	pg_buffer_put_u8(&out, '\0');
	ck_assert(!out.failed);
	word->text = (char *)out.data;
	return at;
}

static bool is_bare(const struct word *word, const char *text)
{
	return word->kind == WORD_BARE && strcmp(word->text, text) == 0;
}

void step_quote(struct pg_buffer *out, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	char escaped[8];

	pg_buffer_put_u8(out, '"');
	for (size_t i = 0; i < count; i++) {
		if (at[i] == '\n')
			snprintf(escaped, sizeof(escaped), "\\n");
		else if (at[i] == '\t')
			snprintf(escaped, sizeof(escaped), "\\t");
		else if (at[i] == '"' || at[i] == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", at[i]);
		else if (isprint(at[i]))
			snprintf(escaped, sizeof(escaped), "%c", at[i]);
		else
			snprintf(escaped, sizeof(escaped), "\\x%02x", at[i]);
		pg_buffer_put_bytes(out, escaped, strlen(escaped));
	}
	pg_buffer_put_u8(out, '"');
}

/* ---- messages ---- */

static bool put_number(struct pg_buffer *out, const struct word *word, bool wide)
{
	char *end;
	long value = strtol(word->text, &end, 10);

	if (wide)
		pg_buffer_put_u32(out, (uint32_t)value);
	else
		pg_buffer_put_u16(out, (uint16_t)value);
	return word->kind == WORD_BARE && *end == '\0' && end != word->text;
}

static void put_text(struct pg_buffer *out, const struct word *word)
{
	pg_buffer_put_bytes(out, word->text, word->bytes + 1);
}

/* Values and, behind "->", the formats of results: the tail of Bind and, with `one_result`, of FunctionCall. */
static bool put_values(struct pg_buffer *out, const struct word *words, size_t count, bool one_result)
{
	uint16_t values = 0;
	bool good = true;

	while (values < count && !is_bare(&words[values], "->"))
		values++;
	pg_buffer_put_u16(out, values);
	for (size_t i = 0; i < values; i++)
		pg_buffer_put_u16(out, words[i].kind == WORD_BYTES);
	pg_buffer_put_u16(out, values);
	for (size_t i = 0; i < values; i++) {
		bool null = is_bare(&words[i], "NULL");
		good &= null || words[i].kind != WORD_BARE;
		pg_buffer_put_u32(out, null ? UINT32_MAX : (uint32_t)words[i].bytes);
		if (!null)
			pg_buffer_put_bytes(out, words[i].text, words[i].bytes);
	}
	size_t formats = values < count ? count - values - 1 : 0;
	if (one_result && formats == 0)
		pg_buffer_put_u16(out, 0);
	if (!one_result)
		pg_buffer_put_u16(out, (uint16_t)formats);
	for (size_t i = 0; i < formats; i++)
		good &= put_number(out, &words[values + 1 + i], false);
	return good && (!one_result || formats <= 1);
}

static bool put_text_only(struct step *step)
{
	put_text(&step->message, &step->words[0]);
	return true;
}

static bool put_parse(struct step *step)
{
	bool good = true;

	put_text(&step->message, &step->words[0]);
	put_text(&step->message, &step->words[1]);
	pg_buffer_put_u16(&step->message, (uint16_t)(step->word_count - 2));
	for (size_t i = 2; i < step->word_count; i++)
		good &= put_number(&step->message, &step->words[i], true);
	return good;
}

static bool put_bind(struct step *step)
{
	put_text(&step->message, &step->words[0]);
	put_text(&step->message, &step->words[1]);
	return put_values(&step->message, step->words + 2, step->word_count - 2, false);
}

/* Describe and Close: S or P, and a name. */
static bool put_target(struct step *step)
{
	pg_buffer_put_u8(&step->message, (uint8_t)step->words[0].text[0]);
	put_text(&step->message, &step->words[1]);
	return step->words[0].bytes == 1;
}

static bool put_execute(struct step *step)
{
	put_text(&step->message, &step->words[0]);
	return put_number(&step->message, &step->words[1], true);
}

static bool put_function_call(struct step *step)
{
	return put_number(&step->message, &step->words[0], true) &&
	       put_values(&step->message, step->words + 1, step->word_count - 1, true);
}

static bool put_body(struct step *step)
{
	pg_buffer_put_bytes(&step->message, step->words[0].text, step->words[0].bytes);
	return true;
}

static bool put_nothing(struct step *step)
{
	(void)step;
	return true;
}

static bool put_any(struct step *step)
{
	step->message.data[0] = (uint8_t)step->words[0].text[0];
	pg_buffer_put_bytes(&step->message, step->words[1].text, step->words[1].bytes);
	return step->words[0].bytes == 1;
}

/* ---- verbs ---- */

struct verb {
	const char *name;
	enum step_kind kind;
	uint8_t type;         /* of the message; 0: the words are all of it */
	unsigned least, most; /* words */
	bool (*put)(struct step *step);
};

static const struct verb verbs[] = {
	{ "Query", STEP_MESSAGE, 'Q', 1, 1, put_text_only },
	{ "Parse", STEP_MESSAGE, 'P', 2, WORDS_MAX, put_parse },
	{ "Bind", STEP_MESSAGE, 'B', 2, WORDS_MAX, put_bind },
	{ "Describe", STEP_MESSAGE, 'D', 2, 2, put_target },
	{ "Close", STEP_MESSAGE, 'C', 2, 2, put_target },
	{ "Execute", STEP_MESSAGE, 'E', 2, 2, put_execute },
	{ "Sync", STEP_MESSAGE, 'S', 0, 0, put_nothing },
	{ "Flush", STEP_MESSAGE, 'H', 0, 0, put_nothing },
	{ "CopyData", STEP_MESSAGE, 'd', 1, 1, put_body },
	{ "CopyDone", STEP_MESSAGE, 'c', 0, 0, put_nothing },
	{ "CopyFail", STEP_MESSAGE, 'f', 1, 1, put_text_only },
	{ "FunctionCall", STEP_MESSAGE, 'F', 1, WORDS_MAX, put_function_call },
	{ "Terminate", STEP_MESSAGE, 'X', 0, 0, put_nothing },
	{ "Message", STEP_MESSAGE, '?', 2, 2, put_any },
	{ "Bytes", STEP_MESSAGE, 0, 1, 1, put_body },
	{ "connect", STEP_CONNECT, 0, 0, 0, NULL },
	{ "read", STEP_READ, 0, 0, 2, NULL },
	{ "until", STEP_UNTIL, 0, 1, 1, NULL },
	{ "cancel", STEP_CANCEL, 0, 0, 0, NULL },
	{ "error", STEP_ERROR, 0, 1, 1, NULL },
	{ "closed", STEP_CLOSED, 0, 0, 0, NULL },
	{ "leave", STEP_LEAVE, 0, 0, 0, NULL },
	{ "modes", STEP_OPTION, 0, 1, 1, NULL },
	{ "compare", STEP_OPTION, 0, 1, 1, NULL },
	{ "startup", STEP_OPTION, 0, 2, 2, NULL },
	{ "setup", STEP_OPTION, 0, 1, 1, NULL },
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static bool build_message(struct step *step, const struct verb *verb)
{
	if (!verb->put)
		return true;
	size_t begin = verb->type ? pg_buffer_begin(&step->message, verb->type) : 0;
	bool good = verb->put(step);
	if (verb->type)
		pg_buffer_end(&step->message, begin);
	return good && !step->message.failed;
}

/* "client 2:", "direct:", "pgweir:" */
static const char *parse_prefixes(struct step *step, const char *at)
{
	unsigned number;
	int length = 0;

	if (sscanf(at, "client %u:%n", &number, &length) == 1 && length > 0) {
		step->client = number - 1;
		at = skip_blanks(at + length);
	}
	if (strncmp(at, "direct:", 7) == 0) {
		step->side = SIDE_DIRECT;
		at = skip_blanks(at + 7);
	} else if (strncmp(at, "pgweir:", 7) == 0) {
		step->side = SIDE_PGWEIR;
		at = skip_blanks(at + 7);
	}
	return at;
}

static const char *fill(struct step *step, const char *at)
{
	struct word words[WORDS_MAX + 1];
	const struct verb *verb;
	size_t count = 0;

	at = parse_prefixes(step, at);
	while (at && *at && count <= WORDS_MAX)
		if ((at = parse_word(at, &words[count++])))
			at = skip_blanks(at);
	step->words = malloc(sizeof(words));
	ck_assert_ptr_nonnull(step->words);
	memcpy(step->words, words, count * sizeof(words[0]));
	step->word_count = count;
	if (!at || count == 0 || count > WORDS_MAX)
		return "no end of a string, a wrong escape, or too many words";
	verb = find_verb(step->words[0].text);
	if (!verb)
		return "no such verb";
	/* The verb is no argument. */
	free(step->words[0].text);
	memmove(step->words, step->words + 1, --step->word_count * sizeof(words[0]));
	if (step->word_count < verb->least || step->word_count > verb->most)
		return "too few or too many words for its verb";
	if (step->client >= CLIENTS_MAX)
		return "no such client";
	step->verb = verb->name;
	step->kind = verb->kind;
	return build_message(step, verb) ? NULL : "a word of a wrong kind";
}

bool step_parse(struct step *step, const char *line, const char **problem)
{
	memset(step, 0, sizeof(*step));
	line = skip_blanks(line);
	step->line = strdup(line);
	*problem = fill(step, line);
	if (!*problem && step->kind == STEP_READ && step->word_count) {
		bool good = step->word_count == 2 && is_bare(&step->words[0], "until") && step->words[1].bytes == 1;
		step->kind = STEP_READ_UNTIL;
		step->letter = step->words[step->word_count - 1].text[0];
		*problem = good ? NULL : "read takes nothing or: until LETTER";
	}
	if (*problem)
		step_clear(step);
	return !*problem;
}

void step_clear(struct step *step)
{
	for (size_t i = 0; i < step->word_count; i++)
		free(step->words[i].text);
	free(step->words);
	free(step->line);
	pg_buffer_clear(&step->message);
	memset(step, 0, sizeof(*step));
}
