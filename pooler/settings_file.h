/*
 * From libconfig's tree to settings.
 *
 * Inside pooler/settings*.c only; the main thread.
 */
#ifndef POOLER_SETTINGS_FILE_H
#define POOLER_SETTINGS_FILE_H

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>

#include "pooler/settings_build.h"
#include "pooler/settings_table.h"

/* Where a value stands. Lives as long as the builder. */
struct config_place config_file_place(struct config_builder *builder, const config_setting_t *given);
/* As setting_parse. */
bool config_file_parse(const struct setting *setting, const config_setting_t *given, void *field, char *reason,
		       size_t reason_bytes);
/* The list `databases` (SETTING_DATABASE) or `users` (SETTING_USER), into the snapshot. */
void config_file_load_entries(struct config_builder *builder, const config_setting_t *list, unsigned where);

#endif
