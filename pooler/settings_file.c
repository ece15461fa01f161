/* Values of libconfig for settings of ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/settings_file.h"

/* libconfig's own copy of a name goes before the last faults are reported. */
static const char *keep_file_name(struct config_builder *builder, const char *name)
{
	struct string_list *files = &builder->files;

	for (size_t i = 0; i < files->count; i++) {
		if (strcmp(files->items[i], name) == 0)
			return files->items[i];
	}
	return string_list_append(files, name, strlen(name)) ? files->items[files->count - 1] : builder->origin;
}

struct config_place config_file_place(struct config_builder *builder, const config_setting_t *given)
{
	const char *file = config_setting_source_file(given);

	return (struct config_place){ .file = file ? keep_file_name(builder, file) : builder->origin,
				      .line = (unsigned)config_setting_source_line(given) };
}

static bool is_number(int type)
{
	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

/* Which kinds of value in a file can be meant for a setting. */
static bool type_fits(const struct setting *setting, const config_setting_t *given)
{
	int type = config_setting_type(given);

	switch (setting->type) {
	case SETTING_BOOL:
		return type == CONFIG_TYPE_BOOL || is_number(type) || type == CONFIG_TYPE_STRING;
	case SETTING_INT:
	case SETTING_MODE:
		return is_number(type) || type == CONFIG_TYPE_STRING;
	case SETTING_DURATION:
		return is_number(type) || type == CONFIG_TYPE_FLOAT || type == CONFIG_TYPE_STRING;
	case SETTING_ENUM:
		return type == CONFIG_TYPE_STRING;
	case SETTING_STRING:
		return type == CONFIG_TYPE_STRING || (setting->number_too && is_number(type));
	case SETTING_LIST:
		return type == CONFIG_TYPE_STRING || type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
	}
	return false;
}

static const char *type_wanted(const struct setting *setting)
{
	switch (setting->type) {
	case SETTING_BOOL:
		return "must be true or false";
	case SETTING_INT:
	case SETTING_MODE:
		return "must be a whole number";
	case SETTING_DURATION:
		return "must be a number of seconds, or a string such as \"30s\"";
	case SETTING_LIST:
		return "must be a list of strings: [ \"a\", \"b\" ], or \"a, b\"";
	default:
		return "must be a string, in double quotes";
	}
}

/* The value as text; `scratch` holds it where it is a number. */
static const char *value_text(const struct setting *setting, const config_setting_t *given, char *scratch,
			      size_t scratch_bytes)
{
	bool octal = setting->type == SETTING_MODE && config_setting_get_format(given) == CONFIG_FORMAT_HEX;

	switch (config_setting_type(given)) {
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(given) ? "true" : "false";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		/* libconfig reads 0777 as 777: the digits are what was written. */
		snprintf(scratch, scratch_bytes, octal ? "%llo" : "%lld", config_setting_get_int64(given));
		return scratch;
	case CONFIG_TYPE_FLOAT:
		snprintf(scratch, scratch_bytes, "%.9f", config_setting_get_float(given));
		return scratch;
	default:
		return config_setting_get_string(given);
	}
}

static bool parse_items(const struct setting *setting, const config_setting_t *given, void *field, char *reason,
			size_t reason_bytes)
{
	size_t count = (size_t)config_setting_length(given);
	const char **items = calloc(count + 1, sizeof(*items));
	bool parsed = items != NULL;

	if (!items)
		snprintf(reason, reason_bytes, "out of memory");
	for (size_t i = 0; parsed && i < count; i++) {
		items[i] = config_setting_get_string_elem(given, (int)i);
		parsed = items[i] != NULL;
		if (!parsed)
			snprintf(reason, reason_bytes, "%s", type_wanted(setting));
	}
	parsed = parsed && setting_parse_items(setting, items, count, field, reason, reason_bytes);
	free(items);
	return parsed;
}

bool config_file_parse(const struct setting *setting, const config_setting_t *given, void *field, char *reason,
		       size_t reason_bytes)
{
	char scratch[400]; /* holds any double */

	if (!type_fits(setting, given)) {
		snprintf(reason, reason_bytes, "%s", type_wanted(setting));
		return false;
	}
	if (config_setting_is_aggregate(given))
		return parse_items(setting, given, field, reason, reason_bytes);
	return setting_parse(setting, value_text(setting, given, scratch, sizeof(scratch)), field, reason,
			     reason_bytes);
}
