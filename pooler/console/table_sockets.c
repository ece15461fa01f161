/* SHOW CLIENTS, SHOW SERVERS, SHOW SOCKETS, SHOW ACTIVE_SOCKETS */

#include <arpa/inet.h>
#include <string.h>

#include "pooler/address.h"
#include "pooler/clock.h"
#include "pooler/console/tables.h"

/* What all of them have in common, in PgBouncer's order. */
/* clang-format off */
#define SOCKET_COLUMNS \
	{ "type", TABLE_TEXT }, { "user", TABLE_TEXT }, { "database", TABLE_TEXT }, \
	{ "replication", TABLE_TEXT }, { "state", TABLE_TEXT }, { "addr", TABLE_TEXT }, \
	{ "port", TABLE_INT4 }, { "local_addr", TABLE_TEXT }, { "local_port", TABLE_INT4 }, \
	{ "connect_time", TABLE_TEXT }, { "request_time", TABLE_TEXT }, { "wait", TABLE_INT4 }, \
	{ "wait_us", TABLE_INT4 }, { "close_needed", TABLE_INT4 }, { "ptr", TABLE_TEXT }, \
	{ "link", TABLE_TEXT }, { "remote_pid", TABLE_INT4 }, { "tls", TABLE_TEXT }, \
	{ "application_name", TABLE_TEXT }, { "prepared_statements", TABLE_INT4 }, { "id", TABLE_INT4 }
/* clang-format on */

static const struct table_column client_columns[] = {
	SOCKET_COLUMNS,
	/* ours */
	{ "pool_mode", TABLE_TEXT },
	{ "peer_uid", TABLE_INT4 },
	{ "server_id", TABLE_INT4 },
	{ "xact_age_us", TABLE_INT8 },
	{ "query_age_us", TABLE_INT8 },
};

static const struct table_column server_columns[] = {
	SOCKET_COLUMNS,
	/* ours */
	{ "client_id", TABLE_INT4 },
	{ "age", TABLE_INT4 },
	{ "pgweir_state", TABLE_TEXT },
	{ "state_age_us", TABLE_INT8 },
};

static const struct table_column socket_columns[] = {
	SOCKET_COLUMNS,
	{ "recv_pos", TABLE_INT4 },
	{ "pkt_pos", TABLE_INT4 },
	{ "pkt_remain", TABLE_INT4 },
	{ "send_pos", TABLE_INT4 },
	{ "send_remain", TABLE_INT4 },
	{ "pkt_avail", TABLE_INT4 },
	{ "send_avail", TABLE_INT4 },
};

/* ---- names of states, as PgBouncer has them ---- */

static const char *client_state_shown(const struct client_row *client)
{
	switch (client->state) {
	case CLIENT_IDLE:
		return "idle";
	case CLIENT_WAITING:
		return "waiting";
	case CLIENT_ACTIVE:
		return "active";
	case CLIENT_CONSOLE:
		return client->busy ? "active" : "idle";
	default:
		return "login";
	}
}

/* "closing" is ours: PgBouncer forgets a server when it says goodbye, we when its process has ended. */
static const char *server_state_shown(const struct server_row *server)
{
	switch (server->state) {
	case SERVER_CONNECTING:
		return "login";
	case SERVER_IDLE:
		return "idle";
	case SERVER_RESETTING:
		return server->cancels ? "being_canceled" : "tested";
	case SERVER_CLOSING:
		return "closing";
	default:
		return "active";
	}
}

/* ---- columns ---- */

static void peer_columns(struct table_rows *rows, const struct peer *peer)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (peer->family == AF_INET || peer->family == AF_INET6)
		inet_ntop(peer->family, peer->bytes, host, sizeof(host));
	row_format(rows, "%s", peer->family == AF_UNIX ? "unix" : host);
	row_number(rows, peer->port);
}

/* A name for the object; not its address, which is nobody's business. */
static void pointer_column(struct table_rows *rows, uint64_t id)
{
	if (id)
		row_format(rows, "0x%08llx", (unsigned long long)id);
	else
		row_text(rows, "");
}

static uint64_t age_us(const struct table_source *source, uint64_t since_us)
{
	return since_us && source->now_us > since_us ? source->now_us - since_us : 0;
}

static void age_column(const struct table_source *source, struct table_rows *rows, uint64_t since_us)
{
	if (since_us)
		row_number(rows, age_us(source, since_us));
	else
		row_null(rows);
}

static void client_socket(const struct table_source *source, struct table_rows *rows, const struct client_row *client,
			  const char *prefix)
{
	row_text(rows, "C");
	row_text(rows, client->user[0] ? client->user : "(nouser)");
	row_text(rows, client->database[0] ? client->database : "(nodb)");
	row_text(rows, "none");
	row_format(rows, "%s%s", prefix, client->state == CLIENT_CLOSING ? "closing" : client_state_shown(client));
	peer_columns(rows, &client->peer);
	peer_columns(rows, &client->local);
	row_time(rows, source, client->connected_us);
	row_time(rows, source, client->query_since_us ? client->query_since_us : client->state_since_us);
	row_duration(rows, age_us(source, client->waiting_since_us));
	row_number(rows, 0);
	pointer_column(rows, client->id);
	pointer_column(rows, client->server_id);
	row_number(rows, client->peer.pid);
	row_text(rows, "");
	row_text(rows, client->application_name);
	row_number(rows, 0);
	row_number(rows, client->id);
}

