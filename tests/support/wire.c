#define _GNU_SOURCE 1 /* POLLRDHUP */

#include "tests/support/wire.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/startup.h"
#include "tests/support/clock.h"

/* ---- connections ---- */

static void connect_to(struct wire *wire, int family, const void *address, socklen_t bytes)
{
	memset(wire, 0, sizeof(*wire));
	wire->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(wire->fd, 0);
	ck_assert_msg(connect(wire->fd, address, bytes) == 0, "connect: %s", strerror(errno));
	ck_assert_int_eq(fcntl(wire->fd, F_SETFL, O_NONBLOCK), 0);
}

void wire_open(struct wire *wire, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	connect_to(wire, AF_INET, &address, sizeof(address));
	setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

void wire_open_local(struct wire *wire, const char *directory, uint16_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	int bytes = snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%u", directory, port);
	ck_assert_uint_lt((size_t)bytes, sizeof(address.sun_path));
	connect_to(wire, AF_UNIX, &address, sizeof(address));
}

void wire_close(struct wire *wire)
{
	close(wire->fd);
	wire->fd = -1;
	pg_buffer_clear(&wire->in);
}

void wire_reset(struct wire *wire)
{
	setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	wire_close(wire);
}

void wire_end(struct wire *wire)
{
	ck_assert_int_eq(shutdown(wire->fd, SHUT_WR), 0);
}

/* ---- sending ---- */

static void wait_for(const struct wire *wire, short events, int64_t deadline, const char *what)
{
	struct pollfd poller = { wire->fd, events, 0 };
	int64_t left = deadline - now_ms();

	ck_assert_msg(left > 0 && poll(&poller, 1, (int)left) == 1, "%s within %d s", what, PATIENCE_MS / 1000);
}

static void forget_answers(struct wire *wire)
{
	wire->sqlstate[0] = wire->message[0] = wire->hint[0] = wire->tags[0] = wire->value[0] = '\0';
	wire->rows = 0;
}

void wire_send_bytes(struct wire *wire, const void *data, size_t bytes)
{
	const uint8_t *at = data;
	int64_t deadline = now_ms() + PATIENCE_MS;

	forget_answers(wire);
	while (bytes > 0) {
		ssize_t sent = send(wire->fd, at, bytes, MSG_NOSIGNAL);
		if (sent < 0) {
			ck_assert_msg(errno == EAGAIN, "send: %s", strerror(errno));
			wait_for(wire, POLLOUT, deadline, "nothing could be sent");
			continue;
		}
		at += sent;
		bytes -= (size_t)sent;
	}
}

void wire_send(struct wire *wire, struct pg_buffer *out)
{
	ck_assert(!out->failed);
	wire_send_bytes(wire, out->data, out->length);
	pg_buffer_clear(out);
}

bool wire_try_send(struct wire *wire, const void *data, size_t bytes)
{
	forget_answers(wire);
	return send(wire->fd, data, bytes, MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

void wire_query(struct wire *wire, const char *sql)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_query(&out, sql);
	wire_send(wire, &out);
}

/* ---- messages ---- */

void wire_put_startup(struct pg_buffer *out, uint32_t version, const char *const *pairs)
{
	size_t begin = out->length;

	pg_buffer_put_u32(out, 0);
	pg_buffer_put_u32(out, version);
	for (; *pairs; pairs++)
		pg_buffer_put_string(out, *pairs);
	pg_buffer_put_u8(out, 0);
	pg_buffer_set_u32(out, begin, (uint32_t)(out->length - begin));
}

void wire_put_parse(struct pg_buffer *out, const char *name, const char *sql)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_PARSE);

	pg_buffer_put_string(out, name);
	pg_buffer_put_string(out, sql);
	pg_buffer_put_u16(out, 0);
	pg_buffer_end(out, begin);
}

void wire_put_bind(struct pg_buffer *out, const char *portal, const char *statement, const char *const *values,
		   uint16_t count)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_BIND);

	pg_buffer_put_string(out, portal);
	pg_buffer_put_string(out, statement);
	pg_buffer_put_u16(out, 0);
	pg_buffer_put_u16(out, count);
	for (uint16_t i = 0; i < count; i++) {
		pg_buffer_put_u32(out, (uint32_t)strlen(values[i]));
		pg_buffer_put_bytes(out, values[i], strlen(values[i]));
	}
	pg_buffer_put_u16(out, 0);
	pg_buffer_end(out, begin);
}

static void put_target(struct pg_buffer *out, uint8_t type, char kind, const char *name)
{
	size_t begin = pg_buffer_begin(out, type);

	pg_buffer_put_u8(out, (uint8_t)kind);
	pg_buffer_put_string(out, name);
	pg_buffer_end(out, begin);
}

