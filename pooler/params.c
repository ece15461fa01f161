#include "pooler/params.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pooler/hash.h"

struct params {
	UT_hash_handle hh; /* shared: table_lock; the key is the text */
	atomic_uint holders;
	size_t text_bytes;
	char *text; /* owned: name NUL value NUL ... in the order of names */
	size_t count;
	struct param pairs[]; /* point into text */
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct params *table; /* shared: table_lock */

static int param_compare(const void *a, const void *b)
{
	return strcasecmp(((const struct param *)a)->name, ((const struct param *)b)->name);
}

/* Sorted by name, later ones over earlier ones. Returns the new count. */
static size_t params_sort(struct param *pairs, size_t count)
{
	size_t kept = 0;

	/* An insertion sort: sets are small, mostly sorted already, and it keeps the order of equals. */
	for (size_t i = 1; i < count; i++) {
		struct param moving = pairs[i];
		size_t at = i;
		for (; at > 0 && param_compare(&pairs[at - 1], &moving) > 0; at--)
			pairs[at] = pairs[at - 1];
		pairs[at] = moving;
	}
	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && param_compare(&pairs[kept - 1], &pairs[i]) == 0)
			pairs[kept - 1].value = pairs[i].value;
		else
			pairs[kept++] = pairs[i];
	}
	return kept;
}

static char *params_write_text(const struct param *pairs, size_t count, size_t *bytes)
{
	struct pg_buffer text = PG_BUFFER_EMPTY;

	for (size_t i = 0; i < count; i++) {
		pg_buffer_put_string(&text, pairs[i].name);
		pg_buffer_put_string(&text, pairs[i].value);
	}
	if (count == 0)
		pg_buffer_put_u8(&text, 0);
	if (text.failed) {
		pg_buffer_clear(&text);
		return NULL;
	}
	*bytes = text.length;
	return (char *)text.data;
}

/* A set that is in no table yet. Takes the text. */
static struct params *params_create(char *text, size_t text_bytes, size_t count)
{
	struct params *params = calloc(1, sizeof(*params) + count * sizeof(params->pairs[0]));

	if (!params) {
		free(text);
		return NULL;
	}
	atomic_init(&params->holders, 1);
	params->text = text;
	params->text_bytes = text_bytes;
	params->count = count;
	for (size_t i = 0; i < count; i++) {
		params->pairs[i].name = text;
		text += strlen(text) + 1;
		params->pairs[i].value = text;
		text += strlen(text) + 1;
	}
	return params;
}

static void params_free(struct params *params)
{
	free(params->text);
	free(params);
}

const struct params *params_make(const struct param *pairs, size_t count)
{
	struct params *found = NULL;
	size_t text_bytes = 0;
	struct param *sorted = malloc((count + 1) * sizeof(*sorted));

	if (!sorted)
		return NULL;
	if (count)
		memcpy(sorted, pairs, count * sizeof(*sorted));
	count = params_sort(sorted, count);
	char *text = params_write_text(sorted, count, &text_bytes);
	free(sorted);
	struct params *made = text ? params_create(text, text_bytes, count) : NULL;
	if (!made)
		return NULL;

	pthread_mutex_lock(&table_lock);
	HASH_FIND(hh, table, made->text, made->text_bytes, found);
	if (found)
		atomic_fetch_add_explicit(&found->holders, 1, memory_order_relaxed);
	else
		HASH_ADD_KEYPTR(hh, table, made->text, made->text_bytes, made);
	bool added = !found && HASH_ADDED(made);
	pthread_mutex_unlock(&table_lock);
	if (added)
		return made;
	params_free(made);
	return found;
}

const struct params *params_empty(void)
{
	return params_make(NULL, 0);
}

/* The caller's pointer is const because a set never changes; its count of holders does. */
static struct params *params_mutable(const struct params *params)
{
	return (struct params *)(uintptr_t)params;
}

const struct params *params_hold(const struct params *params)
{
	atomic_fetch_add_explicit(&params_mutable(params)->holders, 1, memory_order_relaxed);
	return params;
}

void params_drop(const struct params *params)
{
	struct params *mine = params_mutable(params);
	unsigned holders;

	if (!mine)
		return;
	/* Not the last holder: no lock. The last one must leave the table under the lock, where nobody can find it. */
	holders = atomic_load_explicit(&mine->holders, memory_order_relaxed);
	while (holders > 1)
		if (atomic_compare_exchange_weak_explicit(&mine->holders, &holders, holders - 1, memory_order_release,
							  memory_order_relaxed))
			return;
	pthread_mutex_lock(&table_lock);
	bool last = atomic_fetch_sub_explicit(&mine->holders, 1, memory_order_acq_rel) == 1;
	if (last)
		HASH_DEL(table, mine);
	pthread_mutex_unlock(&table_lock);
	if (last)
		params_free(mine);
}

