#include "tests/differential/peer.h"

#include <check.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/startup.h"
#include "tests/support/wire.h"

#define PROTOCOL_VERSION (3u << 16)
#define RECEIVE_BYTES 65536u
/* What is longer is cut into single bytes only at its two ends. */
#define LONG_BYTES 24000u
#define LONG_END_BYTES 4000u

/* ---- opening and closing ---- */

void peer_init(struct peer *peer)
{
	memset(peer, 0, sizeof(*peer));
	peer->fd = -1;
}

static void put_pair(struct peer *peer, const char *name, const char *value)
{
	pg_buffer_put_string(&peer->out, name);
	pg_buffer_put_string(&peer->out, value);
}

void peer_open(struct peer *peer, const struct endpoint *endpoint)
{
	struct wire wire;

	if (endpoint->socket)
		wire_open_local(&wire, endpoint->socket, endpoint->port);
	else
		wire_open(&wire, endpoint->port);
	peer->fd = wire.fd;
	peer->ended = false;
	pg_buffer_put_u32(&peer->out, 0);
	pg_buffer_put_u32(&peer->out, PROTOCOL_VERSION);
	put_pair(peer, "user", endpoint->user);
	put_pair(peer, "database", endpoint->database);
}

void peer_put_startup(struct peer *peer, const char *name, const char *value)
{
	put_pair(peer, name, value);
}

void peer_end_startup(struct peer *peer)
{
	pg_buffer_put_u8(&peer->out, 0);
	pg_buffer_set_u32(&peer->out, 0, (uint32_t)peer->out.length);
}

void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
	pg_buffer_clear(&peer->in);
	pg_buffer_clear(&peer->out);
	peer->sent = 0;
}

void peer_clear(struct peer *peer)
{
	peer_close(peer);
	transcript_clear(&peer->transcript);
	peer->seen = 0;
}

/* ---- receiving ---- */

static void note_key(struct peer *peer, const uint8_t *body, size_t bytes)
{
	struct pg_cancel_key key;

	if (pg_parse_cancel_key(body, bytes, &key) != PG_OK)
		return;
	peer->process_id = key.process_id;
	peer->key_bytes = key.key_bytes;
	memcpy(peer->key, key.key, key.key_bytes);
}

static void take_messages(struct peer *peer)
{
	struct pg_frame frame;
	size_t at = 0;

	while (!peer->problem) {
		enum pg_result result = pg_frame_parse(peer->in.data + at, peer->in.length - at, &frame);
		if (result == PG_BAD)
			peer->problem = "something that is no message came";
		if (result != PG_OK || peer->in.length - at < frame.total_bytes)
			break;
		const uint8_t *body = peer->in.data + at + PG_FRAME_HEADER_BYTES;
		if (frame.type == PG_BACKEND_CANCEL_KEY)
			note_key(peer, body, frame.body_bytes);
		transcript_add(&peer->transcript, frame.type, body, frame.body_bytes);
		at += frame.total_bytes;
	}
	pg_buffer_consume(&peer->in, at);
}

static void note_end(struct peer *peer)
{
	if (peer->in.length && !peer->problem)
		peer->problem = "the server hung up in the middle of a message";
	peer->ended = true;
	transcript_add(&peer->transcript, TYPE_CLOSED, NULL, 0);
}

void peer_receive(struct peer *peer)
{
	while (peer->fd >= 0 && !peer->ended && !peer->problem) {
		ck_assert(pg_buffer_reserve(&peer->in, RECEIVE_BYTES));
		ssize_t count = recv(peer->fd, peer->in.data + peer->in.length, RECEIVE_BYTES, MSG_DONTWAIT);
		if (count < 0 && errno == EAGAIN)
			return;
		if (count <= 0) {
			note_end(peer);
			return;
		}
		peer->in.length += (size_t)count;
		take_messages(peer);
	}
}

/* ---- sending ---- */

static size_t random_piece(struct random *random)
{
	unsigned kind = random_below(random, 10);

	if (kind < 4)
		return 1 + random_below(random, 7);
	if (kind < 7)
		return 1 + random_below(random, 60);
	return 1 + random_below(random, kind < 9 ? 1000 : 20000);
}

static size_t next_piece(struct cutter *cutter, size_t at, size_t length)
{
	size_t left = length - at;
	size_t piece = left;

	if (cutter->cut == CUT_RANDOM)
		piece = random_piece(&cutter->random);
	else if (cutter->cut == CUT_BYTES && length > LONG_BYTES && at > LONG_END_BYTES && left > LONG_END_BYTES)
		piece = 1 + random_below(&cutter->random, 700);
	else if (cutter->cut == CUT_BYTES)
		piece = 1;
	return piece < left ? piece : left;
}

bool peer_send(struct peer *peer, struct cutter *cutter)
{
	size_t piece = next_piece(cutter, peer->sent, peer->out.length);
	ssize_t count = send(peer->fd, peer->out.data + peer->sent, piece, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (count < 0 && errno == EAGAIN)
		return false;
	/* It has hung up: what it said before that is still to be read. */
	peer->sent = count < 0 ? peer->out.length : peer->sent + (size_t)count;
	if (!peer_has_output(peer)) {
		pg_buffer_clear(&peer->out);
		peer->sent = 0;
	}
	return true;
}

bool peer_was_read(const struct peer *peer)
{
	int bytes = 0;

	return ioctl(peer->fd, SIOCOUTQ, &bytes) == 0 && bytes == 0;
}
