/*
 * Socket addresses: TCP over IPv4 and IPv6, unix sockets with a path and abstract ones.
 *
 * Pure; any thread.
 */
#ifndef POOLER_ADDRESS_H
#define POOLER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Holds what address_print writes, with its NUL. */
#define ADDRESS_TEXT_BYTES 128u

/* Any address that a server or a client may have. Fill it with zeros before the kernel writes into it: then
 * address_length and the printing need no length from outside. */
union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

/* What bind and connect want. */
socklen_t address_length(const union address *address);
/* "127.0.0.1:5432", "[::1]:5432", "/run/postgresql/.s.PGSQL.5432", "@name" for an abstract socket, "unix" for one without a
 * name, as clients have; cut at `out_bytes` with its NUL. */
void address_print(const union address *address, char *out, size_t out_bytes);
/* The host alone and the port (0 for a unix socket), as the console shows them: "127.0.0.1", "::1", "unix". */
void address_print_host(const union address *address, char *out, size_t out_bytes);
uint16_t address_port(const union address *address);
/* Harmless on a unix socket. */
void address_set_port(union address *address, uint16_t port);

/* The unix socket that PostgreSQL's clients look for in a directory: DIRECTORY/.s.PGSQL.PORT; a directory that starts with
 * "@" stands for abstract sockets. False: the path is too long for an address. */
bool address_set_local(union address *address, const char *directory, uint16_t port);
static inline bool address_is_local(const union address *address)
{
	return address->any.sa_family == AF_UNIX;
}
/* Not a file: nothing to remove, no mode. */
static inline bool address_is_abstract(const union address *address)
{
	return address_is_local(address) && address->local.sun_path[0] == 0 && address->local.sun_path[1] != 0;
}

/* True when `host` is a numeric IPv4 or IPv6 address; "fe80::1%eth0" too, when there is such an interface. */
bool address_parse_numeric(const char *host, uint16_t port, union address *address);

#endif
