/* SHOW DATABASES, SHOW USERS */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/admin_state.h"
#include "pooler/clock.h"
#include "pooler/console/name_sums.h"
#include "pooler/console/tables.h"
#include "pooler/pools.h"

#define HOSTS_BYTES 512

static const struct table_column database_columns[] = {
	{ "name", TABLE_TEXT },
	{ "host", TABLE_TEXT },
	{ "port", TABLE_INT4 },
	{ "database", TABLE_TEXT },
	{ "force_user", TABLE_TEXT },
	{ "pool_size", TABLE_INT4 },
	{ "min_pool_size", TABLE_INT4 },
	{ "reserve_pool_size", TABLE_INT4 },
	{ "server_lifetime", TABLE_INT4 },
	{ "pool_mode", TABLE_TEXT },
	{ "load_balance_hosts", TABLE_TEXT },
	{ "max_connections", TABLE_INT4 },
	{ "current_connections", TABLE_INT4 },
	{ "max_client_connections", TABLE_INT4 },
	{ "current_client_connections", TABLE_INT4 },
	{ "paused", TABLE_INT4 },
	{ "disabled", TABLE_INT4 },
};

static const struct table_column user_columns[] = {
	{ "name", TABLE_TEXT },
	{ "pool_size", TABLE_TEXT },
	{ "reserve_pool_size", TABLE_TEXT },
	{ "pool_mode", TABLE_TEXT },
	{ "max_user_connections", TABLE_INT4 },
	{ "current_connections", TABLE_INT4 },
	{ "max_user_client_connections", TABLE_INT4 },
	{ "current_client_connections", TABLE_INT4 },
};

/* ---- SHOW DATABASES ---- */

static void hosts_column(struct table_rows *rows, const struct conninfo *conninfo)
{
	char hosts[HOSTS_BYTES] = "";
	size_t used = 0;

	for (size_t i = 0; i < conninfo->host_count && used < sizeof(hosts); i++) {
		int length =
			snprintf(hosts + used, sizeof(hosts) - used, "%s%s", i ? "," : "", conninfo->hosts[i].host);
		used += length > 0 ? (size_t)length : 0;
	}
	row_format(rows, "%s", hosts);
}

static void database_row(const struct table_source *source, struct table_rows *rows, const struct database *database,
			 const char *name, const struct name_sum *sum)
{
	const struct settings *settings = &source->config->settings;
	const struct own_settings *own = &database->own;
	const struct conninfo *conninfo = &database->conninfo;
	uint64_t lifetime_us = own->given & OWN_SERVER_LIFETIME ? own->server_lifetime_us
								: settings->server_lifetime_us;

	row_text(rows, name);
	hosts_column(rows, conninfo);
	row_number(rows, conninfo->hosts[0].port);
	row_text(rows, database_dbname(database, name));
	row_text(rows, conninfo->user);
	row_number(rows, own->given & OWN_POOL_SIZE ? own->pool_size : settings->default_pool_size);
	row_number(rows, own->given & OWN_MIN_POOL_SIZE ? own->min_pool_size : settings->min_pool_size);
	row_number(rows, 0); /* the bound of a pool is exact, there is no reserve */
	row_number(rows, lifetime_us / USEC_PER_SEC);
	row_text(rows, own->given & OWN_POOL_MODE ? pool_mode_name(own->pool_mode) : NULL);
	row_text(rows, conninfo->host_count > 1 ? "disable" : NULL);
	row_number(rows, 0); /* no bound but those of the pools */
	row_number(rows, sum->servers);
	row_number(rows, 0);
	row_number(rows, sum->clients);
	row_number(rows, admin_database_is_paused(name));
	row_number(rows, own->disabled || admin_database_is_disabled(name));
	row_end(rows);
}

static void console_database_row(const struct table_source *source, struct table_rows *rows, const struct name_sum *sum)
{
	row_text(rows, CONSOLE_DATABASE);
	row_null(rows);
	row_number(rows, source->config->settings.listen_port);
	row_text(rows, CONSOLE_DATABASE);
	row_text(rows, CONSOLE_DATABASE);
	for (unsigned i = 5; i < 9; i++)
		row_number(rows, 0);
	row_text(rows, pool_mode_name(POOL_MODE_STATEMENT));
	row_null(rows);
	row_number(rows, 0);
	row_number(rows, 0);
	row_number(rows, 0);
	row_number(rows, sum->clients);
	row_number(rows, 0);
	row_number(rows, 0);
	row_end(rows);
}

struct walk {
	const struct table_source *source;
	struct table_rows *rows;
};

/* A database that only the "*" entry knows, but that is used. */
static void other_database(void *context, const char *name, const struct name_sum *sum)
{
	const struct walk *walk = context;
	const struct database *database = config_find_database(walk->source->config, name);

	if (database && strcmp(database->name, name) != 0)
		database_row(walk->source, walk->rows, database, name, sum);
}

static void each_database(const struct table_source *source, struct table_rows *rows)
{
	const struct config *config = source->config;
	struct walk walk = { source, rows };
	struct name_sums *sums = name_sums_by_database(source->snapshot);

	if (!sums) {
		row_fail(rows);
		return;
	}
	for (size_t i = 0; i < config->database_count; i++) {
		const struct database *database = &config->databases[i];
		database_row(source, rows, database, database->name, name_sums_find(sums, database->name));
	}
	name_sums_each(sums, other_database, &walk);
	console_database_row(source, rows, name_sums_console(sums));
	name_sums_free(sums);
}

const struct table table_databases = {
	.name = "databases",
	.help = "databases: where they are, and what is allowed",
	TABLE_COLUMNS(database_columns),
	.needs = SNAPSHOT_CLIENTS,
	.each = each_database,
};

/* ---- SHOW USERS ---- */

static void user_row(const struct table_source *source, struct table_rows *rows, const char *name,
		     const struct name_sum *sum)
{
	const struct user_settings *user = config_find_user_settings(source->config, name);
	uint32_t given = user ? user->own.given : 0;

	row_text(rows, name);
	if (given & OWN_POOL_SIZE)
		row_format(rows, "%u", user->own.pool_size);
	else
		row_null(rows);
	row_null(rows);
	row_text(rows, given & OWN_POOL_MODE ? pool_mode_name(user->own.pool_mode) : NULL);
	row_number(rows, 0);
	row_number(rows, sum->servers);
	row_number(rows, 0);
	row_number(rows, sum->clients);
	row_end(rows);
}

static void each_user(const struct table_source *source, struct table_rows *rows)
{
	const struct config *config = source->config;
	struct name_sums *sums = name_sums_by_user(source->snapshot);

	if (!sums) {
		row_fail(rows);
		return;
	}
	for (size_t i = 0; i < users_count(config->users); i++) {
		const char *name = users_at(config->users, i)->name;
		user_row(source, rows, name, name_sums_find(sums, name));
	}
	for (size_t i = 0; i < config->user_settings_count; i++) {
		const char *name = config->user_settings[i].name;
		if (!users_find(config->users, name))
			user_row(source, rows, name, name_sums_find(sums, name));
	}
	name_sums_free(sums);
}

const struct table table_users = {
	.name = "users",
	.help = "users of the auth_file and the configuration",
	TABLE_COLUMNS(user_columns),
	.needs = SNAPSHOT_CLIENTS,
	.each = each_user,
};
