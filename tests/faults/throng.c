#include "tests/faults/throng.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/clock.h"
#include "tests/support/wire.h"

#define OTHER_DESCRIPTORS 200

static void raise_limit(size_t count)
{
	struct rlimit limits;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limits), 0);
	if (limits.rlim_cur >= count + OTHER_DESCRIPTORS)
		return;
	limits.rlim_cur = count + OTHER_DESCRIPTORS;
	ck_assert_uint_le(limits.rlim_cur, limits.rlim_max);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limits), 0);
}

static void open_client(struct throng_client *client, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	memset(client, 0, sizeof(*client));
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(client->fd, 0);
	if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		ck_assert_int_eq(errno, EINPROGRESS);
}

void throng_open(struct throng *throng, uint16_t port, size_t count)
{
	raise_limit(count);
	throng->port = port;
	throng->count = count;
	throng->clients = calloc(count, sizeof(*throng->clients));
	ck_assert_ptr_nonnull(throng->clients);
	for (size_t i = 0; i < count; i++)
		open_client(&throng->clients[i], port);
}

static void refuse(struct throng_client *client)
{
	close(client->fd);
	client->fd = -1;
	client->state = THRONG_REFUSED;
}

static void log_in(struct throng_client *client)
{
	static const char *const pairs[] = { "user", "throng", "database", "app", NULL };
	struct pg_buffer out = { 0 };

	wire_put_startup(&out, 0x30000, pairs);
	ssize_t count = send(client->fd, out.data, out.length, MSG_NOSIGNAL);
	bool sent = count == (ssize_t)out.length;
	pg_buffer_clear(&out);
	client->state = THRONG_LOGGING_IN;
	if (!sent)
		refuse(client);
}

static void keep_tail(struct throng_client *client, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		memmove(client->tail, client->tail + 1, sizeof(client->tail) - 1);
		client->tail[sizeof(client->tail) - 1] = bytes[i];
	}
}

static void read_answer(struct throng_client *client)
{
	static const uint8_t ready[6] = { 'Z', 0, 0, 0, 5, 'I' };
	uint8_t bytes[2048];
	ssize_t count = recv(client->fd, bytes, sizeof(bytes), 0);

	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0) {
		refuse(client);
		return;
	}
	keep_tail(client, bytes, (size_t)count);
	if (memcmp(client->tail, ready, sizeof(ready)) == 0)
		client->state = THRONG_SERVED;
}

static bool is_settled(const struct throng_client *client)
{
	return client->state == THRONG_SERVED || client->state == THRONG_REFUSED;
}

static size_t prepare(const struct throng *throng, struct pollfd *polled)
{
	size_t unsettled = 0;

	for (size_t i = 0; i < throng->count; i++) {
		const struct throng_client *client = &throng->clients[i];
		short events = client->state == THRONG_CONNECTING ? POLLOUT : POLLIN;
		polled[i] = (struct pollfd){ is_settled(client) ? -1 : client->fd, events, 0 };
		unsettled += !is_settled(client);
	}
	return unsettled;
}

static void go_on(struct throng_client *client, short events)
{
	if (!events)
		return;
	if (client->state == THRONG_LOGGING_IN)
		read_answer(client);
	else if (events & (POLLERR | POLLHUP))
		refuse(client);
	else
		log_in(client);
}

void throng_run(struct throng *throng, int64_t timeout_ms)
{
	struct pollfd *polled = calloc(throng->count, sizeof(*polled));
	int64_t deadline = now_ms() + timeout_ms;

	for (int64_t left; (left = deadline - now_ms()) > 0 && prepare(throng, polled);) {
		if (poll(polled, throng->count, (int)left) <= 0)
			break;
		for (size_t i = 0; i < throng->count; i++)
			go_on(&throng->clients[i], polled[i].revents);
	}
	free(polled);
}

static void come_again(struct throng_client *client, uint16_t port)
{
	if (client->state == THRONG_SERVED)
		return;
	if (client->fd >= 0)
		close(client->fd);
	open_client(client, port);
}

void throng_insist(struct throng *throng, int64_t timeout_ms, int64_t patience_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		throng_run(throng, patience_ms);
		if (throng_count(throng, THRONG_SERVED) == throng->count || now_ms() >= deadline)
			return;
		for (size_t i = 0; i < throng->count; i++)
			come_again(&throng->clients[i], throng->port);
	}
}

size_t throng_count(const struct throng *throng, enum throng_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < throng->count; i++)
		count += throng->clients[i].state == state;
	return count;
}

void throng_close(struct throng *throng)
{
	for (size_t i = 0; i < throng->count; i++)
		if (throng->clients[i].fd >= 0)
			close(throng->clients[i].fd);
	free(throng->clients);
}
