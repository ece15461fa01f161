/* The reference page and the man page's section on settings, from the table. */
#include <stdio.h>
#include <string.h>

#include "pooler/clock.h"
#include "pooler/settings_table.h"

/* ---- in words ---- */

static void describe_duration(const struct setting *setting, FILE *out)
{
	char low[DURATION_PRINT_BYTES], high[DURATION_PRINT_BYTES];

	duration_print(setting->minimum, low, sizeof(low));
	duration_print(setting->maximum, high, sizeof(high));
	fprintf(out, "duration (%s), %s to %s", setting->unit_us == USEC_PER_MS ? "milliseconds" : "seconds", low,
		high);
}

static void describe_value(const struct setting *setting, FILE *out)
{
	switch (setting->type) {
	case SETTING_BOOL:
		fputs("boolean", out);
		return;
	case SETTING_INT:
		fprintf(out, "%llu to %llu", (unsigned long long)setting->minimum,
			(unsigned long long)setting->maximum);
		return;
	case SETTING_MODE:
		fprintf(out, "octal, to %04llo", (unsigned long long)setting->maximum);
		return;
	case SETTING_DURATION:
		describe_duration(setting, out);
		return;
	case SETTING_ENUM:
		for (size_t i = 0; setting->choices[i]; i++)
			fprintf(out, "%s%s", i > 0 ? ", " : "", setting->choices[i]);
		return;
	case SETTING_STRING:
		fputs("string", out);
		return;
	case SETTING_LIST:
		fputs("list of strings", out);
		return;
	}
}

static const char *where_in_words(const struct setting *setting)
{
	switch (setting->where) {
	case SETTING_GLOBAL:
		return "global";
	case SETTING_DATABASE:
		return "database";
	case SETTING_USER:
		return "user";
	case SETTING_DATABASE | SETTING_USER:
		return "database, user";
	default:
		return "global, database, user";
	}
}

static const char *change_in_words(const struct setting *setting)
{
	if (setting->change == 0)
		return "restart";
	return setting->change & SETTING_BY_SET ? "reload, SET" : "reload";
}

/* ---- Markdown ---- */

static const char markdown_head[] =
	"# Settings\n"
	"\n"
	"<!-- Written by `pgweir --help-settings=markdown` from the table in pooler/settings_table.c: change it there. -->\n"
	"\n"
	"A file in [libconfig](https://hyperrealm.github.io/libconfig/)'s format holds global settings, a list `databases`\n"
	"and a list `users`:\n"
	"\n"
	"```\n"
	"listen_addr = \"127.0.0.1\";\n"
	"auth_file = \"userlist.txt\";\n"
	"databases = (\n"
	"  { name = \"app\"; conninfo = \"host=db1 dbname=app\"; pool_size = 20; },\n"
	"  { name = \"*\"; conninfo = \"host=db1\"; }\n"
	");\n"
	"users = ( { name = \"batch\"; pool_mode = \"session\"; } );\n"
	"```\n"
	"\n"
	"- The name of a global setting in capitals behind `PGWEIR_`, such as `PGWEIR_LISTEN_PORT=7000`, in the environment\n"
	"  wins over the file. `SET` on the console wins over both, until the next `RELOAD`.\n"
	"- Of the same setting in several places, the user's counts before the database's before the global one.\n"
	"- A duration is a number of seconds, or a string with a unit: `\"250ms\"`, `\"30s\"`, `\"5min\"`, `\"1h\"`.\n"
	"- A list is `[ \"a\", \"b\" ]`, or one string with commas.\n"
	"- `@include \"other.conf\"` takes in another file, relative to the directory of the first. In one configuration\n"
	"  either all names of included files are relative, or all are absolute.\n"
	"- A file with a fault is refused whole, with file, line, setting and reason; at a reload the running settings stay.\n"
	"- In the tables, *change* says how a setting can be changed while pgweir runs.\n";

static void print_markdown_default(const struct setting *setting, FILE *out)
{
	if (setting->standard)
		fprintf(out, setting->standard[0] ? "`%s`" : "empty", setting->standard);
}

void settings_print_markdown(FILE *out)
{
	const char *section = "";

	fputs(markdown_head, out);
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if (strcmp(section, setting->section) != 0) {
			fprintf(out, "\n## %s\n\n", setting->section);
			fputs("| setting | value | default | where | change | meaning |\n|---|---|---|---|---|---|\n",
			      out);
		}
		section = setting->section;
		fprintf(out, "| `%s` | ", setting->name);
		describe_value(setting, out);
		fputs(" | ", out);
		print_markdown_default(setting, out);
		fprintf(out, " | %s | %s | %s |\n", where_in_words(setting), change_in_words(setting), setting->help);
	}
}

/* ---- roff ---- */

/* '-' as it is typed, and no line that looks like a request. */
static void print_roff(const char *text, FILE *out)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", out);
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
	}
}

static void print_man_entry(const struct setting *setting, FILE *out)
{
	fprintf(out, ".TP\n.B %s\n", setting->name);
	print_roff(setting->help, out);
	fputs("\n.br\nValue: ", out);
	describe_value(setting, out);
	if (setting->standard) {
		fputs(". Default: ", out);
		print_roff(setting->standard[0] ? setting->standard : "empty", out);
	}
	fprintf(out, ". In: %s. Change: %s.\n", where_in_words(setting), change_in_words(setting));
}

void settings_print_man(FILE *out)
{
	const char *section = "";

	fputs(".\\\" settings: from here to the end mark written by pgweir --help-settings=man\n", out);
	for (size_t i = 0; i < settings_count; i++) {
		if (strcmp(section, settings_table[i].section) != 0)
			fprintf(out, ".SS %s\n", settings_table[i].section);
		section = settings_table[i].section;
		print_man_entry(&settings_table[i], out);
	}
	fputs(".\\\" settings: end\n", out);
}
