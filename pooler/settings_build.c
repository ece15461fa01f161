/* What the loaders of a file and of a URL have in common. */
#define _GNU_SOURCE /* asprintf */
#include "pooler/settings_build.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVIRONMENT "environment"
#define ENVIRONMENT_PREFIX "PGWEIR_"
#define ENVIRONMENT_NAME_BYTES 96

bool config_builder_begin(struct config_builder *builder, const char *origin, char *error, size_t error_bytes)
{
	memset(builder, 0, sizeof(*builder));
	config_errors_init(&builder->errors, error, error_bytes);
	builder->origin = origin;
	builder->config = config_create();
	builder->users = users_create();
	builder->places = calloc(settings_count, sizeof(*builder->places));
	if (builder->config && builder->users && builder->places)
		return true;
	config_errors_add(&builder->errors, origin, 0, NULL, "out of memory");
	return false;
}

void config_builder_set(struct config_builder *builder, const struct setting *setting, const char *text,
			enum setting_source source, struct config_place place)
{
	char reason[CONFIG_REASON_BYTES];

	if (!setting_parse(setting, text, setting_global_field(setting, &builder->config->settings), reason,
			   sizeof(reason))) {
		config_errors_add(&builder->errors, place.file, place.line, setting->name, "%s", reason);
		return;
	}
	builder->config->sources[setting_index(setting)] = (uint8_t)source;
	builder->places[setting_index(setting)] = place;
}

/* ---- the environment ---- */

/* What Kubernetes sets for a service called "pgweir", and what images call their version, is not for us. */
static bool is_foreign(const char *rest)
{
	return strcmp(rest, "PORT") == 0 || strncmp(rest, "PORT_", 5) == 0 || strncmp(rest, "SERVICE_", 8) == 0 ||
	       strcmp(rest, "VERSION") == 0;
}

static void take_variable(struct config_builder *builder, const char *variable)
{
	const struct config_place place = { .file = ENVIRONMENT };
	char name[ENVIRONMENT_NAME_BYTES], reason[CONFIG_REASON_BYTES];
	const char *rest = variable + strlen(ENVIRONMENT_PREFIX), *value = strchr(variable, '=');
	size_t bytes = value ? (size_t)(value - rest) : 0;
	const struct setting *setting;

	if (bytes == 0 || bytes >= sizeof(name))
		return;
	memcpy(name, rest, bytes);
	name[bytes] = '\0';
	if (is_foreign(name))
		return;
	for (char *at = name; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	setting = setting_find(name, SETTING_GLOBAL);
	if (setting) {
		config_builder_set(builder, setting, value + 1, SETTING_FROM_ENVIRONMENT, place);
		return;
	}
	setting_explain_unknown(name, SETTING_GLOBAL, reason, sizeof(reason));
	config_errors_add(&builder->errors, ENVIRONMENT, 0, name, "%s", reason);
}

void config_builder_take_environment(struct config_builder *builder, char *const *env)
{
	for (; env && *env; env++) {
		if (strncmp(*env, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) == 0)
			take_variable(builder, *env);
	}
}

/* ---- the end ---- */

static void report_user_fault(void *context, const char *file, unsigned line, const char *text)
{
	config_errors_add(context, file, line, "auth_file", "%s", text);
}

/* A relative auth_file lies beside the file of settings. */
static bool make_auth_file_absolute(struct config *config)
{
	char **auth_file = &config->settings.auth_file, *absolute = NULL;
	const char *slash = config->path ? strrchr(config->path, '/') : NULL;

	if ((*auth_file)[0] == '\0' || (*auth_file)[0] == '/' || !slash)
		return true;
	if (asprintf(&absolute, "%.*s%s", (int)(slash + 1 - config->path), config->path, *auth_file) < 0)
		return false;
	free(*auth_file);
	*auth_file = absolute;
	return true;
}

/* The user of a URL logs in with its password, unless an auth_file knows better. */
static const char *add_url_user(struct config_builder *builder)
{
	const struct conninfo *conninfo = &builder->config->databases[0].conninfo;
	const char *fault = NULL;

	if (!users_find(builder->users, conninfo->user))
		users_add_password(builder->users, conninfo->user, conninfo->password ? conninfo->password : "",
				   &fault);
	return fault;
}

static void load_users(struct config_builder *builder)
{
	const struct config *config = builder->config;
	const char *fault = NULL;

	if (!make_auth_file_absolute(builder->config)) {
		config_errors_add(&builder->errors, builder->origin, 0, "auth_file", "out of memory");
		return;
	}
	if (config->settings.auth_file[0] != '\0')
		users_read_file(builder->users, config->settings.auth_file, report_user_fault, &builder->errors);
	if (config->url)
		fault = add_url_user(builder);
	if (fault)
		config_errors_add(&builder->errors, builder->origin, 0, NULL, "%s", fault);
}

struct config *config_builder_end(struct config_builder *builder)
{
	struct config *config = builder->config;

	if (builder->errors.count == 0)
		load_users(builder);
	if (config) {
		config->users = builder->users;
		builder->users = NULL;
	}
	/* A setting that could not be read has its default, which may break a rule that the file keeps. */
	if (builder->errors.count == 0)
		config_check(config, builder->places, &builder->errors);
	users_drop(builder->users);
	free(builder->places);
	string_list_clear(&builder->files);
	if (builder->errors.count == 0)
		return config;
	config_drop(config);
	return NULL;
}
