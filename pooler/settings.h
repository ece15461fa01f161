/*
 * What was configured: one immutable snapshot.
 *
 *      defaults  <  file  <  environment (PGWEIR_LISTEN_PORT ...)  <  SET on the console
 *
 * A snapshot comes from a file in libconfig's format, or from one URL, and is taken whole or not at all. One table
 * describes every setting (settings_table.c): its name, type, unit, bounds, default, where it may stand and who may
 * change it.
 *
 * Durations are in microseconds, `_us`. What 0 means is PgBouncer's: no limit, but for server_lifetime, where 0 means
 * that a connection serves once; config_pool_policy translates that.
 *
 * Threads: the main thread makes snapshots and hands them out; they are counted, and never changed once shared.
 */
#ifndef POOLER_SETTINGS_H
#define POOLER_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pooler/conninfo.h"
#include "pooler/users.h"

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION, POOL_MODE_STATEMENT };
enum auth_type { AUTH_TYPE_TRUST, AUTH_TYPE_PLAIN, AUTH_TYPE_MD5, AUTH_TYPE_SCRAM };
/* As they are written: "session", "scram-sha-256". */
const char *pool_mode_name(enum pool_mode mode);
const char *auth_type_name(enum auth_type type);

struct string_list {
	char **items; /* owned, with each item; NULL when empty */
	size_t count;
};
/* Without regard to case: for lists of parameter names. */
bool string_list_contains(const struct string_list *list, const char *name);

/* The global settings; strings are never NULL, "" when not set. */
struct settings {
	struct string_list listen_addr; /* "*" is any address; empty: no TCP */
	uint32_t listen_port;
	uint32_t listen_backlog;
	struct string_list unix_socket_dir; /* empty: no unix sockets */
	uint32_t unix_socket_mode;
	char *unix_socket_group; /* "": the process's own */
	uint32_t workers;        /* 1 to POOL_WORKERS_MAX */

	enum auth_type auth_type;
	char *auth_file; /* absolute; "": none */
	struct string_list admin_users;
	struct string_list stats_users;
	uint32_t scram_iterations;

	enum pool_mode pool_mode;
	uint32_t default_pool_size; /* at least 1 */
	uint32_t min_pool_size;
	uint32_t max_client_conn;
	char *server_reset_query; /* "": none */
	bool server_reset_query_always;
	struct string_list track_extra_parameters;
	struct string_list ignore_startup_parameters;
	bool application_name_add_host;

	/* 0: no limit. */
	uint64_t query_wait_timeout_us;
	uint64_t client_login_timeout_us;
	uint64_t cancel_wait_timeout_us;
	uint64_t server_connect_timeout_us;
	uint64_t server_idle_timeout_us;
	uint64_t server_reset_timeout_us; /* never 0 */
	uint64_t server_lifetime_us;      /* 0: a connection serves once */
	uint64_t server_login_retry_us;   /* 0: no pause between attempts */

	uint64_t dns_max_ttl_us;
	uint64_t dns_nxdomain_ttl_us;

	/* 0, here: the kernel's default. */
	bool tcp_keepalive;
	uint64_t tcp_keepidle_us;  /* whole seconds, as the kernel wants it */
	uint64_t tcp_keepintvl_us; /* whole seconds */
	uint32_t tcp_keepcnt;
	uint64_t tcp_user_timeout_us; /* whole milliseconds */

	uint64_t stats_period_us; /* never 0 */
	bool log_connections;
	bool log_disconnections;
	bool log_pooler_errors;
	bool log_stats;
	uint32_t verbose;
};

/* What a database or a user has for itself: where the bit in `given` is not set, the next level counts. */
#define OWN_POOL_MODE (1u << 0)
#define OWN_POOL_SIZE (1u << 1)
#define OWN_MIN_POOL_SIZE (1u << 2)
#define OWN_QUERY_WAIT_TIMEOUT (1u << 3)
#define OWN_SERVER_IDLE_TIMEOUT (1u << 4)
#define OWN_SERVER_LIFETIME (1u << 5)
#define OWN_CONNECT_QUERY (1u << 6)
#define OWN_DISABLED (1u << 7)

