#include "tests/bench/load/crowd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "protocol/startup.h"

/* So many log in at a time: below every server's backlog. */
#define JOINING_MAX 64u
/* So many when their busy time shall not be seen in the memory of who serves them. */
#define JOINING_CALM 8u
/* How long one waits whose login has failed. */
#define LATER_NS 50000000u
#define EVENTS 256

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "load: ");
	perror(what);
	exit(EXIT_FAILURE);
}

static void set_address(struct crowd *crowd, const char *host, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&crowd->address;
	struct sockaddr_un *un = (struct sockaddr_un *)&crowd->address;

	if (host[0] == '/') {
		un->sun_family = AF_UNIX;
		int bytes = snprintf(un->sun_path, sizeof(un->sun_path), "%s/.s.PGSQL.%u", host, port);
		must(bytes > 0 && (size_t)bytes < sizeof(un->sun_path), host);
		crowd->address_bytes = sizeof(*un);
		return;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	must(inet_pton(AF_INET, host, &in->sin_addr) == 1, host);
	crowd->address_bytes = sizeof(*in);
}

void crowd_init(struct crowd *crowd, const char *host, uint16_t port, const char *user, const char *database,
		uint32_t count, uint32_t leakers)
{
	set_address(crowd, host, port);
	crowd->random = 88172645463325252u;
	pg_startup_put_session(&crowd->startup, user, database, NULL, 0);
	crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
	must(crowd->epoll >= 0, "epoll_create1");
	crowd->sessions = calloc(count, sizeof(*crowd->sessions));
	crowd->later = calloc(count, sizeof(struct session *));
	crowd->later_ns = calloc(count, sizeof(*crowd->later_ns));
	must(crowd->sessions && crowd->later && crowd->later_ns, "calloc");
	crowd->count = count;
	for (uint32_t i = 0; i < count; i++) {
		crowd->sessions[i].crowd = crowd;
		crowd->sessions[i].fd = -1;
		crowd->sessions[i].leaks = i < leakers;
	}
}

void crowd_clear(struct crowd *crowd)
{
	for (uint32_t i = 0; i < crowd->count; i++)
		session_close(&crowd->sessions[i]);
	close(crowd->epoll);
	pg_buffer_clear(&crowd->startup);
	pg_buffer_clear(&crowd->out);
	free(crowd->sessions);
	free(crowd->later);
	free(crowd->later_ns);
}

static void join_more(struct crowd *crowd)
{
	uint32_t most = crowd->calm ? JOINING_CALM : JOINING_MAX;

	while (crowd->next < crowd->wanted && crowd->joining < most) {
		crowd->joining++;
		session_connect(&crowd->sessions[crowd->next++]);
	}
}

void crowd_want(struct crowd *crowd, uint32_t wanted)
{
	crowd->wanted = wanted < crowd->count ? wanted : crowd->count;
	join_more(crowd);
}

void crowd_run(struct crowd *crowd)
{
	uint64_t now = now_ns();

	crowd->running = true;
	for (uint32_t i = 0; i < crowd->count; i++)
		if (crowd->sessions[i].state == SESSION_RESTING)
			session_begin(&crowd->sessions[i], now);
}

/* Its time counts from here: connecting is part of it. */
static void come_anew(struct session *session, uint64_t now)
{
	session_leave(session);
	session->wanted_ns = now;
	session_connect(session);
}

static void begin_together(struct crowd *crowd, uint64_t now)
{
	if (++crowd->done < crowd->count)
		return;
	crowd->done = 0;
	for (uint32_t i = 0; i < crowd->count; i++)
		session_begin(&crowd->sessions[i], now);
}

static void count_error(struct crowd *crowd, const char *sqlstate)
{
	for (unsigned i = 0; i < CROWD_CODES; i++) {
		struct crowd_code *code = &crowd->counts.codes[i];
		if (code->count == 0)
			memcpy(code->sqlstate, sqlstate, sizeof(code->sqlstate));
		if (i == CROWD_CODES - 1 || strcmp(code->sqlstate, sqlstate) == 0) {
			code->count++;
			return;
		}
	}
}

static void transaction_failed(struct crowd *crowd, struct session *session)
{
	crowd->counts.errors++;
	session->wanted_ns = 0;
	if (session->sqlstate[0] == '\0')
		crowd->counts.lost++;
	else
		count_error(crowd, session->sqlstate);
}

void crowd_session_ready(struct crowd *crowd, struct session *session, uint64_t now)
{
	if (!session->ready_once) {
		session->ready_once = true;
		crowd->ready++;
		if (!crowd->calm)
			crowd->joining--;
	} else {
		crowd->counts.reconnects++;
	}
	if (crowd->running)
		session_begin(session, now);
}

void crowd_session_done(struct crowd *crowd, struct session *session, uint64_t now)
{
	if (session->sqlstate[0] != '\0') {
		transaction_failed(crowd, session);
	} else {
		crowd->counts.transactions++;
		histogram_add(&crowd->counts.latency_ns, now - session->wanted_ns);
		session->wanted_ns = 0;
	}
	session->transactions++;
	if (crowd->calm && session->transactions == 1)
		crowd->joining--;
	if (crowd->limit > 0 && session->transactions >= crowd->limit)
		crowd->finished++;
	else if (crowd->reconnect)
		come_anew(session, now);
	else if (crowd->together)
		begin_together(crowd, now);
	else if (crowd->running)
		session_begin(session, now);
}

void crowd_session_leaked(struct crowd *crowd, struct session *session, uint64_t now)
{
	session->wanted_ns = 0;
	if (session->state == SESSION_HOLDING)
		return;
	transaction_failed(crowd, session);
	if (crowd->running)
		session_begin(session, now);
}

static void try_later(struct crowd *crowd, struct session *session)
{
	uint32_t place = (crowd->later_first + crowd->later_count++) % crowd->count;

	crowd->later[place] = session;
	crowd->later_ns[place] = now_ns() + LATER_NS;
}

void crowd_session_lost(struct crowd *crowd, struct session *session, enum session_state state)
{
	bool again_at_once = true;

	switch (state) {
	case SESSION_CONNECTING:
	case SESSION_LOGIN:
	case SESSION_PREPARING:
		crowd->counts.login_errors++;
		if (session->sqlstate[0] != '\0')
			count_error(crowd, session->sqlstate);
		again_at_once = false;
		break;
	case SESSION_HOLDING:
		crowd->counts.evicted++;
		break;
	case SESSION_RESTING:
		crowd->counts.lost++;
		break;
	default:
		transaction_failed(crowd, session);
		break;
	}
	if (again_at_once)
		session_connect(session);
	else
		try_later(crowd, session);
}

static void serve_later(struct crowd *crowd)
{
	uint64_t now = now_ns();

	while (crowd->later_count > 0 && crowd->later_ns[crowd->later_first] <= now) {
		struct session *session = crowd->later[crowd->later_first];
		crowd->later_first = (crowd->later_first + 1) % crowd->count;
		crowd->later_count--;
		session_connect(session);
	}
}

void crowd_serve(struct crowd *crowd, int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(crowd->epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < count; i++)
		session_event(events[i].data.ptr, events[i].events);
	if (crowd->later_count > 0)
		serve_later(crowd);
	join_more(crowd);
}
