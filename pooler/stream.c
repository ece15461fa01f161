#define _GNU_SOURCE 1 /* syscall */
#include "pooler/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* recv and send of glibc are cancellation points, which in a process with threads costs a hundred instructions each. Nobody
 * cancels a thread here. */
static ssize_t plain_recv(int fd, void *data, size_t size)
{
	return syscall(SYS_recvfrom, fd, data, size, 0, NULL, NULL);
}

static ssize_t plain_send(int fd, const void *data, size_t size)
{
	return syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t plain_read(struct stream *stream, void *data, size_t size)
{
	ssize_t count = plain_recv(stream->io.fd, data, size);

	if (count > 0)
		return count;
	if (count == 0)
		return STREAM_CLOSED;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return STREAM_AGAIN;
	stream->error = errno;
	return STREAM_FAILED;
}

static ssize_t plain_write(struct stream *stream, const void *data, size_t size)
{
	ssize_t count = plain_send(stream->io.fd, data, size);

	if (count >= 0)
		return count;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return STREAM_AGAIN;
	stream->error = errno;
	return STREAM_FAILED;
}

static void plain_close(struct stream *stream)
{
	close(stream->io.fd);
}

const struct stream_transport stream_plain = { plain_read, plain_write, plain_close };

/* Brings the watcher in line with what is wanted. */
static void stream_watch(struct stream *stream, int events)
{
	int now = ev_is_active(&stream->io) ? (stream->io.events & (EV_READ | EV_WRITE)) : 0;

	if (events == now)
		return;
	ev_io_stop(stream->loop, &stream->io);
	if (!events)
		return;
	ev_io_set(&stream->io, stream->io.fd, events);
	ev_io_start(stream->loop, &stream->io);
}

static void stream_rewatch(struct stream *stream)
{
	stream_watch(stream, (stream->reading ? EV_READ : 0) | (stream_is_blocked(stream) ? EV_WRITE : 0));
}

int stream_connect(const union address *address)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, &address->any, address_length(address)) != 0 && errno != EINPROGRESS) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int stream_connect_error(const struct stream *stream)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(stream->io.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		return errno;
	return error;
}

void stream_init(struct stream *stream, struct ev_loop *loop, int fd, enum stream_order order, stream_event *event,
		 void *owner)
{
	*stream = (struct stream){ .loop = loop, .transport = &stream_plain, .reading = true };
	ev_io_init(&stream->io, event, fd, EV_READ);
	ev_set_priority(&stream->io, order == STREAM_FIRST ? 1 : 0);
	stream->io.data = owner;
	ev_io_start(loop, &stream->io);
}

static void stream_free_backlog(struct stream *stream)
{
	free(stream->backlog);
	stream->backlog = NULL;
	stream->backlog_start = 0;
	stream->backlog_length = 0;
	stream->backlog_capacity = 0;
}

void stream_close(struct stream *stream)
{
	if (!stream_is_open(stream))
		return;
	ev_io_stop(stream->loop, &stream->io);
	stream->transport->close(stream);
	stream_free_backlog(stream);
	ev_io_set(&stream->io, -1, 0);
	stream->write_failed = true;
}

/* The owner learns of it from the read event that a shut down socket gives. */
static bool stream_fail_write(struct stream *stream)
{
	stream->write_failed = true;
	stream_free_backlog(stream);
	shutdown(stream->io.fd, SHUT_WR);
	if (stream->error == ENOMEM)
		shutdown(stream->io.fd, SHUT_RD);
	stream_set_reading(stream, true);
	return false;
}

ssize_t stream_read(struct stream *stream, void *data, size_t size)
{
	return stream->transport->read(stream, data, size);
}

/* Appends to the backlog. */
static bool stream_keep(struct stream *stream, const uint8_t *data, size_t size)
{
	size_t needed = (size_t)stream->backlog_start + stream->backlog_length + size;

	if (needed > stream->backlog_capacity) {
		size_t capacity = needed < 1024 ? 1024 : needed + needed / 2;
		uint8_t *backlog = capacity <= UINT32_MAX ? realloc(stream->backlog, capacity) : NULL;
		if (!backlog) {
			stream->error = ENOMEM;
			return stream_fail_write(stream);
		}
		stream->backlog = backlog;
		stream->backlog_capacity = (uint32_t)capacity;
	}
	memcpy(stream->backlog + stream->backlog_start + stream->backlog_length, data, size);
	stream->backlog_length += (uint32_t)size;
	stream_rewatch(stream);
	return true;
}

bool stream_write(struct stream *stream, const void *data, size_t size)
{
	const uint8_t *at = data;

	if (__builtin_expect(stream->write_failed, 0))
		return false;
	if (__builtin_expect(stream_is_blocked(stream), 0))
		return stream_keep(stream, at, size);
	while (size > 0) {
		ssize_t count = stream->transport->write(stream, at, size);
		if (count == STREAM_AGAIN)
			return stream_keep(stream, at, size);
		if (count < 0)
			return stream_fail_write(stream);
		at += count;
		size -= (size_t)count;
	}
	return true;
}

void stream_fail(struct stream *stream)
{
	stream->error = ENOMEM;
	stream_fail_write(stream);
}

bool stream_send(struct stream *stream, struct pg_buffer *out)
{
	bool sent = !out->failed && stream_write(stream, out->data, out->length);

	if (out->failed)
		stream_fail(stream);
	pg_buffer_clear(out);
	return sent;
}

bool stream_flush(struct stream *stream)
{
	if (stream->write_failed)
		return false;
	while (stream_is_blocked(stream)) {
		ssize_t count = stream->transport->write(stream, stream->backlog + stream->backlog_start,
							 stream->backlog_length);
		if (count == STREAM_AGAIN)
			return true;
		if (count < 0)
			return stream_fail_write(stream);
		stream->backlog_start += (uint32_t)count;
		stream->backlog_length -= (uint32_t)count;
	}
	stream_free_backlog(stream);
	stream_rewatch(stream);
	return true;
}

void stream_change_reading(struct stream *stream, bool reading)
{
	if (!stream_is_open(stream))
		return;
	stream->reading = reading;
	stream_rewatch(stream);
}

void stream_watch_connect(struct stream *stream)
{
	stream->reading = false;
	stream_watch(stream, EV_WRITE);
}

void stream_detach(struct stream *stream)
{
	ev_io_stop(stream->loop, &stream->io);
	stream->loop = NULL;
}

void stream_attach(struct stream *stream, struct ev_loop *loop)
{
	stream->loop = loop;
	stream_rewatch(stream);
}