struct own_settings {
	uint32_t given; /* OWN_... */
	enum pool_mode pool_mode;
	uint32_t pool_size;
	uint32_t min_pool_size;
	uint64_t query_wait_timeout_us;
	uint64_t server_idle_timeout_us;
	uint64_t server_lifetime_us;
	char *connect_query; /* owned; of a database only; NULL: none */
	bool disabled;       /* of a database only; false when not given */
};

struct database {
	char *name; /* owned; "*" is the fallback */
	struct conninfo conninfo;
	struct own_settings own;
};

struct user_settings {
	char *name; /* owned */
	struct own_settings own;
};

struct config_index;

struct config {
	atomic_uint holders;
	struct settings settings;
	struct database *databases; /* owned, or borrowed from base; in the order of the file */
	size_t database_count;
	struct user_settings *user_settings; /* the same */
	size_t user_settings_count;
	struct config_index *index; /* the same; names to the two above */
	const struct users *users;  /* held; never NULL */
	const struct config *base; /* held; made by SET: the snapshot that owns what it borrows. NULL: owns it itself */
	char *path;                /* owned; absolute; the file that it came from. NULL: a URL */
	char *url;                 /* owned; secret; NULL: a file */
	uint8_t *sources;          /* owned; enum setting_source of each setting of the table */
};

/* ---- making one: the main thread ---- */

#define CONFIG_ERROR_BYTES 8192 /* holds every line that the functions below may write */
#define CONFIG_ERRORS_MAX 20

/* Loads a file; `env` is an environment as environ. NULL: nothing has changed, and `error` holds up to
 * CONFIG_ERRORS_MAX lines "FILE:LINE: setting: reason", separated by newlines. The caller holds the result once. */
struct config *config_load(const char *path, char *const *env, char *error, size_t error_bytes);
/* The same from one URL: that database alone, the URL's user at the server, clients log in as that user with its
 * password (without a password: trust), on 127.0.0.1 and a unix socket in /tmp. */
struct config *config_from_url(const char *url, char *const *env, char *error, size_t error_bytes);
/* True when `text` is a URL that config_from_url takes, rather than the name of a file. */
bool config_is_url(const char *text);
/* Loads again from where `running` came from. Settings that only a restart changes keep their running value; the names
 * of those that the file would change are written to `restart`, separated by ", ", "" when there are none. What SET had
 * changed goes back to what the file says. */
struct config *config_reload(const struct config *running, char *const *env, char *restart, size_t restart_bytes,
			     char *error, size_t error_bytes);
/* SET: a snapshot that differs from `old` in one global setting. NULL: `error` says why. The caller holds the result
 * once, and keeps its hold of `old`. */
struct config *config_with_setting(const struct config *old, const char *name, const char *value, char *error,
				   size_t error_bytes);

/* ---- any thread, while it is held ---- */

const struct config *config_hold(const struct config *config);
/* The last holder frees it. NULL is harmless. */
void config_drop(const struct config *config);

/* The entry of that name, else the fallback "*", else NULL. Borrowed. */
const struct database *config_find_database(const struct config *config, const char *name);
/* NULL: nothing is set for that user. Borrowed. */
const struct user_settings *config_find_user_settings(const struct config *config, const char *user);
/* What the server calls the database that a client calls `requested`. Borrowed from either. */
const char *database_dbname(const struct database *database, const char *requested);

bool config_user_is_admin(const struct config *config, const char *user);
/* May look but not touch. An admin is not one of these unless he is named there. */
bool config_user_is_stats(const struct config *config, const char *user);

/* What counts for a pool: the user's own value, else the database's, else the global one. `user` is the one of the
 * pool: the server's. A minimum above the size that results is cut to it. */
struct pool_policy;
void config_pool_policy(const struct config *config, const struct database *database, const char *user,
			struct pool_policy *policy);
enum pool_mode config_pool_mode(const struct config *config, const struct database *database, const char *client_user);
/* 0: no limit. */
uint64_t config_query_wait_timeout_us(const struct config *config, const struct database *database, const char *user);

/* ---- showing it ---- */

/* The rows of SHOW CONFIG, in the order of names. */
typedef void config_row(void *context, const char *key, const char *value, const char *default_value, bool changeable);
void config_each_setting(const struct config *config, config_row *row, void *context);
/* All of it as a file that loads again, passwords as "***". False: writing failed. */
bool config_print(const struct config *config, FILE *out);

#endif
