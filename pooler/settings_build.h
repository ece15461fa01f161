/*
 * Making a snapshot: what the loaders of a file and of a URL have in common.
 *
 * Inside pooler/settings*.c only; the main thread, before the snapshot is shared.
 */
#ifndef POOLER_SETTINGS_BUILD_H
#define POOLER_SETTINGS_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "pooler/settings.h"
#include "pooler/settings_errors.h"
#include "pooler/settings_table.h"

/* Where a value of the snapshot comes from: config->sources. */
enum setting_source {
	SETTING_FROM_DEFAULT,
	SETTING_FROM_FILE,
	SETTING_FROM_URL,
	SETTING_FROM_ENVIRONMENT,
	SETTING_FROM_SET,
};

/* Where a fault is to be reported. */
struct config_place {
	const char *file; /* NULL: nowhere in particular */
	unsigned line;
};

/* A snapshot under construction. */
struct config_builder {
	struct config *config; /* owned until config_builder_end */
	struct users *users;   /* owned until then */
	struct config_errors errors;
	struct config_place *places; /* owned; of each setting of the table */
	const char *origin;          /* borrowed; the file's name, "URL" */
	struct string_list files;    /* owned; names of the files that were included */
};

/* All defaults. False: no memory, reported; config_builder_end must still be called. */
bool config_builder_begin(struct config_builder *builder, const char *origin, char *error, size_t error_bytes);
/* Reads the auth_file, checks what must hold between settings, and gives out the snapshot; NULL when there were faults,
 * and everything is freed. */
struct config *config_builder_end(struct config_builder *builder);

/* A global setting from text. */
void config_builder_set(struct config_builder *builder, const struct setting *setting, const char *text,
			enum setting_source source, struct config_place place);
/* PGWEIR_... of `env`. */
void config_builder_take_environment(struct config_builder *builder, char *const *env);

/* Take what `database` and `user` hold, in any case. False: no memory. The names must be new. */
bool config_add_database(struct config *config, struct database *database);
bool config_add_user_settings(struct config *config, struct user_settings *user);
void database_clear(struct database *database);
void user_settings_clear(struct user_settings *user);

/* NULL: a database may be called that. Else why not. */
const char *database_name_fault(const char *name);

/* What must hold between settings. `places` NULL: reported without a place. */
void config_check(const struct config *config, const struct config_place *places, struct config_errors *errors);
/* The same of one entry: its minimum against its size. */
bool own_settings_check(const struct settings *settings, const struct own_settings *own, char *reason,
			size_t reason_bytes);

/* Told of what libconfig reads wrongly without a word. */
typedef void settings_scan_fault(void *context, unsigned line, const char *text);
/* Looks a file's text over: zero bytes, numbers that libconfig would cut to 32 or 64 bits, strings that it would end at
 * a \x00 or of which it would not find the end. *absolute_include is set when the first @include names an absolute
 * path. */
void settings_scan(const char *text, size_t bytes, settings_scan_fault *fault, void *context, bool *absolute_include);

/* Nothing but defaults; with one hold. NULL: no memory. */
struct config *config_create(void);

#endif
