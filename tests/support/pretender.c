#include "tests/support/pretender.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/frame.h"
#include "tests/support/child.h"

#define CANCEL_CODE 80877102u

struct visit {
	struct pretender *pretender;
	int fd;
};

static bool read_all(int fd, void *data, size_t bytes)
{
	uint8_t *at = data;

	while (bytes > 0) {
		ssize_t count = recv(fd, at, bytes, 0);
		if (count <= 0)
			return false;
		at += count;
		bytes -= (size_t)count;
	}
	return true;
}

/* The first packet. Its code; 0: the other side has gone. */
static uint32_t read_startup(int fd)
{
	uint8_t packet[10000];

	if (!read_all(fd, packet, 8))
		return 0;
	uint32_t length = pg_load_u32(packet);
	if (length < 8 || length > sizeof(packet) || !read_all(fd, packet + 8, length - 8))
		return 0;
	return pg_load_u32(packet + 4);
}

static void *receive_visit(void *argument)
{
	struct visit visit = *(struct visit *)argument;

	free(argument);
	uint32_t code = read_startup(visit.fd);
	if (code == CANCEL_CODE) {
		atomic_fetch_add(&visit.pretender->cancels, 1);
	} else if (code) {
		atomic_fetch_add(&visit.pretender->connections, 1);
		visit.pretender->behave(visit.pretender, visit.fd);
	}
	close(visit.fd);
	return NULL;
}

static void *receive(void *argument)
{
	struct pretender *pretender = argument;
	pthread_t thread;
	int fd;

	while ((fd = accept(pretender->fd, NULL, NULL)) >= 0) {
		struct visit *visit = malloc(sizeof(*visit));
		*visit = (struct visit){ pretender, fd };
		if (pthread_create(&thread, NULL, receive_visit, visit) == 0)
			pthread_detach(thread);
	}
	return NULL;
}

void pretender_start(struct pretender *pretender, void (*behave)(struct pretender *pretender, int fd))
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int yes = 1;

	*pretender = (struct pretender){ .behave = behave, .port = free_port() };
	address.sin_port = htons(pretender->port);
	pretender->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(pretender->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	ck_assert_int_eq(bind(pretender->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(pretender->fd, 64), 0);
	ck_assert_int_eq(pthread_create(&pretender->thread, NULL, receive, pretender), 0);
}

void pretender_stop(struct pretender *pretender)
{
	shutdown(pretender->fd, SHUT_RDWR);
	pthread_join(pretender->thread, NULL);
	close(pretender->fd);
}

bool pretend_send_bytes(int fd, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	while (bytes > 0) {
		ssize_t count = send(fd, at, bytes, MSG_NOSIGNAL);
		if (count <= 0)
			return false;
		at += count;
		bytes -= (size_t)count;
	}
	return true;
}

bool pretend_send(int fd, struct pg_buffer *out)
{
	bool sent = !out->failed && pretend_send_bytes(fd, out->data, out->length);

	pg_buffer_clear(out);
	return sent;
}

uint8_t pretend_read(int fd, void *body, size_t body_bytes)
{
	uint8_t header[PG_FRAME_HEADER_BYTES], skipped;
	struct pg_frame frame;

	if (!read_all(fd, header, sizeof(header)) || pg_frame_parse(header, sizeof(header), &frame) != PG_OK)
		return 0;
	size_t kept = frame.body_bytes < body_bytes ? frame.body_bytes : body_bytes;
	if (!read_all(fd, body, kept))
		return 0;
	for (size_t i = kept; i < frame.body_bytes; i++)
		if (!read_all(fd, &skipped, 1))
			return 0;
	return frame.type;
}

bool pretend_login(int fd, size_t key_bytes)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	const uint8_t key[256] = { 1, 2, 3 };

	pg_build_authentication(&out, PG_AUTH_OK, NULL, 0);
	pg_build_parameter_status(&out, "server_version", "15.0");
	pg_build_parameter_status(&out, "client_encoding", "UTF8");
	if (key_bytes)
		pg_build_cancel_key(&out, 4711, key, key_bytes);
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	return pretend_send(fd, &out);
}

void pretend_answer_queries(int fd)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	uint8_t body[1024], type;

	while ((type = pretend_read(fd, body, sizeof(body))) != 0 && type != PG_FRONTEND_TERMINATE) {
		pg_build_command_complete(&out, "SELECT 0");
		pg_build_ready(&out, PG_TRANSACTION_IDLE);
		if (!pretend_send(fd, &out))
			return;
	}
}
