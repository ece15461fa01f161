/*
 * A server connection from nothing to ReadyForQuery: address, connect, startup packet, authentication, parameters,
 * connect_query. Hosts of a list are tried one after the other.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_SERVER_LOGIN_H
#define POOLER_SERVER_LOGIN_H

#include <stddef.h>
#include <stdint.h>

#include "pooler/server.h"

/* Begins. Ends in link_give or link_login_failed, which may be at once. */
void server_login_start(struct server *server);
/* The socket is connected, or failed to: EV_WRITE while connecting. */
void server_login_connected(struct server *server);
/* What came from the server before its first ReadyForQuery. Returns how many bytes it is done with, SIZE_MAX when the
 * login has failed (and the server is gone). */
size_t server_login_input(struct server *server, const uint8_t *data, size_t size);
/* The first ReadyForQuery has come: call server_login_finish, which may give the server away. */
bool server_login_is_done(const struct server *server);
void server_login_finish(struct server *server);
/* The connection broke with `error` (an errno, 0: end of file). The next address is tried, or the login has failed. */
void server_login_broken(struct server *server, int error, const char *what);
/* It cannot go on, for a reason of ours; the server is gone. */
void server_login_fail(struct server *server, const char *sqlstate, const char *message);
/* The same where the next attempt could not mend it: those who wait are told, as if the server had said it. */
void server_login_fail_setup(struct server *server, const char *sqlstate, const char *message);
/* It took longer than server_login_limit_us. */
void server_login_timed_out(struct server *server);
/* How long a server may stay in CONNECTING; 0: no limit. */
uint64_t server_login_limit_us(const struct server *server);
/* NULL is harmless. */
void server_login_free(struct server_login *login);

/* Still waiting for the address or the connect: bytes cannot come yet. */
bool server_login_is_connecting(const struct server *server);

#endif
