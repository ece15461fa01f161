#include "tests/support/fake_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/build.h"
#include "protocol/frame.h"

struct connection {
	struct fake_server *server;
	int fd;
};

static void *serve_one(void *argument)
{
	struct connection *connection = argument;

	connection->server->serve(connection->fd, connection->server->context);
	close(connection->fd);
	free(connection);
	return NULL;
}

static void *accept_all(void *argument)
{
	struct fake_server *server = argument;
	pthread_t thread;

	for (;;) {
		int fd = accept(server->listener, NULL, NULL);
		if (fd < 0)
			return NULL;
		struct connection *connection = malloc(sizeof(*connection));
		if (!connection)
			abort();
		*connection = (struct connection){ server, fd };
		server->connections++;
		if (pthread_create(&thread, NULL, serve_one, connection) != 0)
			abort();
		pthread_detach(thread);
	}
}

void fake_server_start(struct fake_server *server, void (*serve)(int fd, const void *context), const void *context)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(address);

	*server = (struct fake_server){ .serve = serve, .context = context };
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(server->listener, 100), 0);
	ck_assert_int_eq(getsockname(server->listener, (struct sockaddr *)&address, &bytes), 0);
	server->port = ntohs(address.sin_port);
	ck_assert_int_eq(pthread_create(&server->thread, NULL, accept_all, server), 0);
}

void fake_server_stop(struct fake_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
}

/* ---- for the serving function ---- */

bool fake_send(int fd, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	while (bytes > 0) {
		ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		at += sent;
		bytes -= (size_t)sent;
	}
	return true;
}

static bool receive(int fd, void *out, size_t bytes)
{
	return bytes == 0 || recv(fd, out, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

/* Keeps the first bytes of a body and drops the rest. */
static bool receive_body(int fd, size_t bytes, uint8_t *body, size_t body_bytes)
{
	uint8_t rest[4096];
	size_t kept = bytes < body_bytes ? bytes : body_bytes;

	if (!receive(fd, body, kept))
		return false;
	for (bytes -= kept; bytes > 0;) {
		size_t part = bytes < sizeof(rest) ? bytes : sizeof(rest);
		if (!receive(fd, rest, part))
			return false;
		bytes -= part;
	}
	return true;
}

bool fake_read_startup(int fd)
{
	uint8_t length[4];

	return receive(fd, length, 4) && pg_load_u32(length) >= 4 && receive_body(fd, pg_load_u32(length) - 4, NULL, 0);
}

bool fake_read(int fd, uint8_t *type, uint8_t *body, size_t body_bytes)
{
	uint8_t header[5];

	if (!receive(fd, header, 5) || pg_load_u32(header + 1) < 4)
		return false;
	*type = header[0];
	return receive_body(fd, pg_load_u32(header + 1) - 4, body, body_bytes);
}

bool fake_welcome(int fd)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_authentication(&out, PG_AUTH_OK, NULL, 0);
	pg_build_parameter_status(&out, "server_version", "15.0");
	pg_build_parameter_status(&out, "client_encoding", "UTF8");
	pg_build_cancel_key(&out, 4711, (const uint8_t *)"key!", 4);
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	bool sent = fake_read_startup(fd) && !out.failed && fake_send(fd, out.data, out.length);
	pg_buffer_clear(&out);
	return sent;
}

void fake_wait_for_end(int fd)
{
	uint8_t buffer[4096];

	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
}
