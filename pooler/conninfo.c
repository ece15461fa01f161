#include "pooler/conninfo.h"

#include <ctype.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <libpq-fe.h>
#include <openssl/crypto.h>

#include "pooler/clock.h"
#include "protocol/message.h"

#define SOCKET_DIR_BYTES_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("/.s.PGSQL.65535"))

/* What libpq found, by keyword; NULL: not given, or empty, which means the same to libpq. */
struct found {
	const char *host;
	const char *hostaddr;
	const char *port;
	const char *dbname;
	const char *user;
	const char *password;
	const char *client_encoding;
	const char *application_name;
	const char *fallback_application_name;
	const char *options;
	const char *connect_timeout;
};

/* Keywords that are taken over. */
static const struct {
	const char *keyword;
	size_t offset; /* in struct found */
} taken[] = {
	{ "host", offsetof(struct found, host) },
	{ "hostaddr", offsetof(struct found, hostaddr) },
	{ "port", offsetof(struct found, port) },
	{ "dbname", offsetof(struct found, dbname) },
	{ "user", offsetof(struct found, user) },
	{ "password", offsetof(struct found, password) },
	{ "client_encoding", offsetof(struct found, client_encoding) },
	{ "application_name", offsetof(struct found, application_name) },
	{ "fallback_application_name", offsetof(struct found, fallback_application_name) },
	{ "options", offsetof(struct found, options) },
	{ "connect_timeout", offsetof(struct found, connect_timeout) },
};

/* Keywords of which only what pgweir does anyway is accepted: plain connections, to the first host that answers. */
static const struct {
	const char *keyword;
	const char *values[4];
} bounded[] = {
	{ "sslmode", { "disable", "allow", "prefer", NULL } }, { "gssencmode", { "disable", "prefer", NULL } },
	{ "channel_binding", { "disable", "prefer", NULL } },  { "target_session_attrs", { "any", NULL } },
	{ "load_balance_hosts", { "disable", NULL } },         { "sslcompression", { "0", NULL } },
	{ "replication", { "0", "off", "false", NULL } },
};

/* ---- what libpq's parser says ---- */

static bool may_hold_password(const char *text)
{
	return strstr(text, "pass") || (strstr(text, "://") && strchr(text, '@'));
}

/* libpq quotes what it does not understand, which may be a piece of a password. */
static void explain_syntax(const char *text, const char *message, char *error, size_t error_bytes)
{
	if (!may_hold_password(text))
		snprintf(error, error_bytes, "%.*s", (int)strcspn(message, "\n"), message);
	else if (strncmp(message, "missing \"=\"", 11) == 0)
		snprintf(error, error_bytes,
			 "a \"=\" is missing after a word (a value with blanks stands in single quotes)");
	else if (strncmp(message, "unterminated", 12) == 0)
		snprintf(error, error_bytes, "a single quote is not closed");
	else if (strncmp(message, "invalid connection option", 25) == 0 ||
		 strncmp(message, "invalid URI query parameter", 27) == 0)
		snprintf(error, error_bytes,
			 "it has an option that libpq does not know (not shown: it may be a piece of the password)");
	else
		snprintf(error, error_bytes,
			 "libpq cannot read it (in a URI, special characters of a password are written as %%XX)");
}

/* An '@' or a '/' of a password that was not written as %XX ends it too early: the rest is then taken for hosts or for
 * the database, and has another '@' in it. */
static bool is_cut_uri(const char *text)
{
	bool is_uri = strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0;
	const char *authority, *at;
	size_t whole, login;

	if (!is_uri)
		return false;
	authority = strstr(text, "://") + 3;
	whole = strcspn(authority, "?");
	login = strcspn(authority, "/?");
	at = memchr(authority, '@', whole);
	if (!at)
		return false;
	return (size_t)(at - authority) > login || memchr(at + 1, '@', whole - (size_t)(at + 1 - authority));
}

static bool accept_bounded(size_t rule, const char *value, char *error, size_t error_bytes)
{
	char accepted[64] = "";

	for (size_t i = 0; bounded[rule].values[i]; i++) {
		size_t used = strlen(accepted);
		if (strcmp(bounded[rule].values[i], value) == 0)
			return true;
		snprintf(accepted + used, sizeof(accepted) - used, "%s%s", used > 0 ? ", " : "",
			 bounded[rule].values[i]);
	}
	snprintf(error, error_bytes, "of the option %s this version of pgweir supports only %s", bounded[rule].keyword,
		 accepted);
	return false;
}

