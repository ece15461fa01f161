#include "pooler/settings_table.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "pooler/clock.h"
#include "pooler/pool_policy.h"
#include "protocol/message.h"
#include "protocol/scram.h"

#define MINUTE_US (60 * USEC_PER_SEC)
#define DAY_US (24 * 60 * MINUTE_US)
#define LONGEST_US (3650 * DAY_US)

#define POOL_SIZE_MAX 100000

const char *const pool_mode_choices[] = { "session", "transaction", "statement", NULL };
const char *const auth_type_choices[] = { "trust", "plain", "md5", "scram-sha-256", NULL };

const char *pool_mode_name(enum pool_mode mode)
{
	return pool_mode_choices[mode];
}

const char *auth_type_name(enum auth_type type)
{
	return auth_type_choices[type];
}

/* ---- what a string must be ---- */

static bool check_name(const char *text, char *reason, size_t reason_bytes)
{
	if (text[0] != '\0' && strlen(text) <= PG_NAME_BYTES_MAX)
		return true;
	snprintf(reason, reason_bytes, "a name has 1 to %d bytes", PG_NAME_BYTES_MAX);
	return false;
}

static bool check_address(const char *text, char *reason, size_t reason_bytes)
{
	if (text[0] != '\0' && strlen(text) <= CONNINFO_HOST_BYTES_MAX && !strpbrk(text, " \t\r\n/"))
		return true;
	snprintf(reason, reason_bytes, "must be addresses, names, or \"*\" for all, separated by commas");
	return false;
}

/* "@" opens the name of an abstract socket. */
static bool check_socket_dir(const char *text, char *reason, size_t reason_bytes)
{
	const size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("/.s.PGSQL.65535");

	if ((text[0] == '/' || text[0] == '@') && strlen(text) <= longest)
		return true;
	snprintf(reason, reason_bytes,
		 "must be directories that begin with '/' (or '@': abstract), at most %zu bytes long", longest);
	return false;
}

/* ---- the table ---- */

/* Where a setting may stand, and where it is kept. */
/* clang-format off */
#define GLOBAL(field) \
	.where = SETTING_GLOBAL, .global_offset = offsetof(struct settings, field), .own_offset = SETTING_NO_FIELD, \
	.text_offset = SETTING_NO_FIELD
#define OWN(places, field, bit) \
	.where = (places), .global_offset = SETTING_NO_FIELD, .own_offset = offsetof(struct own_settings, field), \
	.text_offset = SETTING_NO_FIELD, .own_bit = (bit), .change = SETTING_BY_RELOAD
#define EVERYWHERE(global_field, own_field, bit) \
	.where = SETTING_GLOBAL | SETTING_DATABASE | SETTING_USER, .own_bit = (bit), \
	.global_offset = offsetof(struct settings, global_field), \
	.own_offset = offsetof(struct own_settings, own_field), .text_offset = SETTING_NO_FIELD
#define TEXT(places, field) \
	.type = SETTING_STRING, .where = (places), .global_offset = SETTING_NO_FIELD, .own_offset = SETTING_NO_FIELD, \
	.text_offset = offsetof(struct database_texts, field), .change = SETTING_BY_RELOAD

#define ALWAYS .change = SETTING_BY_RELOAD | SETTING_BY_SET
#define RESTART .change = 0
#define NUMBER(low, high) .type = SETTING_INT, .minimum = (low), .maximum = (high)
#define SECONDS(low) \
	.type = SETTING_DURATION, .minimum = (low), .maximum = LONGEST_US, .unit_us = USEC_PER_SEC, .step_us = 1

/* clang-format on */

#define LISTENING "Listening"
#define AUTHENTICATION "Authentication"
#define POOLS "Pools"
#define SESSIONS "Sessions"
#define TIME_LIMITS "Time limits"
#define NAMES "Host names"
#define TCP "TCP"
#define LOGGING "Log and statistics"
#define ENTRIES "Entries of databases and users"

