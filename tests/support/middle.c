#define _GNU_SOURCE 1 /* accept4 */

#include "tests/support/middle.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/child.h"
#include "tests/support/clock.h"

#define READ_BYTES 16384u
/* What is on its way in one direction of one connection, before its sender is not read any more. */
#define UNDER_WAY_BYTES (256u * 1024u)
#define CONNECTIONS 4096

/* Bytes on their way. */
struct load {
	struct load *next;
	int64_t due_ms;
	size_t taken;
	size_t bytes;
	uint8_t data[];
};

struct flow {
	struct load *first; /* owned */
	struct load **last;
	size_t bytes; /* of all loads */
	bool ended;   /* its sender has ended it */
	bool told;    /* and its receiver knows */
	bool reset;   /* by a reset, which its receiver sees when all that came before it has been passed on */
};

struct pair {
	int fds[2];           /* the sender of MIDDLE_UP, that of MIDDLE_DOWN; -1: a black hole has no other side */
	struct flow flows[2]; /* by middle_direction */
	bool connecting;
	uint64_t life_bytes; /* until it ends; 0: for ever */
	bool doomed;         /* to be ended by the thread */
	enum middle_end how; /* it ends */
	int at[2];           /* their places among the polled ones; of the round under way */
};

struct middle {
	pthread_t thread;
	int listener;
	int wake; /* eventfd */
	uint16_t port;
	uint16_t target;
	pthread_mutex_t lock;
	/* shared: lock, all of these; the thread holds it except in poll */
	struct middle_way ways[2];
	enum middle_door door;
	uint64_t life_bytes;
	enum middle_end life_end;
	bool stop;
	uint64_t random;
	uint64_t count_all;
	uint64_t count_ended;
	int count;
	struct pair *pairs[CONNECTIONS]; /* owned */
};

/* ---- chance ---- */

static uint64_t draw(struct middle *middle, uint64_t most)
{
	middle->random ^= middle->random << 13;
	middle->random ^= middle->random >> 7;
	middle->random ^= middle->random << 17;
	return 1 + middle->random % most;
}

static uint64_t draw_life(struct middle *middle)
{
	return middle->life_bytes ? draw(middle, middle->life_bytes) : 0;
}

/* ---- one connection ---- */

static void flow_clear(struct flow *flow)
{
	while (flow->first) {
		struct load *load = flow->first;
		flow->first = load->next;
		free(load);
	}
}

