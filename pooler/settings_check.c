/* What must hold between settings. */
#include <stdio.h>
#include <string.h>

#include "pooler/settings_build.h"

static void fault(const struct config_place *places, struct config_errors *errors, const char *name, const char *reason)
{
	const struct setting *setting = setting_find(name, SETTING_GLOBAL);
	const struct config_place nowhere = { NULL, 0 };
	struct config_place place = places ? places[setting_index(setting)] : nowhere;

	config_errors_add(errors, place.file, place.line, name, "%s", reason);
}

static void check_pool_sizes(const struct settings *settings, const struct config_place *places,
			     struct config_errors *errors)
{
	char reason[CONFIG_REASON_BYTES];

	if (settings->min_pool_size <= settings->default_pool_size)
		return;
	snprintf(reason, sizeof(reason), "must not be larger than default_pool_size, which is %u",
		 settings->default_pool_size);
	fault(places, errors, "min_pool_size", reason);
}

static void check_users(const struct config *config, const struct config_place *places, struct config_errors *errors)
{
	char reason[CONFIG_REASON_BYTES];
	const struct settings *settings = &config->settings;

	if (settings->auth_type == AUTH_TYPE_TRUST || settings->auth_file[0] != '\0' || users_count(config->users) > 0)
		return;
	snprintf(reason, sizeof(reason), "\"%s\" needs an auth_file with the users and their secrets",
		 auth_type_name(settings->auth_type));
	fault(places, errors, "auth_type", reason);
}

void config_check(const struct config *config, const struct config_place *places, struct config_errors *errors)
{
	check_pool_sizes(&config->settings, places, errors);
	check_users(config, places, errors);
	if (config->settings.listen_addr.count == 0 && config->settings.unix_socket_dir.count == 0)
		fault(places, errors, "listen_addr", "is empty, and so is unix_socket_dir: nobody could connect");
}

/* An inherited minimum is cut to the size in silence; one that stands in the same entry is a mistake. */
bool own_settings_check(const struct settings *settings, const struct own_settings *own, char *reason,
			size_t reason_bytes)
{
	bool has_size = own->given & OWN_POOL_SIZE;
	uint32_t size = has_size ? own->pool_size : settings->default_pool_size;

	if (!(own->given & OWN_MIN_POOL_SIZE) || own->min_pool_size <= size)
		return true;
	snprintf(reason, reason_bytes, "must not be larger than %s, which is %u",
		 has_size ? "pool_size" : "default_pool_size", size);
	return false;
}

const char *database_name_fault(const char *name)
{
	if (strcmp(name, "pgweir") == 0 || strcmp(name, "pgbouncer") == 0)
		return "this name is the console's";
	return NULL;
}