static bool accept_option(struct found *found, const char *keyword, const char *value, char *error, size_t error_bytes)
{
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		if (strcmp(taken[i].keyword, keyword) == 0) {
			*(const char **)(void *)((char *)found + taken[i].offset) = value;
			return true;
		}
	}
	for (size_t i = 0; i < sizeof(bounded) / sizeof(bounded[0]); i++) {
		if (strcmp(bounded[i].keyword, keyword) == 0)
			return accept_bounded(i, value, error, error_bytes);
	}
	snprintf(error, error_bytes, "the option %s is not supported by this version of pgweir", keyword);
	return false;
}

static bool accept_options(struct found *found, const PQconninfoOption *options, char *error, size_t error_bytes)
{
	for (const PQconninfoOption *option = options; option->keyword; option++) {
		if (option->val && option->val[0] != '\0' &&
		    !accept_option(found, option->keyword, option->val, error, error_bytes))
			return false;
	}
	return true;
}

static void options_free(PQconninfoOption *options)
{
	for (PQconninfoOption *option = options; option && option->keyword; option++) {
		if (option->val && strcmp(option->keyword, "password") == 0)
			OPENSSL_cleanse(option->val, strlen(option->val));
	}
	PQconninfoFree(options);
}

static void override(const char **found, const char *part)
{
	if (part)
		*found = part[0] == '\0' ? NULL : part;
}

static void take_parts(struct found *found, const struct conninfo_parts *parts)
{
	if (parts->host)
		found->hostaddr = NULL;
	override(&found->host, parts->host);
	override(&found->port, parts->port);
	override(&found->dbname, parts->dbname);
	override(&found->user, parts->user);
	override(&found->password, parts->password);
}

/* ---- hosts ---- */

static size_t list_count(const char *list)
{
	size_t count = 1;

	for (; *list; list++)
		count += *list == ',' ? 1 : 0;
	return count;
}

/* Item `index` of a list with commas, to be freed; an empty or a missing one is "". NULL: no memory. */
static char *list_item(const char *list, size_t index)
{
	if (!list)
		return strdup("");
	for (; index > 0; index--)
		list += strcspn(list, ",") + 1;
	return strndup(list, strcspn(list, ","));
}

static bool is_numeric_address(const char *text)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *addresses = NULL;

	if (getaddrinfo(text, NULL, &hints, &addresses) != 0)
		return false;
	freeaddrinfo(addresses);
	return true;
}

/* "" is the default. 0: not a port. */
static uint16_t parse_port(const char *text)
{
	unsigned long port;
	char *end;

	if (text[0] == '\0')
		return CONNINFO_PORT_DEFAULT;
	if (!isdigit((unsigned char)text[0]))
		return 0;
	port = strtoul(text, &end, 10);
	return *end != '\0' || port > UINT16_MAX ? 0 : (uint16_t)port;
}

/* "": it is good. No value is shown: a password with a '/' or ':' in a URI would end up here. */
static const char *host_fault(const struct conninfo_host *host)
{
	if (host->is_local)
		return strlen(host->host) > SOCKET_DIR_BYTES_MAX ? "the directory of a unix socket is too long" : "";
	if (strlen(host->host) > CONNINFO_HOST_BYTES_MAX)
		return "the name of a host is longer than 255 bytes";
	if (strpbrk(host->host, " \t\r\n"))
		return "the name of a host has a blank in it";
	if (host->hostaddr && !is_numeric_address(host->hostaddr))
		return "hostaddr is not a numeric address";
	if (host->port == 0)
		return "a port is not a number from 1 to 65535";
	return "";
}

/* Takes all three. */
static const char *host_fill(struct conninfo_host *host, char *name, char *hostaddr, char *port)
{
	bool complete = name && hostaddr && port;

	host->host = name;
	host->hostaddr = hostaddr;
	host->port = port ? parse_port(port) : 0;
	free(port);
	if (!complete)
		return "out of memory";
	if (hostaddr[0] == '\0') {
		free(host->hostaddr);
		host->hostaddr = NULL;
	}
	if (name[0] == '\0') {
		free(host->host);
		host->host = strdup(host->hostaddr ? host->hostaddr : CONNINFO_SOCKET_DIR);
		if (!host->host)
			return "out of memory";
	}
	host->is_local = !host->hostaddr && (host->host[0] == '/' || host->host[0] == '@');
	if (host->is_local && host->port == 0)
		return "a port is not a number from 1 to 65535";
	return host_fault(host);
}

