/* A snapshot from a file in libconfig's format. */
#define _GNU_SOURCE /* asprintf */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "pooler/settings_file.h"

#define FILE_BYTES_MAX (16u * 1024u * 1024u)
#define READ_BYTES (64u * 1024u)

/* ---- the text of a file ---- */

/* All of the file, a newline (libconfig wants one after a comment) and a NUL. False: errno. */
static bool read_file(const char *path, struct pg_buffer *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = -1;

	if (fd < 0)
		return false;
	while (pg_buffer_reserve(text, READ_BYTES + 2) && text->length <= FILE_BYTES_MAX) {
		count = read(fd, text->data + text->length, READ_BYTES);
		if (count > 0)
			text->length += (size_t)count;
		else if (count == 0 || errno != EINTR)
			break;
	}
	if (count > 0)
		errno = text->failed ? ENOMEM : EFBIG;
	close(fd);
	if (count != 0)
		return false;
	text->data[text->length++] = '\n';
	text->data[text->length] = '\0';
	return true;
}

struct scan_context {
	struct config_errors *errors;
	const char *file;
};

static void report_scan_fault(void *context, unsigned line, const char *text)
{
	const struct scan_context *scan = context;

	config_errors_add(scan->errors, scan->file, line, NULL, "%s", text);
}

/* False: it cannot be used, and why is reported. */
static bool read_and_scan(struct config_builder *builder, const char *path, struct pg_buffer *text,
			  bool *absolute_include)
{
	struct scan_context scan = { .errors = &builder->errors, .file = path };
	unsigned before = builder->errors.count;

	if (!read_file(path, text)) {
		config_errors_add(&builder->errors, path, 0, NULL, "cannot be read: %s", strerror(errno));
		return false;
	}
	settings_scan((const char *)text->data, text->length, report_scan_fault, &scan, absolute_include);
	return builder->errors.count == before;
}

/* ---- the tree ---- */

static void load_global(struct config_builder *builder, const config_setting_t *given)
{
	const char *name = config_setting_name(given);
	const struct setting *setting = setting_find(name, SETTING_GLOBAL);
	struct config_place place = config_file_place(builder, given);
	char reason[CONFIG_REASON_BYTES];

	if (!setting)
		setting_explain_unknown(name, SETTING_GLOBAL, reason, sizeof(reason));
	else if (config_file_parse(setting, given, setting_global_field(setting, &builder->config->settings), reason,
				   sizeof(reason))) {
		builder->config->sources[setting_index(setting)] = SETTING_FROM_FILE;
		builder->places[setting_index(setting)] = place;
		return;
	}
	config_errors_add(&builder->errors, place.file, place.line, name, "%s", reason);
}

static bool is_entries(const config_setting_t *given)
{
	const char *name = config_setting_name(given);

	return strcmp(name, "databases") == 0 || strcmp(name, "users") == 0;
}

/* Global settings first, because those of the entries are measured against them. */
static void load_tree(struct config_builder *builder, const config_t *file, char *const *env)
{
	const config_setting_t *root = config_root_setting(file);
	const config_setting_t *databases = config_setting_get_member(root, "databases");
	const config_setting_t *users = config_setting_get_member(root, "users");

	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *given = config_setting_get_elem(root, (unsigned)i);
		if (!is_entries(given))
			load_global(builder, given);
	}
	config_builder_take_environment(builder, env);
	if (databases)
		config_file_load_entries(builder, databases, SETTING_DATABASE);
	if (users)
		config_file_load_entries(builder, users, SETTING_USER);
	if (!databases || (config_setting_is_list(databases) && config_setting_length(databases) == 0))
		config_errors_add(&builder->errors, builder->origin, 0, "databases", "there must be at least one");
}

/* ---- the whole file ---- */

/* The path of an included file, to be freed: libconfig tells the name as it was written. NULL: no memory. */
static char *included_path(const struct config_builder *builder, const char *name)
{
	const char *path = builder->config->path, *slash = strrchr(path, '/');
	char *whole = NULL;

	if (name[0] == '/')
		return strdup(name);
	return asprintf(&whole, "%.*s/%s", (int)(slash - path), path, name) < 0 ? NULL : whole;
}

