/*
 * Bytes to and from one socket on a loop.
 *
 * One libev watcher for each stream. It watches for reading all the time, and for writing only while a backlog is there.
 * What the kernel does not take at once is kept in the backlog; it is the caller's duty to stop feeding a stream that
 * stream_is_blocked, so that a backlog stays as small as one read of the other side.
 *
 * What moves the bytes is a transport: a plain socket here, TLS beside it. A failed write is sticky, and reading goes on
 * after it: the peer's last words may still be there, and its end of file follows.
 *
 * Threads: the one whose loop it is on; stream_detach and stream_attach move it to another.
 */
#ifndef POOLER_STREAM_H
#define POOLER_STREAM_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pooler/address.h"
#include "protocol/buffer.h"

struct stream;

/* What read and write of a transport answer instead of a count. */
#define STREAM_AGAIN (-1)  /* nothing now; the watcher tells when */
#define STREAM_CLOSED (-2) /* end of file: the peer has gone in good order */
#define STREAM_FAILED (-3) /* stream->error is the errno */

struct stream_transport {
	ssize_t (*read)(struct stream *stream, void *data, size_t size);
	ssize_t (*write)(struct stream *stream, const void *data, size_t size);
	void (*close)(struct stream *stream);
};

extern const struct stream_transport stream_plain;

/* The event: `revents` is EV_READ, EV_WRITE or both. EV_WRITE comes only while a backlog is there; the callback then calls
 * stream_flush. */
typedef void stream_event(struct ev_loop *loop, ev_io *io, int revents);

struct stream {
	ev_io io; /* io.data is the owner's */
	struct ev_loop *loop;
	const struct stream_transport *transport;
	void *transport_state; /* of the transport; NULL for plain */
	uint8_t *backlog;      /* owned; NULL while nothing waits */
	uint32_t backlog_start;
	uint32_t backlog_length; /* bytes that wait, from backlog_start */
	uint32_t backlog_capacity;
	int error;         /* errno of the last failure, 0: none */
	bool write_failed; /* nothing is written any more; what was waiting is gone */
	bool reading;      /* wanted by the owner */
};

/* Begins to connect a non-blocking socket; its outcome shows when it becomes writable (stream_watch_connect, then
 * stream_connect_error). -1: errno. */
int stream_connect(const union address *address);
/* Of a socket that has become writable: 0 when it is connected, else the errno. */
int stream_connect_error(const struct stream *stream);

/* Which of the events of one turn of the loop are looked at first. Servers: what they have to say (that they are free, that
 * they are gone) is known before a client is given one. */
enum stream_order { STREAM_LAST, STREAM_FIRST };

/* Takes the descriptor. The watcher starts with reading on. */
void stream_init(struct stream *stream, struct ev_loop *loop, int fd, enum stream_order order, stream_event *event,
		 void *owner);
/* Closes the descriptor and frees the backlog. Safe on a closed stream. */
void stream_close(struct stream *stream);
static inline bool stream_is_open(const struct stream *stream)
{
	return stream->io.fd >= 0;
}

/* Up to `size` bytes: their count, or STREAM_AGAIN, STREAM_CLOSED, STREAM_FAILED. */
ssize_t stream_read(struct stream *stream, void *data, size_t size);

/* Sends, and keeps in the backlog what the kernel does not take. False: a write failed, now or earlier (also when no memory
 * was left for the backlog: ENOMEM). Reading is then on, so that the event that follows tells the owner. */
bool stream_write(struct stream *stream, const void *data, size_t size);
/* Sends what was built, and empties the buffer. What could not be built for want of memory fails the stream. The same
 * answer. */
bool stream_send(struct stream *stream, struct pg_buffer *out);
/* As if a write had failed for want of memory: nothing is sent any more, and nothing more is read than the end. */
void stream_fail(struct stream *stream);
/* Sends from the backlog. False: failed. */
bool stream_flush(struct stream *stream);
static inline bool stream_is_blocked(const struct stream *stream)
{
	return stream->backlog_length != 0;
}

/* Stops and resumes reading. Asked for at every transaction, and nearly always nothing changes. */
void stream_change_reading(struct stream *stream, bool reading);
static inline void stream_set_reading(struct stream *stream, bool reading)
{
	if (__builtin_expect(stream->reading != reading, 0))
		stream_change_reading(stream, reading);
}
/* While connecting: only writability is watched, and told as EV_WRITE. stream_set_reading(.., true) ends that. */
void stream_watch_connect(struct stream *stream);

/* Takes the stream off its loop and puts it on another. */
void stream_detach(struct stream *stream);
void stream_attach(struct stream *stream, struct ev_loop *loop);

#endif