static const char *take_hosts(struct conninfo *conninfo, const struct found *found)
{
	const char *several = found->hostaddr ? found->hostaddr : found->host;
	size_t count = several ? list_count(several) : 1;
	size_t ports = found->port ? list_count(found->port) : 1;
	const char *fault = "";

	if (count > CONNINFO_HOSTS_MAX)
		return "more than 64 hosts";
	if (found->host && found->hostaddr && list_count(found->host) != count)
		return "host and hostaddr differ in their number of items";
	if (ports != 1 && ports != count)
		return "there must be one port, or as many as hosts";
	conninfo->hosts = calloc(count, sizeof(*conninfo->hosts));
	if (!conninfo->hosts)
		return "out of memory";
	for (size_t i = 0; i < count && fault[0] == '\0'; i++) {
		conninfo->host_count = i + 1;
		fault = host_fill(&conninfo->hosts[i], list_item(found->host, i), list_item(found->hostaddr, i),
				  list_item(found->port, ports == 1 ? 0 : i));
	}
	return fault;
}

/* ---- the rest ---- */

static bool copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static const char *take_connect_timeout(struct conninfo *conninfo, const char *text)
{
	unsigned long seconds;
	char *end;

	if (!text)
		return "";
	seconds = isdigit((unsigned char)text[0]) ? strtoul(text, &end, 10) : ULONG_MAX;
	if (seconds > INT_MAX || *end != '\0')
		return "connect_timeout is not a number of seconds";
	conninfo->connect_timeout_us = seconds * USEC_PER_SEC;
	return "";
}

static const char *take_login(struct conninfo *conninfo, const struct found *found)
{
	if (found->dbname && strlen(found->dbname) > PG_NAME_BYTES_MAX)
		return "the name of the database is longer than 63 bytes";
	if (found->user && strlen(found->user) > PG_NAME_BYTES_MAX)
		return "the name of the user is longer than 63 bytes";
	if (found->password && strlen(found->password) > CONNINFO_PASSWORD_BYTES_MAX)
		return "the password is longer than 64 KB";
	if (found->client_encoding && strcmp(found->client_encoding, "auto") == 0)
		return "client_encoding=auto is not supported: pgweir has no locale of its own";
	if (!copy(&conninfo->dbname, found->dbname) || !copy(&conninfo->user, found->user) ||
	    !copy(&conninfo->password, found->password) || !copy(&conninfo->client_encoding, found->client_encoding) ||
	    !copy(&conninfo->application_name,
		  found->application_name ? found->application_name : found->fallback_application_name) ||
	    !copy(&conninfo->options, found->options))
		return "out of memory";
	return take_connect_timeout(conninfo, found->connect_timeout);
}

bool conninfo_parse(struct conninfo *conninfo, const char *text, const struct conninfo_parts *parts, char *error,
		    size_t error_bytes)
{
	struct found found = { 0 };
	char *message = NULL;
	const char *fault;
	PQconninfoOption *options = is_cut_uri(text) ? NULL : PQconninfoParse(text, &message);
	bool accepted = options && accept_options(&found, options, error, error_bytes);

	memset(conninfo, 0, sizeof(*conninfo));
	if (!options && is_cut_uri(text))
		snprintf(error, error_bytes,
			 "there is an '@' too many (in a URI, special characters of a password are written as %%XX)");
	else if (!options)
		explain_syntax(text, message ? message : "out of memory", error, error_bytes);
	PQfreemem(message);
	if (accepted) {
		if (parts)
			take_parts(&found, parts);
		fault = take_hosts(conninfo, &found);
		if (fault[0] == '\0')
			fault = take_login(conninfo, &found);
		if (fault[0] != '\0') {
			snprintf(error, error_bytes, "%s", fault);
			accepted = false;
		}
	}
	options_free(options);
	if (!accepted)
		conninfo_clear(conninfo);
	return accepted;
}

