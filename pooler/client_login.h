/*
 * A client from its first byte to its welcome: startup packet, authentication, the pool it belongs to, and the parameters
 * that it is welcomed with.
 *
 * What a client wants in force (startup parameters) is tried out on a real server of the pool the first time somebody asks
 * for just that, and remembered; a parameter that the server refuses is refused at login with the server's own words.
 *
 * Only in the worker's thread.
 */
#ifndef POOLER_CLIENT_LOGIN_H
#define POOLER_CLIENT_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/client.h"
#include "pooler/server.h"

/* STARTUP, TLS and AUTH: what came in. Returns how many bytes it is done with. After it, client->leaving says whether the
 * client must go. */
size_t client_login_input(struct client *client, const uint8_t *data, size_t size);

/* The client, still logging in, has a server on which its parameters are in force. */
void client_login_with_server(struct client *client, struct server *server);

/* The client, still logging in, got this server: client->params becomes the server's defaults under what it asked for. */
void client_login_want(struct client *client, const struct server *server);

/* In AUTH: false while something else than the client is awaited. */
bool client_login_expects_input(const struct client *client);

/* Frees a login that ends without a welcome. NULL is harmless. */
void client_login_free(struct client_login *login);

/* The keys that were derived for a SCRAM exchange have come. */
struct keys_job;
void client_login_keys(struct client *client, struct keys_job *job);

#endif
