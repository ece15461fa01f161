/*
 * Where a database is and how to log in there: libpq's connection strings, both forms.
 *
 *      host=db1,db2 port=5432 dbname=app user=pooler password=...
 *      postgresql://pooler:...@db1,db2:5433/app?connect_timeout=5
 *
 * libpq's own parser reads them; the environment (PGHOST ...), the service file and the password file are not looked
 * at. An option that pgweir cannot honour is refused, never ignored.
 *
 * Immutable after conninfo_parse; any thread may read. Source: PostgreSQL manual, "Connection Strings" and "Parameter
 * Key Words".
 */
#ifndef POOLER_CONNINFO_H
#define POOLER_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"

#define CONNINFO_HOSTS_MAX 64
#define CONNINFO_HOST_BYTES_MAX 255 /* of a host's name */
#define CONNINFO_PORT_DEFAULT 5432
#define CONNINFO_PASSWORD_BYTES_MAX (64u * 1024u)
#define CONNINFO_SOCKET_DIR "/var/run/postgresql" /* where the server is when no host is given */

struct conninfo_host {
	char *host;     /* owned; never "": a name, an address, or for is_local the directory ("@...": abstract) */
	char *hostaddr; /* owned; the numeric address to connect to instead of looking `host` up; NULL: none */
	uint16_t port;
	bool is_local; /* a unix socket: host/.s.PGSQL.port */
};

struct conninfo {
	struct conninfo_host *hosts; /* owned; to be tried in this order */
	size_t host_count;           /* at least 1 */
	char *dbname;                /* owned, as all the following; NULL: as the client calls it */
	char *user;                  /* log in as this user whoever the client is; NULL: as the client */
	char *password;              /* secret; NULL: none */
	char *client_encoding;       /* NULL: none, as the following */
	char *application_name;      /* for clients that give none */
	char *options;               /* "-c name=value ..." */
	uint64_t connect_timeout_us; /* 0: server_connect_timeout */
};

/* Options that stand beside the connection string and win over it; NULL: not given. */
struct conninfo_parts {
	const char *host;
	const char *port;
	const char *dbname;
	const char *user;
	const char *password;
};

/* Reads `text` ("" is all defaults) and `parts` (NULL: none). False: `error` says why, without any secret, and
 * `conninfo` is empty. */
bool conninfo_parse(struct conninfo *conninfo, const char *text, const struct conninfo_parts *parts, char *error,
		    size_t error_bytes);
/* Wipes and frees what it holds. */
void conninfo_clear(struct conninfo *conninfo);
/* Same places, same login: servers of one may be kept for the other. */
bool conninfo_equal(const struct conninfo *a, const struct conninfo *b);
/* Appends it as keywords, the password as "***". Without a NUL. */
void conninfo_print(const struct conninfo *conninfo, struct pg_buffer *out);

#endif
