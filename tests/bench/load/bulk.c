#include "tests/bench/load/bulk.h"

#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/build.h"
#include "protocol/parse.h"
#include "tests/bench/load/crowd.h"

#define READ_BYTES (256u * 1024u)
/* Several rows in one send, as libpq gathers them. */
#define SEND_BYTES 8192u

struct mover {
	const struct bulk *bulk;
	int fd;
	uint64_t moved;
	uint8_t *read;   /* owned */
	size_t have, at; /* of read: filled, used */
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(EXIT_FAILURE);
}

static void send_bytes(struct mover *mover, const struct pg_buffer *bytes)
{
	size_t sent = 0;

	while (sent < bytes->length) {
		ssize_t count = send(mover->fd, bytes->data + sent, bytes->length - sent, MSG_NOSIGNAL);
		if (count <= 0)
			die("the connection broke while sending");
		sent += (size_t)count;
	}
}

/* Makes at least `bytes` (a few) available at read + at. */
static void fill(struct mover *mover, size_t bytes)
{
	if (mover->have - mover->at >= bytes)
		return;
	memmove(mover->read, mover->read + mover->at, mover->have - mover->at);
	mover->have -= mover->at;
	mover->at = 0;
	while (mover->have < bytes) {
		ssize_t count = recv(mover->fd, mover->read + mover->have, READ_BYTES - mover->have, 0);
		if (count <= 0)
			die("the connection broke while reading");
		mover->have += (size_t)count;
		mover->bulk->progress(mover->bulk->argument, now_ns(), mover->moved);
	}
}

static void skip(struct mover *mover, size_t bytes)
{
	while (bytes > 0) {
		fill(mover, 1);
		size_t step = mover->have - mover->at < bytes ? mover->have - mover->at : bytes;
		mover->at += step;
		bytes -= step;
	}
}

/* The body must fit into the read buffer. */
static void refuse_error(struct mover *mover, const struct pg_frame *frame)
{
	struct pg_error_fields fields;

	fill(mover, frame->body_bytes);
	pg_parse_error(mover->read + mover->at, frame->body_bytes, &fields);
	die(fields.message);
}

/* Reads messages up to one of these types, and tells which. Rows are counted. */
static uint8_t read_until(struct mover *mover, const char *types)
{
	for (;;) {
		struct pg_frame frame;
		fill(mover, PG_FRAME_HEADER_BYTES);
		if (pg_frame_parse(mover->read + mover->at, PG_FRAME_HEADER_BYTES, &frame) != PG_OK)
			die("not a message");
		mover->at += PG_FRAME_HEADER_BYTES;
		if (frame.type == PG_BACKEND_ERROR)
			refuse_error(mover, &frame);
		skip(mover, frame.body_bytes);
		if (frame.type == PG_BACKEND_DATA_ROW || frame.type == PG_BACKEND_COPY_DATA)
			mover->moved += frame.total_bytes;
		if (strchr(types, frame.type))
			return frame.type;
	}
}

static void put_row(struct pg_buffer *out, uint64_t number, uint32_t bytes)
{
	static uint8_t text[4096];
	char digits[24];
	int count = snprintf(digits, sizeof(digits), "%llu\t", (unsigned long long)number);
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_COPY_DATA);

	memset(text, 'x', sizeof(text));
	pg_buffer_put_bytes(out, digits, (size_t)count);
	pg_buffer_put_bytes(out, text, bytes < sizeof(text) ? bytes : sizeof(text));
	pg_buffer_put_u8(out, '\n');
	pg_buffer_end(out, begin);
}

static void copy_in(struct mover *mover)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	size_t begin;

	for (uint64_t i = 0; i < mover->bulk->rows; i++) {
		put_row(&out, i, mover->bulk->row_bytes);
		if (out.length < SEND_BYTES)
			continue;
		send_bytes(mover, &out);
		mover->moved += out.length;
		out.length = 0;
		mover->bulk->progress(mover->bulk->argument, now_ns(), mover->moved);
	}
	mover->moved += out.length;
	begin = pg_buffer_begin(&out, PG_FRONTEND_COPY_DONE);
	pg_buffer_end(&out, begin);
	send_bytes(mover, &out);
	pg_buffer_clear(&out);
}

static void open_connection(struct mover *mover)
{
	const struct crowd *crowd = mover->bulk->crowd;

	mover->fd = socket(crowd->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (mover->fd < 0 || connect(mover->fd, (const struct sockaddr *)&crowd->address, crowd->address_bytes) < 0)
		die("no connection");
	if (crowd->address.ss_family == AF_INET)
		setsockopt(mover->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	send_bytes(mover, &crowd->startup);
	read_until(mover, "Z");
}

_Noreturn void bulk_run(const struct bulk *bulk)
{
	struct mover mover = { .bulk = bulk, .read = malloc(READ_BYTES) };
	struct pg_buffer query = PG_BUFFER_EMPTY;

	if (!mover.read)
		die("no memory");
	open_connection(&mover);
	pg_build_query(&query, bulk->query);
	for (;;) {
		send_bytes(&mover, &query);
		if (read_until(&mover, "GZ") == PG_BACKEND_READY)
			continue;
		copy_in(&mover);
		read_until(&mover, "Z");
	}
}
