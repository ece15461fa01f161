#include "pooler/console/tables.h"

/* The place to add one. In the order of names. */
const struct table *const tables[] = {
	&table_active_sockets,
	&table_clients,
	&table_config,
	&table_databases,
	&table_dns_hosts,
	&table_help,
	&table_lists,
	&table_mem,
	&table_pools,
	&table_servers,
	&table_sockets,
	&table_state,
	&table_stats,
	&table_stats_averages,
	&table_stats_totals,
	&table_totals,
	&table_users,
	&table_version,
	NULL,
};