void conninfo_clear(struct conninfo *conninfo)
{
	for (size_t i = 0; i < conninfo->host_count; i++) {
		free(conninfo->hosts[i].host);
		free(conninfo->hosts[i].hostaddr);
	}
	free(conninfo->hosts);
	free(conninfo->dbname);
	free(conninfo->user);
	if (conninfo->password)
		OPENSSL_cleanse(conninfo->password, strlen(conninfo->password));
	free(conninfo->password);
	free(conninfo->client_encoding);
	free(conninfo->application_name);
	free(conninfo->options);
	memset(conninfo, 0, sizeof(*conninfo));
}

static bool equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool hosts_equal(const struct conninfo *a, const struct conninfo *b)
{
	if (a->host_count != b->host_count)
		return false;
	for (size_t i = 0; i < a->host_count; i++) {
		if (!equal(a->hosts[i].host, b->hosts[i].host) || !equal(a->hosts[i].hostaddr, b->hosts[i].hostaddr) ||
		    a->hosts[i].port != b->hosts[i].port)
			return false;
	}
	return true;
}

bool conninfo_equal(const struct conninfo *a, const struct conninfo *b)
{
	return hosts_equal(a, b) && equal(a->dbname, b->dbname) && equal(a->user, b->user) &&
	       equal(a->password, b->password) && equal(a->client_encoding, b->client_encoding) &&
	       equal(a->application_name, b->application_name) && equal(a->options, b->options) &&
	       a->connect_timeout_us == b->connect_timeout_us;
}

/* ---- to text ---- */

static void put_text(struct pg_buffer *out, const char *text)
{
	pg_buffer_put_bytes(out, text, strlen(text));
}

static void put_option(struct pg_buffer *out, const char *keyword, const char *value)
{
	bool quoted = value && strpbrk(value, " \t\r\n\f\v'\\");

	if (!value)
		return;
	if (out->length > 0)
		put_text(out, " ");
	put_text(out, keyword);
	put_text(out, quoted ? "='" : "=");
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			put_text(out, "\\");
		pg_buffer_put_bytes(out, value, 1);
	}
	if (quoted)
		put_text(out, "'");
}

static void put_hosts(struct pg_buffer *out, const struct conninfo *conninfo)
{
	struct pg_buffer names = PG_BUFFER_EMPTY, addresses = PG_BUFFER_EMPTY, ports = PG_BUFFER_EMPTY;
	bool any_address = false;

	for (size_t i = 0; i < conninfo->host_count; i++) {
		const struct conninfo_host *host = &conninfo->hosts[i];
		const char *comma = i > 0 ? "," : "";
		char port[16];
		snprintf(port, sizeof(port), "%s%u", comma, host->port);
		put_text(&names, comma);
		put_text(&names, host->host);
		put_text(&addresses, comma);
		put_text(&addresses, host->hostaddr ? host->hostaddr : "");
		put_text(&ports, port);
		any_address = any_address || host->hostaddr;
	}
	pg_buffer_put_u8(&names, 0);
	pg_buffer_put_u8(&addresses, 0);
	pg_buffer_put_u8(&ports, 0);
	out->failed = out->failed || names.failed || addresses.failed || ports.failed;
	if (!out->failed) {
		put_option(out, "host", (const char *)names.data);
		put_option(out, "hostaddr", any_address ? (const char *)addresses.data : NULL);
		put_option(out, "port", (const char *)ports.data);
	}
	pg_buffer_clear(&names);
	pg_buffer_clear(&addresses);
	pg_buffer_clear(&ports);
}

void conninfo_print(const struct conninfo *conninfo, struct pg_buffer *out)
{
	struct pg_buffer text = PG_BUFFER_EMPTY;
	char timeout[24];

	snprintf(timeout, sizeof(timeout), "%llu", (unsigned long long)(conninfo->connect_timeout_us / USEC_PER_SEC));
	put_hosts(&text, conninfo);
	put_option(&text, "dbname", conninfo->dbname);
	put_option(&text, "user", conninfo->user);
	put_option(&text, "password", conninfo->password ? "***" : NULL);
	put_option(&text, "client_encoding", conninfo->client_encoding);
	put_option(&text, "application_name", conninfo->application_name);
	put_option(&text, "options", conninfo->options);
	put_option(&text, "connect_timeout", conninfo->connect_timeout_us > 0 ? timeout : NULL);
	pg_buffer_put_bytes(out, text.data, text.length);
	out->failed = out->failed || text.failed;
	pg_buffer_clear(&text);
}
