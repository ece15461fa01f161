/*
 * The descriptors of all tables, for the list in tables.c.
 */
#ifndef POOLER_CONSOLE_TABLES_H
#define POOLER_CONSOLE_TABLES_H

#include "pooler/console/table.h"

/* What the console calls itself where a database or a user is shown. */
#define CONSOLE_DATABASE "pgweir"

extern const struct table table_active_sockets;
extern const struct table table_clients;
extern const struct table table_config;
extern const struct table table_databases;
extern const struct table table_dns_hosts;
extern const struct table table_help;
extern const struct table table_lists;
extern const struct table table_mem;
extern const struct table table_pools;
extern const struct table table_servers;
extern const struct table table_sockets;
extern const struct table table_state;
extern const struct table table_stats;
extern const struct table table_stats_averages;
extern const struct table table_stats_totals;
extern const struct table table_totals;
extern const struct table table_users;
extern const struct table table_version;

#endif