void wire_put_describe(struct pg_buffer *out, char kind, const char *name)
{
	put_target(out, PG_FRONTEND_DESCRIBE, kind, name);
}

void wire_put_close(struct pg_buffer *out, char kind, const char *name)
{
	put_target(out, PG_FRONTEND_CLOSE, kind, name);
}

void wire_put_execute(struct pg_buffer *out, const char *portal, uint32_t row_limit)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_EXECUTE);

	pg_buffer_put_string(out, portal);
	pg_buffer_put_u32(out, row_limit);
	pg_buffer_end(out, begin);
}

void wire_put_flush(struct pg_buffer *out)
{
	pg_build_bare(out, PG_FRONTEND_FLUSH);
}

void wire_put_copy_data(struct pg_buffer *out, const void *data, size_t bytes)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_COPY_DATA);

	pg_buffer_put_bytes(out, data, bytes);
	pg_buffer_end(out, begin);
}

void wire_put_copy_done(struct pg_buffer *out)
{
	pg_build_bare(out, PG_FRONTEND_COPY_DONE);
}

void wire_put_statement(struct pg_buffer *out, const char *sql)
{
	wire_put_parse(out, "", sql);
	wire_put_bind(out, "", "", NULL, 0);
	wire_put_describe(out, 'P', "");
	wire_put_execute(out, "", 0);
}

void wire_put_raw(struct pg_buffer *out, char type, uint32_t length, const void *body, size_t bytes)
{
	pg_buffer_put_u8(out, (uint8_t)type);
	pg_buffer_put_u32(out, length);
	pg_buffer_put_bytes(out, body, bytes);
}

/* ---- receiving ---- */

/* False: the other side has closed. */
static bool receive(struct wire *wire, int64_t deadline)
{
	ck_assert(pg_buffer_reserve(&wire->in, 65536));
	for (;;) {
		ssize_t got = recv(wire->fd, wire->in.data + wire->in.length, wire->in.capacity - wire->in.length, 0);
		if (got > 0) {
			wire->in.length += (size_t)got;
			return true;
		}
		if (got == 0 || errno == ECONNRESET)
			return false;
		ck_assert_msg(errno == EAGAIN, "recv: %s", strerror(errno));
		wait_for(wire, POLLIN, deadline, "no message came");
	}
}

static void note_error(struct wire *wire, const struct wire_message *message)
{
	struct pg_error_fields fields;

	ck_assert_int_eq(pg_parse_error(message->body, message->body_bytes, &fields), PG_OK);
	snprintf(wire->sqlstate, sizeof(wire->sqlstate), "%s", fields.sqlstate);
	snprintf(wire->message, sizeof(wire->message), "%s", fields.message);
	snprintf(wire->hint, sizeof(wire->hint), "%s", fields.hint);
}

static void note_row(struct wire *wire, const struct wire_message *message)
{
	wire->rows++;
	ck_assert_uint_ge(message->body_bytes, 2);
	if (pg_load_u16(message->body) == 0 || pg_load_u32(message->body + 2) == UINT32_MAX) {
		wire->value[0] = '\0';
		return;
	}
	size_t bytes = pg_load_u32(message->body + 2);
	if (bytes >= sizeof(wire->value))
		bytes = sizeof(wire->value) - 1;
	memcpy(wire->value, message->body + 6, bytes);
	wire->value[bytes] = '\0';
}

static void note_key(struct wire *wire, const struct wire_message *message)
{
	struct pg_cancel_key key;

	ck_assert_int_eq(pg_parse_cancel_key(message->body, message->body_bytes, &key), PG_OK);
	wire->process_id = key.process_id;
	wire->key_bytes = key.key_bytes;
	memcpy(wire->key, key.key, key.key_bytes);
}

static void note_tag(struct wire *wire, const struct wire_message *message)
{
	size_t used = strlen(wire->tags);

	snprintf(wire->tags + used, sizeof(wire->tags) - used, "%s%s", used ? ";" : "", (const char *)message->body);
}

static void note(struct wire *wire, const struct wire_message *message)
{
	if (message->type == PG_BACKEND_ERROR)
		note_error(wire, message);
	else if (message->type == PG_BACKEND_DATA_ROW)
		note_row(wire, message);
	else if (message->type == PG_BACKEND_CANCEL_KEY)
		note_key(wire, message);
	else if (message->type == PG_BACKEND_COMMAND_COMPLETE)
		note_tag(wire, message);
	else if (message->type == PG_BACKEND_READY)
		wire->status = (char)message->body[0];
}