static void close_fd(int fd, enum middle_end how)
{
	uint8_t unread[READ_BYTES];

	if (fd < 0)
		return;
	if (how == MIDDLE_RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	else
		while (recv(fd, unread, sizeof(unread), 0) > 0) { /* what nobody has read makes a reset of a close */
		}
	close(fd);
}

/* Called by the thread only, so that what it polls stays true. */
static void pair_free(struct middle *middle, int index)
{
	struct pair *pair = middle->pairs[index];

	for (int i = 0; i < 2; i++) {
		close_fd(pair->fds[i], pair->how);
		flow_clear(&pair->flows[i]);
	}
	free(pair);
	middle->pairs[index] = middle->pairs[--middle->count];
}

static int connect_to_target(uint16_t target, bool *connecting)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(target),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*connecting = false;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	*connecting = true;
	if (errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

static void pair_create(struct middle *middle, int fd)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair->fds[MIDDLE_UP] = fd;
	pair->fds[MIDDLE_DOWN] = -1;
	pair->life_bytes = draw_life(middle);
	pair->how = MIDDLE_RESET;
	for (int i = 0; i < 2; i++)
		pair->flows[i].last = &pair->flows[i].first;
	middle->pairs[middle->count++] = pair;
	middle->count_all++;
	if (middle->door == MIDDLE_BLACK_HOLE)
		return;
	if (middle->door == MIDDLE_OPEN)
		pair->fds[MIDDLE_DOWN] = connect_to_target(middle->target, &pair->connecting);
	if (pair->fds[MIDDLE_DOWN] < 0) {
		pair_free(middle, middle->count - 1);
		return;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(pair->fds[i], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
}

static void take_connections(struct middle *middle)
{
	while (middle->count < CONNECTIONS) {
		int fd = accept4(middle->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		pair_create(middle, fd);
	}
}

static bool must_wait(ssize_t count)
{
	return count < 0 && (errno == EAGAIN || errno == EINTR);
}

static void flow_read(struct pair *pair, int direction, int64_t delay_ms)
{
	struct flow *flow = &pair->flows[direction];
	struct load *load = malloc(sizeof(*load) + READ_BYTES);
	ssize_t count = recv(pair->fds[direction], load->data, READ_BYTES, 0);

	if (count <= 0) {
		free(load);
		flow->ended = !must_wait(count);
		flow->reset = flow->ended && count < 0;
		return;
	}
	load->next = NULL;
	load->taken = 0;
	load->bytes = (size_t)count;
	load->due_ms = now_ms() + delay_ms;
	*flow->last = load;
	flow->last = &load->next;
	flow->bytes += load->bytes;
}

/* At most so many bytes as it may pass before it dies. */
static size_t within_life(const struct pair *pair, size_t bytes)
{
	return pair->life_bytes && bytes > pair->life_bytes ? (size_t)pair->life_bytes : bytes;
}

static void flow_drop(struct flow *flow, size_t bytes)
{
	struct load *load = flow->first;

	load->taken += bytes;
	flow->bytes -= bytes;
	if (load->taken < load->bytes)
		return;
	flow->first = load->next;
	if (!flow->first)
		flow->last = &flow->first;
	free(load);
}

/* The receiver takes nothing more. What it has said before that goes on to the other side, though. */
static void flow_give_up(struct flow *flow)
{
	while (flow->first)
		flow_drop(flow, flow->first->bytes - flow->first->taken);
	flow->ended = flow->told = true;
}

/* A reset would drop what waits in the socket. */
static bool has_arrived(int fd)
{
	int bytes = 0;

	return ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes == 0;
}

/* One piece. False: the connection is broken, or has come to the end of its life. */
static bool flow_write(struct middle *middle, struct pair *pair, int direction)
{
	struct flow *flow = &pair->flows[direction];
	size_t most = middle->ways[direction].piece_bytes;

	if (!flow->first) {
		if (flow->reset)
			return !has_arrived(pair->fds[!direction]);
		if (flow->ended && !flow->told)
			shutdown(pair->fds[!direction], SHUT_WR);
		flow->told = flow->ended;
		return true;
	}
	size_t bytes = flow->first->bytes - flow->first->taken;
	size_t piece = most ? draw(middle, most) : bytes;
	piece = within_life(pair, piece < bytes ? piece : bytes);
	ssize_t count = send(pair->fds[!direction], flow->first->data + flow->first->taken, piece, MSG_NOSIGNAL);
	if (count < 0) {
		if (!must_wait(count))
			flow_give_up(flow);
		return true;
	}
	flow_drop(flow, (size_t)count);
	if (!pair->life_bytes)
		return true;
	pair->life_bytes -= (uint64_t)count;
	if (pair->life_bytes)
		return true;
	pair->how = middle->life_end;
	middle->count_ended++;
	return false;
}

/* ---- the loop ---- */

struct round {
	struct pollfd fds[2 + 2 * CONNECTIONS];
	int count;
	int64_t wake_ms;
};

static bool wants_read(const struct middle *middle, const struct pair *pair, int direction)
{
	const struct flow *flow = &pair->flows[direction];

	return !middle->ways[direction].stalled && !pair->connecting && !flow->ended && flow->bytes < UNDER_WAY_BYTES;
}

/* Something is to be sent in that direction now; or later, at round->wake_ms. */
static bool wants_write(const struct pair *pair, int direction, int64_t now, struct round *round)
{
	const struct flow *flow = &pair->flows[direction];

	if (pair->connecting)
		return direction == MIDDLE_UP;
	if (!flow->first)
		return flow->ended && !flow->told;
	if (flow->first->due_ms <= now)
		return true;
	if (flow->first->due_ms < round->wake_ms)
		round->wake_ms = flow->first->due_ms;
	return false;
}

static void poll_pair(const struct middle *middle, struct pair *pair, int64_t now, struct round *round)
{
	for (int side = 0; side < 2; side++) {
		pair->at[side] = round->count;
		if (pair->fds[side] < 0) {
			round->fds[round->count++] = (struct pollfd){ -1, 0, 0 };
			continue;
		}
		bool read = pair->fds[!side] >= 0 && wants_read(middle, pair, side);
		bool write = pair->fds[!side] >= 0 && wants_write(pair, !side, now, round);
		short events = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0));
		/* Without an event wanted, poll would go on telling of its end. */
		int fd = events || pair->fds[!side] < 0 ? pair->fds[side] : -1;
		round->fds[round->count++] = (struct pollfd){ fd, events, 0 };
	}
}

static void prepare_round(struct middle *middle, struct round *round)
{
	int64_t now = now_ms();

	round->wake_ms = now + 1000;
	round->fds[0] = (struct pollfd){ middle->wake, POLLIN, 0 };
	round->fds[1] = (struct pollfd){ middle->count < CONNECTIONS ? middle->listener : -1, POLLIN, 0 };
	round->count = 2;
	for (int i = 0; i < middle->count; i++)
		poll_pair(middle, middle->pairs[i], now, round);
}

/* False: it is over. */
static bool pair_go_on(struct middle *middle, struct pair *pair, const struct round *round)
{
	bool broken = false;

	for (int side = 0; side < 2; side++) {
		short events = round->fds[pair->at[side]].revents;
		if (!events)
			continue;
		/* A black hole looks for nothing but the end of the one that fell into it. */
		broken |= pair->fds[!side] < 0;
		if (pair->connecting && side == MIDDLE_DOWN) {
			broken |= (events & (POLLERR | POLLHUP)) != 0;
			pair->connecting = false;
			continue;
		}
		if (events & (POLLIN | POLLHUP | POLLERR) && wants_read(middle, pair, side))
			flow_read(pair, side, middle->ways[side].delay_ms);
		if (events & POLLOUT)
			broken |= !flow_write(middle, pair, !side);
	}
	if (broken || !pair->flows[0].told || !pair->flows[1].told)
		return !broken;
	pair->how = MIDDLE_CUT;
	return false;
}

static void do_round(struct middle *middle, const struct round *round)
{
	uint64_t woken;

	if (round->fds[0].revents && read(middle->wake, &woken, sizeof(woken)) < 0)
		return;
	/* From the end: what is freed is replaced by the last, which has been looked at. */
	for (int i = (round->count - 2) / 2; i-- > 0;) {
		struct pair *pair = middle->pairs[i];
		if (pair->doomed || !pair_go_on(middle, pair, round))
			pair_free(middle, i);
	}
	if (round->fds[1].revents)
		take_connections(middle);
}

static void *run(void *argument)
{
	struct middle *middle = argument;
	struct round *round = calloc(1, sizeof(*round));

	pthread_mutex_lock(&middle->lock);
	while (!middle->stop) {
		prepare_round(middle, round);
		int64_t wait_ms = round->wake_ms - now_ms();
		pthread_mutex_unlock(&middle->lock);
		int count = poll(round->fds, (nfds_t)round->count, wait_ms > 0 ? (int)wait_ms : 0);
		pthread_mutex_lock(&middle->lock);
		if (count > 0)
			do_round(middle, round);
	}
	pthread_mutex_unlock(&middle->lock);
	free(round);
	return NULL;
}

/* ---- what tests call ---- */

static void wake(struct middle *middle)
{
	ck_assert_int_eq(write(middle->wake, &(uint64_t){ 1 }, sizeof(uint64_t)), sizeof(uint64_t));
}

static int listen_anywhere(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	for (int i = 0; i < 20; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert_int_ge(fd, 0);
		*port = free_port();
		address.sin_port = htons(*port);
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4096) == 0)
			return fd;
		close(fd);
	}
	ck_abort_msg("no port to listen on");
}

