#include "pooler/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* The kernel leaves the NUL out of a path that fills the field. */
static size_t path_length(const struct sockaddr_un *local, size_t from)
{
	return strnlen(local->sun_path + from, PATH_BYTES - from);
}

static socklen_t local_length(const union address *address)
{
	if (address_is_abstract(address)) /* every byte counts, a NUL at the end would too */
		return (socklen_t)(PATH_OFFSET + 1 + path_length(&address->local, 1));
	size_t length = path_length(&address->local, 0);
	return (socklen_t)(PATH_OFFSET + length + (length > 0 && length < PATH_BYTES));
}

socklen_t address_length(const union address *address)
{
	switch (address->any.sa_family) {
	case AF_INET:
		return sizeof(address->v4);
	case AF_INET6:
		return sizeof(address->v6);
	case AF_UNIX:
		return local_length(address);
	default:
		return sizeof(address->any.sa_family);
	}
}

static void print_v6(const struct sockaddr_in6 *v6, char *out, size_t out_bytes)
{
	char host[INET6_ADDRSTRLEN];
	char zone[IF_NAMESIZE];

	inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
	if (!v6->sin6_scope_id)
		snprintf(out, out_bytes, "%s", host);
	else if (if_indextoname(v6->sin6_scope_id, zone))
		snprintf(out, out_bytes, "%s%%%s", host, zone);
	else
		snprintf(out, out_bytes, "%s%%%u", host, v6->sin6_scope_id);
}

void address_print_host(const union address *address, char *out, size_t out_bytes)
{
	char host[INET_ADDRSTRLEN];

	switch (address->any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
		snprintf(out, out_bytes, "%s", host);
		break;
	case AF_INET6:
		print_v6(&address->v6, out, out_bytes);
		break;
	case AF_UNIX:
		snprintf(out, out_bytes, "unix");
		break;
	default:
		snprintf(out, out_bytes, "?");
	}
}

static void print_local(const struct sockaddr_un *local, char *out, size_t out_bytes)
{
	if (local->sun_path[0])
		snprintf(out, out_bytes, "%.*s", (int)path_length(local, 0), local->sun_path);
	else if (local->sun_path[1])
		snprintf(out, out_bytes, "@%.*s", (int)path_length(local, 1), local->sun_path + 1);
	else
		snprintf(out, out_bytes, "unix");
}

void address_print(const union address *address, char *out, size_t out_bytes)
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];

	if (address_is_local(address)) {
		print_local(&address->local, out, out_bytes);
		return;
	}
	address_print_host(address, host, sizeof(host));
	snprintf(out, out_bytes, address->any.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, address_port(address));
}

uint16_t address_port(const union address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohs(address->v4.sin_port);
	return address->any.sa_family == AF_INET6 ? ntohs(address->v6.sin6_port) : 0;
}

void address_set_port(union address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET)
		address->v4.sin_port = htons(port);
	else if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
}

bool address_set_local(union address *address, const char *directory, uint16_t port)
{
	memset(address, 0, sizeof(*address));
	address->any.sa_family = AF_UNIX;
	int length = snprintf(address->local.sun_path, PATH_BYTES, "%s/.s.PGSQL.%u", directory, port);
	if (length < 0 || (size_t)length >= PATH_BYTES)
		return false;
	if (address->local.sun_path[0] == '@')
		address->local.sun_path[0] = 0;
	return true;
}

/* The part behind '%': an interface's name or number. 0: there is none such. */
static uint32_t parse_zone(const char *zone)
{
	unsigned index = if_nametoindex(zone);
	char *end;

	if (index || !*zone)
		return index;
	unsigned long number = strtoul(zone, &end, 10);
	return *end || *zone < '0' || *zone > '9' || number > UINT32_MAX ? 0 : (uint32_t)number;
}

static bool parse_v6(const char *host, union address *address)
{
	char text[INET6_ADDRSTRLEN];
	const char *zone = strchr(host, '%');
	size_t length = zone ? (size_t)(zone - host) : strlen(host);

	if (length >= sizeof(text))
		return false;
	memcpy(text, host, length);
	text[length] = 0;
	if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) != 1)
		return false;
	address->any.sa_family = AF_INET6;
	address->v6.sin6_scope_id = zone ? parse_zone(zone + 1) : 0;
	return !zone || address->v6.sin6_scope_id;
}

bool address_parse_numeric(const char *host, uint16_t port, union address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1)
		address->any.sa_family = AF_INET;
	else if (!parse_v6(host, address))
		return false;
	address_set_port(address, port);
	return true;
}