bool wire_read(struct wire *wire, struct wire_message *message)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	struct pg_frame frame;

	pg_buffer_consume(&wire->in, wire->taken);
	wire->taken = 0;
	for (;;) {
		enum pg_result result = pg_frame_parse(wire->in.data, wire->in.length, &frame);
		ck_assert_msg(result != PG_BAD, "not a message: it begins with %#x", wire->in.data[0]);
		if (result == PG_OK && wire->in.length >= frame.total_bytes)
			break;
		if (!receive(wire, deadline)) {
			ck_assert_msg(wire->in.length == 0, "closed in half a message");
			return false;
		}
	}
	*message = (struct wire_message){ frame.type, wire->in.data + PG_FRAME_HEADER_BYTES, frame.body_bytes };
	wire->taken = frame.total_bytes;
	note(wire, message);
	return true;
}

#define TYPES_MAX 4096
static _Thread_local char types[TYPES_MAX + 1];

static void add_type(size_t *count, uint8_t type)
{
	bool may_come_any_time = type == PG_BACKEND_NOTICE || type == PG_BACKEND_PARAMETER_STATUS ||
				 type == PG_BACKEND_NOTIFICATION;
	bool repeats = *count > 0 && types[*count - 1] == (char)type &&
		       (type == PG_BACKEND_DATA_ROW || type == PG_BACKEND_COPY_DATA);

	if (may_come_any_time || repeats)
		return;
	ck_assert_uint_lt(*count, TYPES_MAX);
	types[(*count)++] = (char)type;
	types[*count] = '\0';
}

const char *wire_types_until(struct wire *wire, char type)
{
	struct wire_message message;
	size_t count = 0;

	types[0] = '\0';
	do {
		ck_assert_msg(wire_read(wire, &message), "closed after \"%s\", %s: %s", types, wire->sqlstate,
			      wire->message);
		add_type(&count, message.type);
	} while (message.type != (uint8_t)type);
	return types;
}

const char *wire_types_until_ready(struct wire *wire)
{
	return wire_types_until(wire, PG_BACKEND_READY);
}

const char *wire_types_until_closed(struct wire *wire)
{
	struct wire_message message;
	size_t count = 0;

	types[0] = '\0';
	while (wire_read(wire, &message))
		add_type(&count, message.type);
	return types;
}

bool wire_is_silent(struct wire *wire, int ms)
{
	struct pollfd poller = { wire->fd, POLLIN, 0 };

	return wire->in.length == wire->taken && poll(&poller, 1, ms) == 0;
}

/* ---- conversations ---- */

/* Answers a request for a plain password, and reads on to the welcome's end. */
static void finish_login(struct wire *wire, const char *password)
{
	struct wire_message message;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	do {
		ck_assert_msg(wire_read(wire, &message), "not let in: %s %s", wire->sqlstate, wire->message);
		if (message.type == PG_BACKEND_AUTHENTICATION && pg_load_u32(message.body) == PG_AUTH_CLEARTEXT) {
			ck_assert_ptr_nonnull(password);
			pg_build_password(&out, password);
			wire_send(wire, &out);
		}
	} while (message.type != PG_BACKEND_READY);
}

void wire_login(struct wire *wire, const char *user, const char *database, const char *password,
		const char *const *pairs)
{
	struct pg_buffer out = PG_BUFFER_EMPTY, more = PG_BUFFER_EMPTY;

	for (; pairs && *pairs; pairs++)
		pg_buffer_put_string(&more, *pairs);
	pg_startup_put_session(&out, user, database, more.data, more.length);
	pg_buffer_clear(&more);
	wire_send(wire, &out);
	finish_login(wire, password);
}

void wire_connect(struct wire *wire, const struct weir *weir)
{
	wire_open(wire, weir->port);
	wire_login(wire, "app_user", "app", NULL, NULL);
}

const char *wire_value(struct wire *wire, const char *sql)
{
	wire_exec(wire, sql);
	return wire->value;
}

void wire_exec(struct wire *wire, const char *sql)
{
	wire_query(wire, sql);
	wire_types_until_ready(wire);
	ck_assert_msg(wire->sqlstate[0] == '\0', "%s: %s %s", sql, wire->sqlstate, wire->message);
}

void wire_cancel_with(uint16_t port, uint32_t process_id, const uint8_t *key, size_t key_bytes)
{
	struct wire wire;
	struct pg_buffer out = PG_BUFFER_EMPTY;

	wire_open(&wire, port);
	pg_startup_put_cancel(&out, process_id, key, key_bytes);
	wire_send(&wire, &out);
	ck_assert_str_eq(wire_types_until_closed(&wire), "");
	wire_close(&wire);
}

void wire_cancel(const struct wire *wire, uint16_t port)
{
	wire_cancel_with(port, wire->process_id, wire->key, wire->key_bytes);
}