static void server_socket(const struct table_source *source, struct table_rows *rows, const struct server_row *server,
			  const char *prefix)
{
	char host[ADDRESS_TEXT_BYTES];

	address_print_host(&server->address, host, sizeof(host));
	row_text(rows, "S");
	row_text(rows, server->user);
	row_text(rows, server->database);
	row_text(rows, "none");
	row_format(rows, "%s%s", prefix, server_state_shown(server));
	row_format(rows, "%s", host);
	row_number(rows, address_port(&server->address));
	peer_columns(rows, &server->local);
	row_time(rows, source, server->created_us);
	row_time(rows, source, server->assigned_us ? server->assigned_us : server->created_us);
	row_duration(rows, 0);
	row_number(rows, server->close_needed);
	pointer_column(rows, server->id);
	pointer_column(rows, server->client_id);
	row_number(rows, server->process_id);
	row_text(rows, "");
	row_text(rows, server->application_name);
	row_number(rows, 0);
	row_number(rows, server->id);
}

/* ---- SHOW CLIENTS ---- */

/* Who has not come in yet, or is on the way out, stands in SHOW SOCKETS only. */
static bool is_in(const struct client_row *client)
{
	return client->state >= CLIENT_IDLE && client->state != CLIENT_CLOSING;
}

static void each_client(const struct table_source *source, struct table_rows *rows)
{
	for (size_t i = 0; i < source->snapshot->client_count; i++) {
		const struct client_row *client = &source->snapshot->clients[i];

		if (!is_in(client))
			continue;
		client_socket(source, rows, client, "");
		row_text(rows, client->pool_id ? pool_mode_name(client->mode) : NULL);
		if (client->peer.family == AF_UNIX && client->peer.pid)
			row_number(rows, client->peer.uid);
		else
			row_null(rows);
		if (client->server_id)
			row_number(rows, client->server_id);
		else
			row_null(rows);
		age_column(source, rows, client->xact_since_us);
		age_column(source, rows, client->query_since_us);
		row_end(rows);
	}
}

const struct table table_clients = {
	.name = "clients",
	.help = "clients, and what each does",
	TABLE_COLUMNS(client_columns),
	.needs = SNAPSHOT_CLIENTS,
	.each = each_client,
};

/* ---- SHOW SERVERS ---- */

static void each_server(const struct table_source *source, struct table_rows *rows)
{
	for (size_t i = 0; i < source->snapshot->server_count; i++) {
		const struct server_row *server = &source->snapshot->servers[i];

		server_socket(source, rows, server, "");
		if (server->client_id)
			row_number(rows, server->client_id);
		else
			row_null(rows);
		row_number(rows,
			   age_us(source, server->opened_us ? server->opened_us : server->created_us) / USEC_PER_SEC);
		row_text(rows, server_state_name(server->state));
		age_column(source, rows, server->state_since_us);
		row_end(rows);
	}
}

const struct table table_servers = {
	.name = "servers",
	.help = "server connections, and whom each serves",
	TABLE_COLUMNS(server_columns),
	.needs = SNAPSHOT_SERVERS,
	.each = each_server,
};

/* ---- SHOW SOCKETS ---- */

struct buffers {
	uint32_t kept;    /* received, not passed on */
	uint32_t passing; /* of the message under way, still to come */
	uint32_t backlog_start;
	uint32_t backlog; /* to be sent */
};

static void buffer_columns(struct table_rows *rows, const struct buffers *buffers)
{
	row_number(rows, buffers->kept);
	row_number(rows, 0);
	row_number(rows, buffers->passing);
	row_number(rows, buffers->backlog_start);
	row_number(rows, buffers->backlog);
	row_number(rows, buffers->kept);
	row_number(rows, buffers->backlog);
	row_end(rows);
}

static void sockets(const struct table_source *source, struct table_rows *rows, bool with_empty)
{
	for (size_t i = 0; i < source->snapshot->client_count; i++) {
		const struct client_row *client = &source->snapshot->clients[i];
		struct buffers buffers = { client->kept_bytes, client->passing_bytes, client->backlog_start,
					   client->backlog_bytes };

		if (!with_empty && !buffers.kept && !buffers.passing && !buffers.backlog)
			continue;
		client_socket(source, rows, client, "cl_");
		buffer_columns(rows, &buffers);
	}
	for (size_t i = 0; i < source->snapshot->server_count; i++) {
		const struct server_row *server = &source->snapshot->servers[i];
		struct buffers buffers = { server->kept_bytes, server->passing_bytes, server->backlog_start,
					   server->backlog_bytes };

		if (!with_empty && !buffers.kept && !buffers.passing && !buffers.backlog)
			continue;
		server_socket(source, rows, server, "sv_");
		buffer_columns(rows, &buffers);
	}
}

static void each_socket(const struct table_source *source, struct table_rows *rows)
{
	sockets(source, rows, true);
}

static void each_active_socket(const struct table_source *source, struct table_rows *rows)
{
	sockets(source, rows, false);
}

const struct table table_sockets = {
	.name = "sockets",
	.help = "clients and servers, with what waits in their buffers",
	TABLE_COLUMNS(socket_columns),
	.needs = SNAPSHOT_CLIENTS | SNAPSHOT_SERVERS,
	.each = each_socket,
};

const struct table table_active_sockets = {
	.name = "active_sockets",
	.help = "of these the ones with something in their buffers",
	TABLE_COLUMNS(socket_columns),
	.needs = SNAPSHOT_CLIENTS | SNAPSHOT_SERVERS,
	.each = each_active_socket,
};