static void scan_included_file(struct config_builder *builder, const char *name)
{
	struct pg_buffer text = PG_BUFFER_EMPTY;
	char *path = included_path(builder, name);
	bool ignored;

	if (path)
		read_and_scan(builder, path, &text, &ignored);
	else
		config_errors_add(&builder->errors, name, 0, NULL, "out of memory");
	pg_buffer_wipe(&text);
	free(path);
}

/* Files that @include brought in are looked over too; one that defines nothing cannot do harm. */
static void scan_included(struct config_builder *builder, const config_setting_t *setting, const char **last)
{
	const char *file = config_setting_source_file(setting);

	if (file && (!*last || strcmp(file, *last) != 0)) {
		scan_included_file(builder, file);
		*last = file;
	}
	for (int i = 0; config_setting_is_aggregate(setting) && i < config_setting_length(setting); i++)
		scan_included(builder, config_setting_get_elem(setting, (unsigned)i), last);
}

static void wipe_tree(const config_setting_t *setting)
{
	if (config_setting_type(setting) == CONFIG_TYPE_STRING && setting->value.sval)
		OPENSSL_cleanse(setting->value.sval, strlen(setting->value.sval));
	for (int i = 0; config_setting_is_aggregate(setting) && i < config_setting_length(setting); i++)
		wipe_tree(config_setting_get_elem(setting, (unsigned)i));
}

static void report_syntax(struct config_builder *builder, const config_t *file)
{
	const char *name = config_error_file(file), *path = builder->config->path;
	size_t length = strlen(path);
	bool ini = length > 4 && strcmp(path + length - 4, ".ini") == 0;

	config_errors_add(&builder->errors, name ? name : builder->origin, (unsigned)config_error_line(file), NULL,
			  "%s%s", config_error_text(file), ini ? " (pgweir does not read PgBouncer's .ini files)" : "");
}

/* Names of included files are relative to the file's own directory, or absolute. libconfig puts the directory in front
 * of both, so that a file must not mix them. */
static void set_include_dir(config_t *file, const char *path, bool absolute_include)
{
	char *directory = strdup(path);
	char *slash = directory ? strrchr(directory, '/') : NULL;

	if (slash && !absolute_include) {
		slash[slash == directory ? 1 : 0] = '\0';
		config_set_include_dir(file, directory);
	}
	free(directory);
}

static void load_file(struct config_builder *builder, char *const *env)
{
	struct pg_buffer text = PG_BUFFER_EMPTY;
	const char *last = NULL;
	bool absolute_include;
	config_t file;

	config_init(&file);
	if (read_and_scan(builder, builder->config->path, &text, &absolute_include)) {
		set_include_dir(&file, builder->config->path, absolute_include);
		if (!config_read_string(&file, (const char *)text.data)) {
			report_syntax(builder, &file);
		} else {
			scan_included(builder, config_root_setting(&file), &last);
			load_tree(builder, &file, env);
		}
		wipe_tree(config_root_setting(&file));
	}
	pg_buffer_wipe(&text);
	config_destroy(&file);
}

/* The name of a file without its links: a ConfigMap's links move at an update. */
static char *absolute_path(const char *path)
{
	char *directory = path[0] == '/' ? NULL : getcwd(NULL, 0), *absolute = NULL;

	if (path[0] == '/')
		return strdup(path);
	if (!directory || asprintf(&absolute, "%s/%s", directory, path) < 0)
		absolute = NULL;
	free(directory);
	return absolute;
}

struct config *config_load(const char *path, char *const *env, char *error, size_t error_bytes)
{
	struct config_builder builder;

	if (config_builder_begin(&builder, path, error, error_bytes)) {
		builder.config->path = absolute_path(path);
		if (builder.config->path)
			load_file(&builder, env);
		else
			config_errors_add(&builder.errors, path, 0, NULL, "%s", strerror(errno));
	}
	return config_builder_end(&builder);
}