size_t params_count(const struct params *params)
{
	return params->count;
}

const struct param *params_at(const struct params *params, size_t index)
{
	return &params->pairs[index];
}

const char *params_find(const struct params *params, const char *name)
{
	for (size_t i = 0; i < params->count; i++)
		if (strcasecmp(params->pairs[i].name, name) == 0)
			return params->pairs[i].value;
	return NULL;
}

const struct params *params_with(const struct params *params, const char *name, const char *value)
{
	struct param *pairs = malloc((params->count + 1) * sizeof(*pairs));
	size_t count = 0;

	if (!pairs)
		return NULL;
	for (size_t i = 0; i < params->count; i++)
		if (value || strcasecmp(params->pairs[i].name, name) != 0)
			pairs[count++] = params->pairs[i];
	if (value)
		pairs[count++] = (struct param){ name, value };
	const struct params *made = params_make(pairs, count);
	free(pairs);
	return made;
}

const struct params *params_overlay(const struct params *base, const struct params *over)
{
	struct param *pairs = malloc((base->count + over->count + 1) * sizeof(*pairs));

	if (!pairs)
		return NULL;
	memcpy(pairs, base->pairs, base->count * sizeof(*pairs));
	memcpy(pairs + base->count, over->pairs, over->count * sizeof(*pairs));
	const struct params *made = params_make(pairs, base->count + over->count);
	free(pairs);
	return made;
}

/* `text` between quotes of the given kind, quotes inside doubled. */
static void put_quoted(struct pg_buffer *sql, const char *text, char quote)
{
	pg_buffer_put_u8(sql, (uint8_t)quote);
	for (; *text; text++) {
		if (*text == quote)
			pg_buffer_put_u8(sql, (uint8_t)quote);
		pg_buffer_put_u8(sql, (uint8_t)*text);
	}
	pg_buffer_put_u8(sql, (uint8_t)quote);
}

/* A setting's name, which may have a class in front ("myapp.user"): each part is quoted by itself. */
static void put_name(struct pg_buffer *sql, const char *name)
{
	char part[256];

	for (;;) {
		size_t bytes = strcspn(name, ".");
		if (bytes >= sizeof(part)) {
			sql->failed = true;
			return;
		}
		memcpy(part, name, bytes);
		part[bytes] = '\0';
		put_quoted(sql, part, '"');
		name += bytes;
		if (*name++ != '.')
			return;
		pg_buffer_put_u8(sql, '.');
	}
}

static void put_text(struct pg_buffer *sql, const char *text)
{
	pg_buffer_put_bytes(sql, text, strlen(text));
}

/* A string literal that reads the same whatever standard_conforming_strings says. */
static void put_literal(struct pg_buffer *sql, const char *text)
{
	if (strchr(text, '\\'))
		pg_buffer_put_u8(sql, 'E');
	pg_buffer_put_u8(sql, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			pg_buffer_put_u8(sql, (uint8_t)*text);
		pg_buffer_put_u8(sql, (uint8_t)*text);
	}
	pg_buffer_put_u8(sql, '\'');
}

/* set_config takes a value exactly as the startup packet would: SET would read a list such as search_path's as one name. */
static void put_set(struct pg_buffer *sql, const struct param *param)
{
	put_text(sql, "SELECT pg_catalog.set_config(");
	put_literal(sql, param->name);
	put_text(sql, ",");
	put_literal(sql, param->value);
	put_text(sql, ",false);");
}

static void put_reset(struct pg_buffer *sql, const char *name)
{
	put_text(sql, "RESET ");
	put_name(sql, name);
	put_text(sql, ";");
}

void params_put_sql(const struct params *have, const struct params *want, bool force, struct pg_buffer *sql)
{
	size_t h = 0, w = 0;

	/* Both are in the order of names: one walk finds what is only here, only there, or different. */
	while (h < have->count || w < want->count) {
		int order = h == have->count   ? 1
			    : w == want->count ? -1
					       : strcasecmp(have->pairs[h].name, want->pairs[w].name);
		if (order < 0) {
			put_reset(sql, have->pairs[h++].name);
		} else if (order > 0) {
			put_set(sql, &want->pairs[w++]);
		} else {
			if (force || strcmp(have->pairs[h].value, want->pairs[w].value) != 0)
				put_set(sql, &want->pairs[w]);
			h++;
			w++;
		}
	}
}
