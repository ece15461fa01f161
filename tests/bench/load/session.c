#include "tests/bench/load/session.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "protocol/build.h"
#include "protocol/parse.h"
#include "tests/bench/load/crowd.h"

void session_close(struct session *session)
{
	if (session->fd >= 0)
		close(session->fd);
	session->fd = -1;
	session->state = SESSION_CLOSED;
	password_forget(&session->scram);
}

static void lose(struct session *session)
{
	enum session_state state = session->state;

	session_close(session);
	crowd_session_lost(session->crowd, session, state);
}

void session_connect(struct session *session)
{
	struct crowd *crowd = session->crowd;
	int family = crowd->address.ss_family;

	session->state = SESSION_CONNECTING;
	session->head_bytes = 0;
	session->sqlstate[0] = '\0';
	session->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (session->fd < 0) {
		perror("load: socket");
		exit(EXIT_FAILURE);
	}
	if (family == AF_INET)
		setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (connect(session->fd, (struct sockaddr *)&crowd->address, crowd->address_bytes) < 0 &&
	    errno != EINPROGRESS) {
		lose(session);
		return;
	}
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = session };
	epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, session->fd, &event);
}

/* Requests are small: what does not fit into the socket's buffer at once is a connection that is out of order. */
static void send_all(struct session *session, const struct pg_buffer *bytes)
{
	ssize_t sent = send(session->fd, bytes->data, bytes->length, MSG_NOSIGNAL);

	if (sent < 0 || (size_t)sent < bytes->length)
		shutdown(session->fd, SHUT_RDWR);
}

static void connected(struct session *session)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = session };

	epoll_ctl(session->crowd->epoll, EPOLL_CTL_MOD, session->fd, &event);
	session->state = SESSION_LOGIN;
	send_all(session, &session->crowd->startup);
}

void session_begin(struct session *session, uint64_t now_ns)
{
	struct crowd *crowd = session->crowd;

	crowd->out.length = 0;
	session->sqlstate[0] = '\0';
	if (session->wanted_ns == 0)
		session->wanted_ns = now_ns;
	if (session->leaks)
		script_put_leak(&crowd->out);
	else
		script_put_transaction(&crowd->script, &crowd->out, crowd_random(crowd));
	session->state = session->leaks ? SESSION_LEAKING : SESSION_BUSY;
	send_all(session, &crowd->out);
}

static void prepare(struct session *session)
{
	struct crowd *crowd = session->crowd;

	crowd->out.length = 0;
	script_put_prepare(&crowd->script, &crowd->out);
	session->state = SESSION_PREPARING;
	send_all(session, &crowd->out);
}

static void ready_for_query(struct session *session, uint64_t now)
{
	struct crowd *crowd = session->crowd;

	switch (session->state) {
	case SESSION_LOGIN:
		if (crowd->script.protocol == SCRIPT_PREPARED) {
			prepare(session);
			return;
		}
		break;
	case SESSION_BUSY:
		session->state = SESSION_RESTING;
		crowd_session_done(crowd, session, now);
		return;
	case SESSION_LEAKING:
		session->state = session->sqlstate[0] != '\0' ? SESSION_RESTING : SESSION_HOLDING;
		crowd_session_leaked(crowd, session, now);
		return;
	case SESSION_PREPARING:
		break;
	default:
		fprintf(stderr, "load: ReadyForQuery that nobody asked for\n");
		exit(EXIT_FAILURE);
	}
	session->state = SESSION_RESTING;
	crowd_session_ready(crowd, session, now);
}

static void read_error(struct session *session)
{
	struct pg_error_fields fields;

	/* The body is cut off when it is long; the fields that were read are kept. */
	pg_parse_error(session->body, session->body_bytes, &fields);
	if (session->sqlstate[0] == '\0')
		snprintf(session->sqlstate, sizeof(session->sqlstate), "%.5s", fields.sqlstate);
	if (session->state == SESSION_PREPARING) {
		fprintf(stderr, "load: the statement could not be prepared: %s\n", fields.sqlstate);
		exit(EXIT_FAILURE);
	}
}

static void authenticate(struct session *session)
{
	struct crowd *crowd = session->crowd;
	struct pg_authentication_request request;

	if (pg_parse_authentication(session->body, session->body_bytes, &request) != PG_OK) {
		fprintf(stderr, "load: not an authentication request\n");
		exit(EXIT_FAILURE);
	}
	if (request.code == PG_AUTH_OK)
		return;
	crowd->out.length = 0;
	password_answer(&crowd->password, &session->scram, &request, &crowd->out);
	if (crowd->out.length > 0)
		send_all(session, &crowd->out);
}

void session_leave(struct session *session)
{
	struct crowd *crowd = session->crowd;

	crowd->out.length = 0;
	pg_build_terminate(&crowd->out);
	send_all(session, &crowd->out);
	session_close(session);
}

static void message(struct session *session, uint64_t now)
{
	switch (session->head[0]) {
	case PG_BACKEND_READY:
		ready_for_query(session, now);
		break;
	case PG_BACKEND_ERROR:
		read_error(session);
		break;
	case PG_BACKEND_AUTHENTICATION:
		authenticate(session);
		break;
	default:
		break;
	}
}

/* The header, which may come in pieces. How many of the bytes were used. */
static size_t take_head(struct session *session, const uint8_t *data, size_t size)
{
	size_t take = PG_FRAME_HEADER_BYTES - session->head_bytes;
	struct pg_frame frame;

	if (take > size)
		take = size;
	memcpy(session->head + session->head_bytes, data, take);
	session->head_bytes += (uint32_t)take;
	if (session->head_bytes < PG_FRAME_HEADER_BYTES)
		return take;
	if (pg_frame_parse(session->head, sizeof(session->head), &frame) != PG_OK) {
		fprintf(stderr, "load: not a message\n");
		exit(EXIT_FAILURE);
	}
	session->body_left = frame.body_bytes;
	session->body_bytes = 0;
	return take;
}

static size_t take_body(struct session *session, const uint8_t *data, size_t size)
{
	size_t take = session->body_left < size ? session->body_left : size;
	size_t keep = SESSION_BODY_BYTES - session->body_bytes;

	if (keep > take)
		keep = take;
	memcpy(session->body + session->body_bytes, data, keep);
	session->body_bytes += (uint32_t)keep;
	session->body_left -= (uint32_t)take;
	return take;
}

static void consume(struct session *session, const uint8_t *data, size_t size, uint64_t now)
{
	size_t at = 0;

	while (at < size) {
		if (session->head_bytes < PG_FRAME_HEADER_BYTES)
			at += take_head(session, data + at, size - at);
		if (session->head_bytes < PG_FRAME_HEADER_BYTES)
			return;
		at += take_body(session, data + at, size - at);
		if (session->body_left > 0)
			return;
		session->head_bytes = 0;
		message(session, now);
	}
}

void session_event(struct session *session, uint32_t events)
{
	if (session->state == SESSION_CONNECTING) {
		int error = 0;
		socklen_t bytes = sizeof(error);
		getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
		if (error == 0 && (events & EPOLLOUT))
			connected(session);
		else
			lose(session);
		return;
	}
	ssize_t got = recv(session->fd, session->crowd->read, CROWD_READ_BYTES, 0);
	if (got > 0)
		consume(session, session->crowd->read, (size_t)got, now_ns());
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		lose(session);
}