/* In the order of the reference page. */
/* clang-format off */
const struct setting settings_table[] = {
	{ .name = "listen_addr", .section = LISTENING, GLOBAL(listen_addr), RESTART, .type = SETTING_LIST,
	  .standard = "127.0.0.1", .check = check_address,
	  .help = "Addresses or names to listen on for TCP; \"*\" is all, empty is none, PgBouncer's default." },
	{ .name = "listen_port", .section = LISTENING, GLOBAL(listen_port), RESTART, NUMBER(1, 65535),
	  .standard = "6432", .help = "Port of the TCP sockets, and the number in the names of the unix sockets." },
	{ .name = "listen_backlog", .section = LISTENING, GLOBAL(listen_backlog), RESTART, NUMBER(1, 65535),
	  .standard = "128", .help = "How many connections the kernel holds until they are accepted." },
	{ .name = "unix_socket_dir", .section = LISTENING, GLOBAL(unix_socket_dir), RESTART, .type = SETTING_LIST,
	  .standard = "/tmp", .check = check_socket_dir,
	  .help = "Directories for unix sockets; \"@name\" is abstract, empty is no unix sockets." },
	{ .name = "unix_socket_mode", .section = LISTENING, GLOBAL(unix_socket_mode), RESTART, .type = SETTING_MODE,
	  .standard = "0777", .maximum = 0777, .help = "Permissions of the unix sockets, in octal." },
	{ .name = "unix_socket_group", .section = LISTENING, GLOBAL(unix_socket_group), RESTART, .type = SETTING_STRING,
	  .standard = "", .help = "Group of the unix sockets; empty is the group of the process." },
	{ .name = "max_client_conn", .section = LISTENING, GLOBAL(max_client_conn), ALWAYS, NUMBER(1, 1000000),
	  .standard = "1000", .help = "Most client connections at any moment. PgBouncer's default is 100." },
	{ .name = "workers", .section = LISTENING, GLOBAL(workers), RESTART, NUMBER(1, POOL_WORKERS_MAX),
	  .standard = "1", .help = "Threads that serve clients; more pay off from about 50000 transactions a second." },

	{ .name = "auth_type", .section = AUTHENTICATION, GLOBAL(auth_type), ALWAYS, .type = SETTING_ENUM,
	  .choices = auth_type_choices, .standard = "scram-sha-256",
	  .help = "How clients prove who they are; md5 takes SCRAM for users with a SCRAM secret, trust asks nothing." },
	{ .name = "auth_file", .section = AUTHENTICATION, GLOBAL(auth_file), .change = SETTING_BY_RELOAD,
	  .type = SETTING_STRING, .standard = "",
	  .help = "Users and secrets, in the format of PgBouncer's userlist.txt; relative to the configuration file." },
	{ .name = "admin_users", .section = AUTHENTICATION, GLOBAL(admin_users), ALWAYS, .type = SETTING_LIST,
	  .standard = "", .check = check_name, .help = "Users that may run every command on the console." },
	{ .name = "stats_users", .section = AUTHENTICATION, GLOBAL(stats_users), ALWAYS, .type = SETTING_LIST,
	  .standard = "", .check = check_name, .help = "Users that may look at the console but change nothing." },
	{ .name = "scram_iterations", .section = AUTHENTICATION, GLOBAL(scram_iterations), ALWAYS,
	  NUMBER(1, PG_SCRAM_ITERATIONS_MAX), .standard = "4096",
	  .help = "Iterations for SCRAM secrets that are made from plain passwords." },

	{ .name = "pool_mode", .section = POOLS, EVERYWHERE(pool_mode, pool_mode, OWN_POOL_MODE), ALWAYS,
	  .type = SETTING_ENUM, .choices = pool_mode_choices, .standard = "transaction",
	  .help = "How long a client keeps a server: its session (PgBouncer's default), a transaction, a statement." },
	{ .name = "default_pool_size", .section = POOLS, GLOBAL(default_pool_size), ALWAYS, NUMBER(1, POOL_SIZE_MAX),
	  .standard = "20", .help = "Most server connections of one pool (a database and a server's user)." },
	{ .name = "pool_size", .section = POOLS,
	  OWN(SETTING_DATABASE | SETTING_USER, pool_size, OWN_POOL_SIZE), NUMBER(1, POOL_SIZE_MAX),
	  .help = "The same for the pools of this database or user, instead of default_pool_size." },
	{ .name = "min_pool_size", .section = POOLS, EVERYWHERE(min_pool_size, min_pool_size, OWN_MIN_POOL_SIZE),
	  ALWAYS, NUMBER(0, POOL_SIZE_MAX), .standard = "0",
	  .help = "Server connections of a pool that are kept open when nobody needs them." },

	{ .name = "server_reset_query", .section = SESSIONS, GLOBAL(server_reset_query), ALWAYS, .type = SETTING_STRING,
	  .standard = "DISCARD ALL",
	  .help = "Cleans a server connection that served a session, before its next client gets it; empty is none." },
	{ .name = "server_reset_query_always", .section = SESSIONS, GLOBAL(server_reset_query_always), ALWAYS,
	  .type = SETTING_BOOL, .standard = "0",
	  .help = "Run server_reset_query in the other pool modes too, after each transaction or statement." },
	{ .name = "connect_query", .section = SESSIONS, OWN(SETTING_DATABASE, connect_query, OWN_CONNECT_QUERY),
	  .type = SETTING_STRING,
	  .help = "Run once on every new server connection; if it fails, so does the connection." },
	{ .name = "track_extra_parameters", .section = SESSIONS, GLOBAL(track_extra_parameters), RESTART,
	  .type = SETTING_LIST, .standard = "IntervalStyle", .check = check_name,
	  .help = "Reported parameters that follow each client, besides client_encoding, DateStyle, TimeZone ..." },
	{ .name = "ignore_startup_parameters", .section = SESSIONS, GLOBAL(ignore_startup_parameters), ALWAYS,
	  .type = SETTING_LIST, .standard = "", .check = check_name,
	  .help = "Startup parameters of clients that are taken without an error and without effect." },
	{ .name = "application_name_add_host", .section = SESSIONS, GLOBAL(application_name_add_host), ALWAYS,
	  .type = SETTING_BOOL, .standard = "0",
	  .help = "Add the client's address and port to the application_name that the server shows." },

	{ .name = "query_wait_timeout", .section = TIME_LIMITS,
	  EVERYWHERE(query_wait_timeout_us, query_wait_timeout_us, OWN_QUERY_WAIT_TIMEOUT), ALWAYS, SECONDS(0),
	  .standard = "120", .help = "How long a client waits for a server before it gets an error; 0 is for ever." },
	{ .name = "client_login_timeout", .section = TIME_LIMITS, GLOBAL(client_login_timeout_us), ALWAYS, SECONDS(0),
	  .standard = "60", .help = "A client that has not logged in after this time is closed; 0 is never." },
	{ .name = "cancel_wait_timeout", .section = TIME_LIMITS, GLOBAL(cancel_wait_timeout_us), ALWAYS, SECONDS(0),
	  .standard = "10", .help = "How long a cancel request may take to reach its server; 0 is no limit." },
	{ .name = "server_connect_timeout", .section = TIME_LIMITS, GLOBAL(server_connect_timeout_us), ALWAYS,
	  SECONDS(0), .standard = "15", .help = "How long connecting and logging in to a server may take; 0 is no limit." },
	{ .name = "server_idle_timeout", .section = TIME_LIMITS,
	  EVERYWHERE(server_idle_timeout_us, server_idle_timeout_us, OWN_SERVER_IDLE_TIMEOUT), ALWAYS, SECONDS(0),
	  .standard = "600", .help = "A server connection that was idle for longer is closed; 0 is never." },
	{ .name = "server_lifetime", .section = TIME_LIMITS,
	  EVERYWHERE(server_lifetime_us, server_lifetime_us, OWN_SERVER_LIFETIME), ALWAYS, SECONDS(0),
	  .standard = "3600",
	  .help = "A server connection that is older is closed once it is free; 0 is after it has served once." },
	{ .name = "server_login_retry", .section = TIME_LIMITS, GLOBAL(server_login_retry_us), ALWAYS, SECONDS(0),
	  .standard = "15",
	  .help = "Longest pause between attempts to log in to a server while they fail; 0 is none." },
	{ .name = "server_reset_timeout", .section = TIME_LIMITS, GLOBAL(server_reset_timeout_us), ALWAYS,
	  SECONDS(USEC_PER_MS), .standard = "10",
	  .help = "How long cleaning a server connection may take after its client has left; then it is closed." },

	{ .name = "dns_max_ttl", .section = NAMES, GLOBAL(dns_max_ttl_us), ALWAYS, SECONDS(0), .standard = "15",
	  .help = "How long the address of a host is remembered at most, whatever the name server says." },
	{ .name = "dns_nxdomain_ttl", .section = NAMES, GLOBAL(dns_nxdomain_ttl_us), ALWAYS, SECONDS(0),
	  .standard = "15",
	  .help = "How long it is remembered that a name has no address, or that asking failed." },

	{ .name = "tcp_keepalive", .section = TCP, GLOBAL(tcp_keepalive), ALWAYS, .type = SETTING_BOOL, .standard = "1",
	  .help = "Have the kernel probe silent connections, so that a dead peer is found." },
	{ .name = "tcp_keepidle", .section = TCP, GLOBAL(tcp_keepidle_us), ALWAYS, .type = SETTING_DURATION,
	  .maximum = 32767 * USEC_PER_SEC, .unit_us = USEC_PER_SEC, .step_us = USEC_PER_SEC, .standard = "0",
	  .help = "Silence before the first keepalive probe; 0 is the kernel's own." },
	{ .name = "tcp_keepintvl", .section = TCP, GLOBAL(tcp_keepintvl_us), ALWAYS, .type = SETTING_DURATION,
	  .maximum = 32767 * USEC_PER_SEC, .unit_us = USEC_PER_SEC, .step_us = USEC_PER_SEC, .standard = "0",
	  .help = "Time between keepalive probes; 0 is the kernel's own." },
	{ .name = "tcp_keepcnt", .section = TCP, GLOBAL(tcp_keepcnt), ALWAYS, NUMBER(0, 127), .standard = "0",
	  .help = "Keepalive probes without an answer that end a connection; 0 is the kernel's own." },
	{ .name = "tcp_user_timeout", .section = TCP, GLOBAL(tcp_user_timeout_us), ALWAYS, .type = SETTING_DURATION,
	  .maximum = INT_MAX * USEC_PER_MS, .unit_us = USEC_PER_MS, .step_us = USEC_PER_MS, .standard = "0",
	  .help = "How long sent bytes may stay unacknowledged; a bare number is in ms; 0 is the kernel's own." },

	{ .name = "stats_period", .section = LOGGING, GLOBAL(stats_period_us), ALWAYS, SECONDS(USEC_PER_SEC),
	  .standard = "60", .help = "How often averages are computed and the log gets its line of statistics." },
	{ .name = "log_connections", .section = LOGGING, GLOBAL(log_connections), ALWAYS, .type = SETTING_BOOL,
	  .standard = "1", .help = "Log each login." },
	{ .name = "log_disconnections", .section = LOGGING, GLOBAL(log_disconnections), ALWAYS, .type = SETTING_BOOL,
	  .standard = "1", .help = "Log each end of a connection, with the reason." },
	{ .name = "log_pooler_errors", .section = LOGGING, GLOBAL(log_pooler_errors), ALWAYS, .type = SETTING_BOOL,
	  .standard = "1", .help = "Log the errors that pgweir itself sends to clients." },
	{ .name = "log_stats", .section = LOGGING, GLOBAL(log_stats), ALWAYS, .type = SETTING_BOOL, .standard = "1",
	  .help = "Log a line of statistics every stats_period." },
	{ .name = "verbose", .section = LOGGING, GLOBAL(verbose), ALWAYS, NUMBER(0, 2), .standard = "0",
	  .help = "Log more: 1 is for understanding a problem, 2 is everything. Adds to -v." },

	{ .name = "name", .section = ENTRIES, TEXT(SETTING_DATABASE | SETTING_USER, name), .check = check_name,
	  .help = "What clients call the database; \"*\" stands for all others. Or the name of the user." },
	{ .name = "conninfo", .section = ENTRIES, TEXT(SETTING_DATABASE, conninfo),
	  .help = "Where the database is: a string or URI as for libpq. A user in it is forced on every client." },
	{ .name = "host", .section = ENTRIES, TEXT(SETTING_DATABASE, host),
	  .help = "Hosts, separated by commas, tried in this order; wins over conninfo, as the four that follow." },
	{ .name = "port", .section = ENTRIES, TEXT(SETTING_DATABASE, port), .number_too = true,
	  .help = "Port of the server, or one for each host." },
	{ .name = "dbname", .section = ENTRIES, TEXT(SETTING_DATABASE, dbname),
	  .help = "What the server calls the database; without it, what the client calls it." },
	{ .name = "user", .section = ENTRIES, TEXT(SETTING_DATABASE, user),
	  .help = "Log in to the server as this user whoever the client is." },
	{ .name = "password", .section = ENTRIES, TEXT(SETTING_DATABASE, password),
	  .help = "Password for the server." },
	{ .name = "disabled", .section = ENTRIES, OWN(SETTING_DATABASE, disabled, OWN_DISABLED), .type = SETTING_BOOL,
	  .help = "Refuse new clients of this database." },
};
/* clang-format on */
const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

size_t setting_index(const struct setting *setting)
{
	return (size_t)(setting - settings_table);
}

const struct setting *setting_find(const char *name, unsigned where)
{
	for (size_t i = 0; i < settings_count; i++) {
		const struct setting *setting = &settings_table[i];
		if ((setting->where & where) && strcmp(setting->name, name) == 0)
			return setting;
	}
	return NULL;
}
