/* Values of settings from text. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pooler/clock.h"
#include "pooler/settings_table.h"

/* ---- lists ---- */

/* Takes the items. */
static bool list_accept(const struct setting *setting, struct string_list *list, void *field, char *reason,
			size_t reason_bytes)
{
	for (size_t i = 0; i < list->count; i++) {
		bool empty = list->items[i][0] == '\0';
		if (empty)
			snprintf(reason, reason_bytes, "an item of the list is empty");
		if (empty || (setting->check && !setting->check(list->items[i], reason, reason_bytes))) {
			string_list_clear(list);
			return false;
		}
	}
	string_list_clear(field);
	*(struct string_list *)field = *list;
	return true;
}

static bool list_fail(struct string_list *list, char *reason, size_t reason_bytes)
{
	string_list_clear(list);
	snprintf(reason, reason_bytes, "out of memory");
	return false;
}

bool setting_parse_items(const struct setting *setting, const char *const *items, size_t count, void *field,
			 char *reason, size_t reason_bytes)
{
	struct string_list list = { NULL, 0 };

	for (size_t i = 0; i < count; i++) {
		if (!string_list_append(&list, items[i], strlen(items[i])))
			return list_fail(&list, reason, reason_bytes);
	}
	return list_accept(setting, &list, field, reason, reason_bytes);
}

static bool parse_list(const struct setting *setting, const char *text, void *field, char *reason, size_t reason_bytes)
{
	struct string_list list = { NULL, 0 };

	if (!string_list_split(text, &list))
		return list_fail(&list, reason, reason_bytes);
	return list_accept(setting, &list, field, reason, reason_bytes);
}

/* ---- durations ---- */

struct duration_unit {
	const char *name;
	uint64_t us;
};

static const struct duration_unit duration_units[] = {
	{ "us", 1 },
	{ "ms", USEC_PER_MS },
	{ "s", USEC_PER_SEC },
	{ "min", 60 * USEC_PER_SEC },
	{ "h", 3600 * USEC_PER_SEC },
	{ "d", 86400 * USEC_PER_SEC },
};
#define DURATION_UNITS (sizeof(duration_units) / sizeof(duration_units[0]))

void duration_print(uint64_t duration_us, char *out, size_t out_bytes)
{
	size_t unit = DURATION_UNITS - 1;

	while (unit > 0 && duration_us % duration_units[unit].us != 0)
		unit--;
	if (duration_us == 0)
		snprintf(out, out_bytes, "0");
	else
		snprintf(out, out_bytes, "%llu%s", (unsigned long long)(duration_us / duration_units[unit].us),
			 duration_units[unit].name);
}

/* Digits with an optional fraction. NULL: there is no number. */
static const char *read_number(const char *at, long double *number)
{
	long double weight = 1;

	if (!isdigit((unsigned char)*at))
		return NULL;
	for (*number = 0; isdigit((unsigned char)*at); at++)
		*number = *number * 10 + (*at - '0');
	if (*at != '.')
		return at;
	for (at++; isdigit((unsigned char)*at); at++) {
		weight /= 10;
		*number += weight * (*at - '0');
	}
	return at;
}

/* What the letters after a number count; 0: they are no unit. */
static uint64_t read_unit(const struct setting *setting, const char *text)
{
	if (*text == '\0')
		return setting->unit_us;
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		if (strcmp(text, duration_units[i].name) == 0)
			return duration_units[i].us;
	}
	return 0;
}

static void explain_duration(const struct setting *setting, char *reason, size_t reason_bytes)
{
	snprintf(reason, reason_bytes,
		 "must be a duration: a number of %s, or with a unit \"250ms\", \"30s\", \"5min\", \"1h\", \"1d\"",
		 setting->unit_us == USEC_PER_MS ? "milliseconds" : "seconds");
}

static void explain_duration_bounds(const struct setting *setting, char *reason, size_t reason_bytes)
{
	char low[DURATION_PRINT_BYTES], high[DURATION_PRINT_BYTES];

	duration_print(setting->minimum, low, sizeof(low));
	duration_print(setting->maximum, high, sizeof(high));
	snprintf(reason, reason_bytes, "must be between %s and %s", low, high);
}

