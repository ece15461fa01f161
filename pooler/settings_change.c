/* From one snapshot to the next: reload and SET. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/settings_build.h"

/* ---- reload ---- */

static void put_name(char *names, size_t names_bytes, const char *name)
{
	size_t used = strlen(names);

	snprintf(names + used, names_bytes - used, "%s%s", used > 0 ? ", " : "", name);
}

/* Settings that only a restart changes: the running value stays. False: no memory. */
static bool keep_running(struct config *fresh, const struct config *running, char *names, size_t names_bytes)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		const void *old;
		void *field;

		if (!(setting->where & SETTING_GLOBAL) || setting->change != 0)
			continue;
		old = setting_global_value(setting, &running->settings);
		field = setting_global_field(setting, &fresh->settings);
		if (setting_equal(setting, old, field))
			continue;
		put_name(names, names_bytes, setting->name);
		setting_clear(setting, field);
		fresh->sources[i] = running->sources[i];
		if (!setting_copy(setting, field, old))
			return false;
	}
	return true;
}

struct config *config_reload(const struct config *running, char *const *env, char *restart, size_t restart_bytes,
			     char *error, size_t error_bytes)
{
	struct config *fresh;

	restart[0] = '\0';
	if (running->path)
		fresh = config_load(running->path, env, error, error_bytes);
	else
		fresh = config_from_url(running->url, env, error, error_bytes);
	if (fresh && !keep_running(fresh, running, restart, restart_bytes)) {
		snprintf(error, error_bytes, "out of memory");
		config_drop(fresh);
		return NULL;
	}
	return fresh;
}

/* ---- SET ---- */

/* The same settings; all the rest is the old one's. NULL: no memory. */
static struct config *config_copy(const struct config *old)
{
	const struct config *base = old->base ? old->base : old;
	struct config *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	atomic_init(&copy->holders, 1);
	copy->base = config_hold(base);
	copy->databases = base->databases;
	copy->database_count = base->database_count;
	copy->user_settings = base->user_settings;
	copy->user_settings_count = base->user_settings_count;
	copy->index = base->index;
	copy->path = base->path;
	copy->url = base->url;
	copy->users = users_hold(old->users);
	copy->sources = malloc(settings_count);
	if (copy->sources)
		memcpy(copy->sources, old->sources, settings_count);
	if (!settings_copy(&copy->settings, &old->settings) || !copy->sources) {
		config_drop(copy);
		return NULL;
	}
	return copy;
}

/* NULL: there is none that SET may change, and `reason` says why. */
static const struct setting *find_changeable(const char *name, char *reason, size_t reason_bytes)
{
	const struct setting *setting = setting_find(name, SETTING_GLOBAL);

	if (!setting) {
		setting_explain_unknown(name, SETTING_GLOBAL, reason, reason_bytes);
		return NULL;
	}
	if (setting->change & SETTING_BY_SET)
		return setting;
	snprintf(reason, reason_bytes, "%s",
		 setting->change & SETTING_BY_RELOAD ? "can only be changed in the file, by RELOAD"
						     : "can only be changed by a restart");
	return NULL;
}

struct config *config_with_setting(const struct config *old, const char *name, const char *value, char *error,
				   size_t error_bytes)
{
	char reason[CONFIG_REASON_BYTES];
	struct config_errors errors;
	const struct setting *setting = find_changeable(name, reason, sizeof(reason));
	struct config *fresh = setting ? config_copy(old) : NULL;

	config_errors_init(&errors, error, error_bytes);
	if (setting && !fresh)
		snprintf(reason, sizeof(reason), "out of memory");
	if (!fresh ||
	    !setting_parse(setting, value, setting_global_field(setting, &fresh->settings), reason, sizeof(reason))) {
		config_errors_add(&errors, NULL, 0, name, "%s", reason);
	} else {
		fresh->sources[setting_index(setting)] = SETTING_FROM_SET;
		config_check(fresh, NULL, &errors);
	}
	if (errors.count == 0)
		return fresh;
	config_drop(fresh);
	return NULL;
}