struct middle *middle_open(uint16_t target, uint64_t seed)
{
	struct middle *middle = calloc(1, sizeof(*middle));

	ck_assert_ptr_nonnull(middle);
	middle->target = target;
	middle->random = seed * 2654435761u + 88172645463325252u;
	middle->listener = listen_anywhere(&middle->port);
	middle->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ck_assert_int_ge(middle->wake, 0);
	pthread_mutex_init(&middle->lock, NULL);
	ck_assert_int_eq(pthread_create(&middle->thread, NULL, run, middle), 0);
	return middle;
}

uint16_t middle_port(const struct middle *middle)
{
	return middle->port;
}

void middle_close(struct middle *middle)
{
	pthread_mutex_lock(&middle->lock);
	middle->stop = true;
	pthread_mutex_unlock(&middle->lock);
	wake(middle);
	pthread_join(middle->thread, NULL);
	while (middle->count)
		pair_free(middle, middle->count - 1);
	close(middle->listener);
	close(middle->wake);
	pthread_mutex_destroy(&middle->lock);
	free(middle);
}

void middle_set(struct middle *middle, enum middle_direction direction, const struct middle_way *way)
{
	pthread_mutex_lock(&middle->lock);
	for (int i = 0; i < 2; i++)
		if (direction == MIDDLE_BOTH || direction == (enum middle_direction)i)
			middle->ways[i] = *way;
	pthread_mutex_unlock(&middle->lock);
	wake(middle);
}

void middle_set_door(struct middle *middle, enum middle_door door)
{
	pthread_mutex_lock(&middle->lock);
	middle->door = door;
	pthread_mutex_unlock(&middle->lock);
}

void middle_set_life(struct middle *middle, uint64_t most_bytes, enum middle_end how)
{
	pthread_mutex_lock(&middle->lock);
	middle->life_bytes = most_bytes;
	middle->life_end = how;
	for (int i = 0; i < middle->count; i++)
		middle->pairs[i]->life_bytes = draw_life(middle);
	pthread_mutex_unlock(&middle->lock);
}

int middle_end(struct middle *middle, unsigned one_in, enum middle_end how)
{
	int count = 0;

	pthread_mutex_lock(&middle->lock);
	for (int i = 0; i < middle->count; i++) {
		struct pair *pair = middle->pairs[i];
		if (pair->doomed || draw(middle, one_in) != 1)
			continue;
		pair->doomed = true;
		pair->how = how;
		count++;
	}
	middle->count_ended += (uint64_t)count;
	pthread_mutex_unlock(&middle->lock);
	wake(middle);
	return count;
}

int middle_count(struct middle *middle)
{
	pthread_mutex_lock(&middle->lock);
	int count = middle->count;
	pthread_mutex_unlock(&middle->lock);
	return count;
}

uint64_t middle_count_all(struct middle *middle)
{
	pthread_mutex_lock(&middle->lock);
	uint64_t count = middle->count_all;
	pthread_mutex_unlock(&middle->lock);
	return count;
}

uint64_t middle_count_ended(struct middle *middle)
{
	pthread_mutex_lock(&middle->lock);
	uint64_t count = middle->count_ended;
	pthread_mutex_unlock(&middle->lock);
	return count;
}