static bool parse_duration(const struct setting *setting, const char *text, void *field, char *reason,
			   size_t reason_bytes)
{
	long double number, exact_us;
	const char *end = read_number(text, &number);
	uint64_t unit_us, value_us;

	while (end && *end == ' ')
		end++;
	unit_us = end ? read_unit(setting, end) : 0;
	if (unit_us == 0) {
		explain_duration(setting, reason, reason_bytes);
		return false;
	}
	exact_us = number * (long double)unit_us;
	if (!(exact_us <= (long double)setting->maximum) || exact_us < (long double)setting->minimum) {
		explain_duration_bounds(setting, reason, reason_bytes);
		return false;
	}
	value_us = (uint64_t)(exact_us + 0.5L);
	/* A tiny time must not become 0, which means something else. */
	if (value_us % setting->step_us != 0 || (value_us == 0 && exact_us > 0)) {
		char step[DURATION_PRINT_BYTES];
		duration_print(setting->step_us, step, sizeof(step));
		snprintf(reason, reason_bytes, "must be a multiple of %s", step);
		return false;
	}
	memcpy(field, &value_us, sizeof(value_us));
	return true;
}

/* ---- the other types ---- */

static bool parse_bool(const char *text, void *field, char *reason, size_t reason_bytes)
{
	static const char *const words[][2] = { { "0", "1" }, { "false", "true" }, { "off", "on" }, { "no", "yes" } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (int value = 0; value < 2; value++) {
			if (strcasecmp(text, words[i][value]) == 0) {
				*(bool *)field = value != 0;
				return true;
			}
		}
	}
	snprintf(reason, reason_bytes, "must be true or false (also 1 or 0, \"on\" or \"off\")");
	return false;
}

static bool parse_number(const struct setting *setting, const char *text, void *field, char *reason,
			 size_t reason_bytes)
{
	int base = setting->type == SETTING_MODE ? 8 : 10;
	char *end = NULL;
	unsigned long long number = strtoull(text, &end, base); /* too large a number stays above every maximum */
	uint32_t value = (uint32_t)number;

	/* strtoull takes blanks and signs too. */
	if (!isdigit((unsigned char)text[text[0] == '-' ? 1 : 0]) || *end != '\0') {
		snprintf(reason, reason_bytes, "must be a whole number%s", base == 8 ? " in octal" : "");
		return false;
	}
	if (text[0] == '-' || number < setting->minimum || number > setting->maximum) {
		snprintf(reason, reason_bytes,
			 base == 8 ? "must be between %04llo and %04llo" : "must be between %llu and %llu",
			 (unsigned long long)setting->minimum, (unsigned long long)setting->maximum);
		return false;
	}
	memcpy(field, &value, sizeof(value));
	return true;
}

static bool parse_enum(const struct setting *setting, const char *text, void *field, char *reason, size_t reason_bytes)
{
	size_t used = 0;

	for (uint32_t i = 0; setting->choices[i]; i++) {
		if (strcasecmp(setting->choices[i], text) == 0) {
			memcpy(field, &i, sizeof(i));
			return true;
		}
	}
	for (size_t i = 0; setting->choices[i] && used < reason_bytes; i++) {
		int wrote = snprintf(reason + used, reason_bytes - used, "%s\"%s\"", i == 0 ? "must be one of " : ", ",
				     setting->choices[i]);
		used += wrote > 0 ? (size_t)wrote : 0;
	}
	return false;
}

static bool parse_string(const struct setting *setting, const char *text, void *field, char *reason,
			 size_t reason_bytes)
{
	char *copy, **kept = field;

	if (setting->check && !setting->check(text, reason, reason_bytes))
		return false;
	copy = strdup(text);
	if (!copy) {
		snprintf(reason, reason_bytes, "out of memory");
		return false;
	}
	free(*kept);
	*kept = copy;
	return true;
}

bool setting_parse(const struct setting *setting, const char *text, void *field, char *reason, size_t reason_bytes)
{
	switch (setting->type) {
	case SETTING_BOOL:
		return parse_bool(text, field, reason, reason_bytes);
	case SETTING_INT:
	case SETTING_MODE:
		return parse_number(setting, text, field, reason, reason_bytes);
	case SETTING_DURATION:
		return parse_duration(setting, text, field, reason, reason_bytes);
	case SETTING_ENUM:
		return parse_enum(setting, text, field, reason, reason_bytes);
	case SETTING_STRING:
		return parse_string(setting, text, field, reason, reason_bytes);
	case SETTING_LIST:
		return parse_list(setting, text, field, reason, reason_bytes);
	}
	return false;
}
