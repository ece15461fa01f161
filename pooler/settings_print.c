/* A snapshot as rows of SHOW CONFIG, and as a file that loads again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/settings_build.h"
#include "pooler/version.h"

/* ---- SHOW CONFIG ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const struct setting *const *)a)->name, (*(const struct setting *const *)b)->name);
}

void config_each_setting(const struct config *config, config_row *row, void *context)
{
	const struct setting **sorted = calloc(settings_count, sizeof(*sorted));
	struct pg_buffer text = PG_BUFFER_EMPTY;

	if (!sorted)
		return;
	for (size_t i = 0; i < settings_count; i++)
		sorted[i] = &settings_table[i];
	qsort(sorted, settings_count, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < settings_count; i++) {
		if (!(sorted[i]->where & SETTING_GLOBAL))
			continue;
		text.length = 0;
		setting_format(sorted[i], setting_global_value(sorted[i], &config->settings), &text);
		pg_buffer_put_u8(&text, 0);
		if (text.failed)
			break;
		row(context, sorted[i]->name, (const char *)text.data, sorted[i]->standard, sorted[i]->change != 0);
	}
	pg_buffer_clear(&text);
	free(sorted);
}

/* ---- a file ---- */

static void print_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char letter = (unsigned char)*text;
		if (letter == '"' || letter == '\\')
			fprintf(out, "\\%c", letter);
		else if (letter < ' ' || letter == 0x7f)
			fprintf(out, "\\x%02x", letter);
		else
			fputc(letter, out);
	}
	fputc('"', out);
}

static void print_list(FILE *out, const struct string_list *list)
{
	fputc('[', out);
	for (size_t i = 0; i < list->count; i++) {
		fputs(i > 0 ? ", " : " ", out);
		print_quoted(out, list->items[i]);
	}
	fputs(" ]", out);
}

/* The text of a value, without a NUL in front of its end. */
static void print_formatted(FILE *out, const struct setting *setting, const void *field, bool quoted)
{
	struct pg_buffer text = PG_BUFFER_EMPTY;

	setting_format(setting, field, &text);
	pg_buffer_put_u8(&text, 0);
	if (!text.failed && quoted)
		print_quoted(out, (const char *)text.data);
	else if (!text.failed)
		fputs((const char *)text.data, out);
	pg_buffer_clear(&text);
}

static void print_value(FILE *out, const struct setting *setting, const void *field)
{
	switch (setting->type) {
	case SETTING_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		return;
	case SETTING_LIST:
		print_list(out, field);
		return;
	case SETTING_MODE:
	case SETTING_ENUM:
	case SETTING_STRING:
		print_formatted(out, setting, field, true);
		return;
	case SETTING_INT:
	case SETTING_DURATION:
		print_formatted(out, setting, field, false);
		return;
	}
}

static const char *source_comment(uint8_t source)
{
	switch ((enum setting_source)source) {
	case SETTING_FROM_DEFAULT:
		return "  # default";
	case SETTING_FROM_URL:
		return "  # from the URL";
	case SETTING_FROM_ENVIRONMENT:
		return "  # from the environment";
	case SETTING_FROM_SET:
		return "  # by SET";
	case SETTING_FROM_FILE:
		break;
	}
	return "";
}

static void print_globals(FILE *out, const struct config *config)
{
	const char *section = "";

	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if (!(setting->where & SETTING_GLOBAL))
			continue;
		if (strcmp(section, setting->section) != 0)
			fprintf(out, "\n# %s\n", setting->section);
		section = setting->section;
		fprintf(out, "%s = ", setting->name);
		print_value(out, setting, setting_global_value(setting, &config->settings));
		fprintf(out, ";%s\n", source_comment(config->sources[i]));
	}
}

static void print_own(FILE *out, const struct own_settings *own)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if (!(setting->own_bit & own->given))
			continue;
		fprintf(out, " %s = ", setting->name);
		print_value(out, setting, (const char *)own + setting->own_offset);
		fputc(';', out);
	}
}

static void print_database(FILE *out, const struct database *database)
{
	struct pg_buffer conninfo = PG_BUFFER_EMPTY;

	conninfo_print(&database->conninfo, &conninfo);
	pg_buffer_put_u8(&conninfo, 0);
	fputs("\t{ name = ", out);
	print_quoted(out, database->name);
	fputs("; conninfo = ", out);
	print_quoted(out, conninfo.failed ? "" : (const char *)conninfo.data);
	fputc(';', out);
	print_own(out, &database->own);
	fputs(" }", out);
	pg_buffer_clear(&conninfo);
}

bool config_print(const struct config *config, FILE *out)
{
	fprintf(out, "# The settings in force, written by pgweir %s. Passwords are shown as ***.\n", PGWEIR_VERSION);
	print_globals(out, config);
	fputs("\ndatabases = (\n", out);
	for (size_t i = 0; i < config->database_count; i++) {
		print_database(out, &config->databases[i]);
		fputs(i + 1 < config->database_count ? ",\n" : "\n", out);
	}
	fputs(");\n\nusers = (\n", out);
	for (size_t i = 0; i < config->user_settings_count; i++) {
		fputs("\t{ name = ", out);
		print_quoted(out, config->user_settings[i].name);
		fputc(';', out);
		print_own(out, &config->user_settings[i].own);
		fputs(i + 1 < config->user_settings_count ? " },\n" : " }\n", out);
	}
	fputs(");\n", out);
	return fflush(out) == 0 && !ferror(out);
}
