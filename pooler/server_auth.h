/*
 * How pgweir proves to a server who it is: plain, md5 or SCRAM-SHA-256.
 *
 * Passwords, in this order: that of the conninfo, the plain or md5 secret of the auth_file, the one of a client's own plain
 * login. Deriving keys from a password is the helper thread's work.
 *
 * Only in the worker's thread. Source: PostgreSQL manual, "Start-up" and "SASL Authentication" of "Message Flow".
 */
#ifndef POOLER_SERVER_AUTH_H
#define POOLER_SERVER_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/resolver.h"
#include "pooler/server.h"
#include "protocol/scram.h"

/* Of one attempt to log in. Zero is the beginning. */
struct server_auth {
	char *password; /* owned; secret; what keys were or will be derived from */
	struct pg_scram_client scram;
	struct pg_scram_keys keys;
	bool scram_started;
	bool scram_proven; /* the server has shown that it knows the password too */
	bool let_in;       /* AuthenticationOk came */
};

enum login_step { LOGIN_RESOLVING, LOGIN_CONNECTING, LOGIN_TALKING, LOGIN_DERIVING, LOGIN_DONE };

/* A login under way: server_login's and this file's own. */
struct server_login {
	enum login_step step;
	const struct config *config;     /* held */
	const struct database *database; /* borrowed from config */
	size_t next_host;
	union address addresses[RESOLVER_ADDRESSES_MAX];
	size_t address_count;
	size_t next_address;
	struct pool_failure failure; /* of the last attempt */
	struct server_auth auth;
};

/* Wipes and frees; the next attempt may begin. */
void server_auth_clear(struct server_auth *auth);

/* The body of an authentication request. Answers it, now or when the keys have come. False: the login has failed and the
 * server is gone. */
bool server_auth_request(struct server *server, const uint8_t *body, size_t size);

#endif
