/* SHOW CONFIG, DNS_HOSTS, LISTS, MEM, STATE, VERSION: the process as a whole */

#include "pooler/admin_state.h"
#include "pooler/clock.h"
#include "pooler/console/tables.h"
#include "pooler/pools.h"
#include "pooler/resolver.h"
#include "pooler/version.h"

/* ---- SHOW CONFIG ---- */

static const struct table_column config_columns[] = {
	{ "key", TABLE_TEXT },
	{ "value", TABLE_TEXT },
	{ "default", TABLE_TEXT },
	{ "changeable", TABLE_TEXT },
};

static void config_line(void *context, const char *key, const char *value, const char *default_value, bool changeable)
{
	struct table_rows *rows = context;

	row_text(rows, key);
	row_text(rows, value);
	row_text(rows, default_value);
	row_text(rows, changeable ? "yes" : "no");
	row_end(rows);
}

static void each_config(const struct table_source *source, struct table_rows *rows)
{
	config_each_setting(source->config, config_line, rows);
}

const struct table table_config = {
	.name = "config",
	.help = "settings in force, and which SET or RELOAD may change",
	TABLE_COLUMNS(config_columns),
	.each = each_config,
};

/* ---- SHOW DNS_HOSTS ---- */

static const struct table_column dns_columns[] = {
	{ "hostname", TABLE_TEXT },
	{ "ttl", TABLE_INT8 },
	{ "addrs", TABLE_TEXT },
};

static void dns_line(void *context, const char *name, uint64_t ttl_s, const char *addresses)
{
	struct table_rows *rows = context;

	row_text(rows, name);
	row_number(rows, ttl_s);
	row_text(rows, addresses);
	row_end(rows);
}

static void each_dns(const struct table_source *source, struct table_rows *rows)
{
	resolver_each(source->process->resolver, dns_line, rows);
}

const struct table table_dns_hosts = {
	.name = "dns_hosts",
	.help = "names of servers that were looked up",
	TABLE_COLUMNS(dns_columns),
	.each = each_dns,
};

/* ---- SHOW LISTS ---- */

static const struct table_column list_columns[] = {
	{ "list", TABLE_TEXT },
	{ "items", TABLE_INT4 },
};

static void list_line(struct table_rows *rows, const char *name, uint64_t items)
{
	row_text(rows, name);
	row_number(rows, items);
	row_end(rows);
}

static uint64_t sum(const unsigned *counts, unsigned from, unsigned to)
{
	uint64_t all = 0;

	for (unsigned i = from; i < to; i++)
		all += counts[i];
	return all;
}

static void each_list(const struct table_source *source, struct table_rows *rows)
{
	const struct snapshot *snapshot = source->snapshot;
	size_t dns_names = 0, dns_pending = 0;

	resolver_counts(source->process->resolver, &dns_names, &dns_pending);
	list_line(rows, "databases", source->config->database_count);
	list_line(rows, "users", users_count(source->config->users));
	list_line(rows, "peers", 0);
	list_line(rows, "pools", pools_count());
	list_line(rows, "peer_pools", 0);
	list_line(rows, "free_clients", 0); /* memory of clients and servers that have gone is not hoarded */
	list_line(rows, "used_clients", sum(snapshot->client_states, 0, CLIENT_STATES));
	list_line(rows, "login_clients", sum(snapshot->client_states, CLIENT_STARTUP, CLIENT_AUTH + 1));
	list_line(rows, "free_servers", 0);
	list_line(rows, "used_servers", sum(snapshot->server_states, 0, SERVER_STATES));
	list_line(rows, "dns_names", dns_names);
	list_line(rows, "dns_zones", 0);
	list_line(rows, "dns_queries", dns_pending);
	list_line(rows, "dns_pending", 0);
}

const struct table table_lists = {
	.name = "lists",
	.help = "how many there are of everything",
	TABLE_COLUMNS(list_columns),
	.needs = SNAPSHOT_COUNTS,
	.each = each_list,
};

/* ---- SHOW MEM ---- */

static const struct table_column mem_columns[] = {
	{ "name", TABLE_TEXT }, { "size", TABLE_INT4 },     { "used", TABLE_INT4 },
	{ "free", TABLE_INT4 }, { "memtotal", TABLE_INT4 },
};

static void mem_line(struct table_rows *rows, const char *name, uint64_t size, uint64_t used)
{
	row_text(rows, name);
	row_number(rows, size);
	row_number(rows, used);
	row_number(rows, 0);
	row_number(rows, size * used);
	row_end(rows);
}

/* The structures that there are many of; PgBouncer's names where it has the same. */
static void each_mem(const struct table_source *source, struct table_rows *rows)
{
	const struct snapshot *snapshot = source->snapshot;

	mem_line(rows, "user_cache", sizeof(struct user), users_count(source->config->users));
	mem_line(rows, "db_cache", sizeof(struct database), source->config->database_count);
	mem_line(rows, "pool_cache", sizeof(struct shared_pool), pools_count());
	mem_line(rows, "server_cache", sizeof(struct server), sum(snapshot->server_states, 0, SERVER_STATES));
	mem_line(rows, "client_cache", sizeof(struct client), sum(snapshot->client_states, 0, CLIENT_STATES));
	mem_line(rows, "iobuf_cache", WORKER_KEPT_BYTES_MAX + WORKER_READ_BYTES, snapshot->worker_count);
	mem_line(rows, "statement_text_bytes", 1, snapshot->statement_bytes);
}

const struct table table_mem = {
	.name = "mem",
	.help = "memory by kind",
	TABLE_COLUMNS(mem_columns),
	.needs = SNAPSHOT_COUNTS,
	.each = each_mem,
};

/* ---- SHOW STATE ---- */

static const struct table_column state_columns[] = {
	{ "key", TABLE_TEXT },
	{ "value", TABLE_TEXT },
};

static void state_line(struct table_rows *rows, const char *key, bool value)
{
	row_text(rows, key);
	row_text(rows, value ? "yes" : "no");
	row_end(rows);
}

static void each_state(const struct table_source *source, struct table_rows *rows)
{
	bool paused = admin_state_all_paused();

	state_line(rows, "active", !paused);
	state_line(rows, "paused", paused);
	state_line(rows, "suspended", false);
	state_line(rows, "shutting_down", source->process->stop != WORKER_RUNS);
	row_text(rows, "uptime_seconds");
	row_format(rows, "%llu",
		   (unsigned long long)((source->now_us - source->process->crew.started_us) / USEC_PER_SEC));
	row_end(rows);
}

const struct table table_state = {
	.name = "state",
	.help = "whether all is paused, and how long the process runs",
	TABLE_COLUMNS(state_columns),
	.each = each_state,
};

/* ---- SHOW VERSION ---- */

static const struct table_column version_columns[] = {
	{ "version", TABLE_TEXT },
};

static void each_version(const struct table_source *source, struct table_rows *rows)
{
	(void)source;
	row_text(rows, "pgweir " PGWEIR_VERSION);
	row_end(rows);
}

const struct table table_version = {
	.name = "version",
	.help = "the version of pgweir",
	TABLE_COLUMNS(version_columns),
	.each = each_version,
};
