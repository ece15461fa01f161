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
/* It took longer than server_connect_timeout, or the connection broke with `error` (an errno, 0: end of file). */
void server_login_broken(struct server *server, int error, const char *what);
/* NULL is harmless. */
void server_login_free(struct server_login *login);

/* Still waiting for the address or the connect: bytes cannot come yet. */
bool server_login_is_connecting(const struct server *server);

#endif
