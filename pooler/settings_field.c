/* Fields of settings: to text, from one structure to another, all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/clock.h"
#include "pooler/settings_table.h"

_Static_assert(sizeof(enum pool_mode) == sizeof(uint32_t) && sizeof(enum auth_type) == sizeof(uint32_t),
	       "an enum is read and written as a uint32_t");

/* ---- to text ---- */

static void put_text(struct pg_buffer *out, const char *text)
{
	pg_buffer_put_bytes(out, text, strlen(text));
}

static uint32_t load_u32(const void *field)
{
	uint32_t value;

	memcpy(&value, field, sizeof(value));
	return value;
}

/* A number of the setting's unit, with as many decimals as it needs. */
static void format_duration(const struct setting *setting, const void *field, struct pg_buffer *out)
{
	char text[32];
	uint64_t value_us;
	size_t length;

	memcpy(&value_us, field, sizeof(value_us));
	snprintf(text, sizeof(text), "%llu.%06llu", (unsigned long long)(value_us / setting->unit_us),
		 (unsigned long long)(value_us % setting->unit_us * (USEC_PER_SEC / setting->unit_us)));
	for (length = strlen(text); text[length - 1] == '0'; length--)
		;
	if (text[length - 1] == '.')
		length--;
	pg_buffer_put_bytes(out, text, length);
}

static void format_list(const struct string_list *list, struct pg_buffer *out)
{
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			put_text(out, ",");
		put_text(out, list->items[i]);
	}
}

void setting_format(const struct setting *setting, const void *field, struct pg_buffer *out)
{
	char text[32];

	switch (setting->type) {
	case SETTING_BOOL:
		put_text(out, *(const bool *)field ? "1" : "0");
		return;
	case SETTING_INT:
		snprintf(text, sizeof(text), "%u", load_u32(field));
		put_text(out, text);
		return;
	case SETTING_MODE:
		snprintf(text, sizeof(text), "%04o", load_u32(field));
		put_text(out, text);
		return;
	case SETTING_DURATION:
		format_duration(setting, field, out);
		return;
	case SETTING_ENUM:
		put_text(out, setting->choices[load_u32(field)]);
		return;
	case SETTING_STRING:
		put_text(out, *(char *const *)field);
		return;
	case SETTING_LIST:
		format_list(field, out);
		return;
	}
}

/* ---- from one to another ---- */

static bool copy_string(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

bool setting_copy(const struct setting *setting, void *to, const void *from)
{
	switch (setting->type) {
	case SETTING_BOOL:
		*(bool *)to = *(const bool *)from;
		return true;
	case SETTING_INT:
	case SETTING_MODE:
	case SETTING_ENUM:
		memcpy(to, from, sizeof(uint32_t));
		return true;
	case SETTING_DURATION:
		memcpy(to, from, sizeof(uint64_t));
		return true;
	case SETTING_STRING:
		return copy_string(to, *(char *const *)from);
	case SETTING_LIST:
		return string_list_copy(to, from);
	}
	return false;
}

void setting_clear(const struct setting *setting, void *field)
{
	if (setting->type == SETTING_LIST)
		string_list_clear(field);
	if (setting->type == SETTING_STRING) {
		free(*(char **)field);
		*(char **)field = NULL;
	}
}

bool setting_equal(const struct setting *setting, const void *a, const void *b)
{
	switch (setting->type) {
	case SETTING_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case SETTING_INT:
	case SETTING_MODE:
	case SETTING_ENUM:
		return memcmp(a, b, sizeof(uint32_t)) == 0;
	case SETTING_DURATION:
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case SETTING_STRING:
		return strcmp(*(char *const *)a, *(char *const *)b) == 0;
	case SETTING_LIST:
		return string_list_equal(a, b);
	}
	return false;
}

/* ---- all of them ---- */

bool settings_init(struct settings *settings)
{
	char reason[128];

	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if ((setting->where & SETTING_GLOBAL) &&
		    !setting_parse(setting, setting->standard, setting_global_field(setting, settings), reason,
				   sizeof(reason)))
			return false;
	}
	return true;
}

bool settings_copy(struct settings *to, const struct settings *from)
{
	bool copied = true;

	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if (setting->where & SETTING_GLOBAL)
			copied &= setting_copy(setting, setting_global_field(setting, to),
					       setting_global_value(setting, from));
	}
	return copied;
}

void settings_clear(struct settings *settings)
{
	for (size_t i = 0; i < settings_count; i++) {
		if (settings_table[i].where & SETTING_GLOBAL)
			setting_clear(&settings_table[i], setting_global_field(&settings_table[i], settings));
	}
}
