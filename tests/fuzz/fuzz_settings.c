/*
 * The settings loader: a file, its environment, one SET. A snapshot that loads prints as a file that loads again, to the same
 * settings.
 *
 * The input is the file; behind a line "---" stand words of the environment, one a line, and a SET as "SET name=value".
 * Instead of a file there may be a URL.
 */
#define _GNU_SOURCE /* memmem */
#include "pooler/settings.h"
#include "tests/fuzz/memory_file.h"

#define ENVIRONMENT_MAX 8
#define DIVIDER "\n---\n"

struct parts {
	char *file; /* owned */
	size_t file_bytes;
	char *rest;                       /* owned */
	char *env[ENVIRONMENT_MAX + 1];   /* in rest */
	const char *set_name, *set_value; /* in rest; NULL: none */
};

static void take_line(struct parts *parts, char *line, size_t *env_count)
{
	char *equals = strchr(line, '=');

	if (strncmp(line, "SET ", 4) == 0 && equals) {
		*equals = '\0';
		parts->set_name = line + 4;
		parts->set_value = equals + 1;
	} else if (*env_count < ENVIRONMENT_MAX) {
		parts->env[(*env_count)++] = line;
	}
}

static void parts_split(struct parts *parts, const uint8_t *data, size_t size)
{
	const uint8_t *divider = memmem(data, size, DIVIDER, strlen(DIVIDER));
	size_t env_count = 0;
	char *save = NULL;

	*parts = (struct parts){ .file_bytes = divider ? (size_t)(divider - data) : size };
	parts->file = fuzz_string(data, parts->file_bytes);
	size_t skipped = divider ? parts->file_bytes + strlen(DIVIDER) : size;
	parts->rest = fuzz_string(data + skipped, size - skipped);
	for (char *line = strtok_r(parts->rest, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(parts, line, &env_count);
}

static bool names_other_files(const struct parts *parts)
{
	static const char *const words[] = { "@include", "auth_file", "AUTH_FILE" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memmem(parts->file, parts->file_bytes, words[i], strlen(words[i])))
			return true;
	for (size_t i = 0; parts->env[i]; i++)
		if (strstr(parts->env[i], "AUTH_FILE"))
			return true;
	return parts->set_name && strstr(parts->set_name, "auth_file");
}

static void expect_row(void *context, const char *key, const char *value, const char *standard, bool changeable)
{
	size_t *rows = context;

	(void)changeable;
	assert(key && *key && value && standard);
	++*rows;
}

static char *print(const struct config *config, size_t *bytes)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, bytes);

	assert(out && config_print(config, out));
	fclose(out);
	return text;
}

/* The settings, without the comments that say where they come from. */
static char *print_values(const struct config *config)
{
	size_t bytes;
	char *text = print(config, &bytes);
	char *to = text;

	for (const char *at = text; *at;) {
		const char *comment = strstr(at, ";  # ");
		size_t line = strcspn(at, "\n");
		size_t kept = comment && comment < at + line ? (size_t)(comment + 1 - at) : line;
		memmove(to, at, kept);
		to += kept;
		*to++ = '\n';
		at += line + (at[line] == '\n');
	}
	*to = '\0';
	return text;
}

static void expect_prints_alike(const struct config *a, const struct config *b)
{
	char *first = print_values(a);
	char *second = print_values(b);

	assert(strcmp(first, second) == 0);
	free(first);
	free(second);
}

static void expect_sound(const struct config *config)
{
	size_t rows = 0;

	config_each_setting(config, expect_row, &rows);
	assert(rows > 20 && config->users);
	for (size_t i = 0; i < config->database_count; i++)
		assert(config_find_database(config, config->databases[i].name) == &config->databases[i]);
	for (size_t i = 0; i < config->user_settings_count; i++) {
		const struct user_settings *user = &config->user_settings[i];
		assert(config_find_user_settings(config, user->name) == user);
	}
}

static void print_and_load(const struct config *config)
{
	static char error[CONFIG_ERROR_BYTES];
	char *const env[] = { NULL };
	struct memory_file file;
	size_t bytes;
	char *text = print(config, &bytes);

	/* A URL is its own list of users: its password, which is not printed. */
	if (config->url && config->settings.auth_type != AUTH_TYPE_TRUST) {
		free(text);
		return;
	}
	memory_file_open(&file, text, bytes);
	struct config *again = config_load(file.path, env, error, sizeof(error));
	memory_file_close(&file);
	if (!again)
		fprintf(stderr, "%s\n%s\n", text, error);
	assert(again);
	expect_prints_alike(config, again);
	config_drop(again);
	free(text);
}

static void try_set(const struct config *config, const struct parts *parts)
{
	static char error[CONFIG_ERROR_BYTES];
	struct config *changed;

	if (!parts->set_name)
		return;
	error[0] = '\0';
	changed = config_with_setting(config, parts->set_name, parts->set_value, error, sizeof(error));
	assert(changed || *error);
	if (changed) {
		expect_sound(changed);
		print_and_load(changed);
	}
	config_drop(changed);
}

static struct config *load(const struct parts *parts, char *error, size_t error_bytes)
{
	struct memory_file file;
	struct config *config;

	if (config_is_url(parts->file))
		return config_from_url(parts->file, parts->env, error, error_bytes);
	memory_file_open(&file, parts->file, parts->file_bytes);
	config = config_load(file.path, parts->env, error, error_bytes);
	memory_file_close(&file);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char error[CONFIG_ERROR_BYTES];
	struct parts parts;

	parts_split(&parts, data, size);
	if (!names_other_files(&parts)) {
		error[0] = '\0';
		struct config *config = load(&parts, error, sizeof(error));
		assert(config || (*error && strlen(error) < sizeof(error)));
		if (config) {
			expect_sound(config);
			print_and_load(config);
			try_set(config, &parts);
		}
		config_drop(config);
	}
	free(parts.file);
	free(parts.rest);
	return 0;
}
