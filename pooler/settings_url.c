/* A snapshot from one URL. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pooler/settings_build.h"

#define ORIGIN "URL"

bool config_is_url(const char *text)
{
	return strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0;
}

/* Who we are, as libpq fills in a user that is not given. NULL: nobody knows. */
static char *own_name(void)
{
	const struct passwd *entry = getpwuid(geteuid()); /* the main thread, before there are others or at a reload */

	return entry ? strdup(entry->pw_name) : NULL;
}

static void set(struct config_builder *builder, const char *name, const char *value)
{
	const struct config_place place = { .file = ORIGIN };

	config_builder_set(builder, setting_find(name, SETTING_GLOBAL), value, SETTING_FROM_URL, place);
}

static void set_admin(struct config_builder *builder, const char *user)
{
	const struct setting *setting = setting_find("admin_users", SETTING_GLOBAL);
	char reason[CONFIG_REASON_BYTES];

	if (!setting_parse_items(setting, &user, 1, &builder->config->settings.admin_users, reason, sizeof(reason)))
		config_errors_add(&builder->errors, ORIGIN, 0, "user", "%s", reason);
	builder->config->sources[setting_index(setting)] = SETTING_FROM_URL;
}

/* What a URL leaves out is filled in as libpq does: the user is who we are, the database is called as the user. NULL:
 * it is complete. */
static const char *complete(struct conninfo *conninfo)
{
	if (!conninfo->user)
		conninfo->user = own_name();
	if (!conninfo->user)
		return "it names no user, and this process's own has no name";
	if (!conninfo->dbname)
		conninfo->dbname = strdup(conninfo->user);
	return conninfo->dbname ? database_name_fault(conninfo->dbname) : "out of memory";
}

static const char *add_database(struct config_builder *builder, struct conninfo *conninfo)
{
	struct database database = { .name = strdup(conninfo->dbname) };

	if (!database.name)
		return "out of memory";
	database.conninfo = *conninfo;
	memset(conninfo, 0, sizeof(*conninfo));
	return config_add_database(builder->config, &database) ? NULL : "out of memory";
}

static void take_url(struct config_builder *builder, const char *url)
{
	struct conninfo conninfo;
	char reason[CONFIG_REASON_BYTES];
	const char *fault;

	builder->config->url = strdup(url);
	if (!builder->config->url) {
		config_errors_add(&builder->errors, ORIGIN, 0, NULL, "out of memory");
		return;
	}
	if (!conninfo_parse(&conninfo, url, NULL, reason, sizeof(reason))) {
		config_errors_add(&builder->errors, ORIGIN, 0, NULL, "%s", reason);
		return;
	}
	fault = complete(&conninfo);
	if (!fault) {
		set(builder, "auth_type", auth_type_name(conninfo.password ? AUTH_TYPE_SCRAM : AUTH_TYPE_TRUST));
		set_admin(builder, conninfo.user);
		fault = add_database(builder, &conninfo);
	}
	if (fault)
		config_errors_add(&builder->errors, ORIGIN, 0, NULL, "%s", fault);
	conninfo_clear(&conninfo);
}

struct config *config_from_url(const char *url, char *const *env, char *error, size_t error_bytes)
{
	struct config_builder builder;

	if (config_builder_begin(&builder, ORIGIN, error, error_bytes)) {
		take_url(&builder, url);
		config_builder_take_environment(&builder, env);
	}
	return config_builder_end(&builder);
}
