#define _GNU_SOURCE 1 /* accept4 */

#include "pooler/listener.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/list.h"
#include "pooler/log.h"

/* Clients taken from one socket before the loop looks at the others again. */
#define LISTENER_BATCH 64

struct tcp_options {
	bool keepalive;
	int idle_s; /* these: 0 is the kernel's default */
	int interval_s;
	int count;
	int user_timeout_ms;
};

/* A socket that listens. */
struct place {
	struct list node; /* in listener->places */
	struct listener *listener;
	ev_io io;
	union address address; /* as bound: with the port that the kernel chose for 0 */
	dev_t device;          /* of the file that is ours; 0 with inode 0: there is none */
	ino_t inode;
};

struct listener {
	struct ev_loop *loop;
	listener_accepted *accepted;
	void *context; /* borrowed: until listener_close */
	struct tcp_options tcp;
	struct list places;
	ev_timer pause;
	/* while it is being opened */
	char *error;
	size_t error_bytes;
};

/* ---- TCP options ---- */

static int kernel_units(uint64_t duration_us, uint64_t unit_us)
{
	uint64_t units = duration_us / unit_us;

	return units > INT32_MAX ? INT32_MAX : (int)units;
}

static struct tcp_options tcp_options_of(const struct settings *settings)
{
	return (struct tcp_options){
		.keepalive = settings->tcp_keepalive,
		.idle_s = kernel_units(settings->tcp_keepidle_us, USEC_PER_SEC),
		.interval_s = kernel_units(settings->tcp_keepintvl_us, USEC_PER_SEC),
		.count = kernel_units(settings->tcp_keepcnt, 1),
		.user_timeout_ms = kernel_units(settings->tcp_user_timeout_us, USEC_PER_MS),
	};
}

/* What a kernel refuses stays at its default: no reason to lose the connection. */
static void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) != 0)
		log_debug("socket option %d of level %d to %d: %s", option, level, value, strerror(errno));
}

static bool socket_is_local(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t length = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
	return domain == AF_UNIX;
}

static void tcp_options_apply(const struct tcp_options *tcp, int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (tcp->user_timeout_ms)
		set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, tcp->user_timeout_ms);
	if (!tcp->keepalive)
		return;
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (tcp->idle_s)
		set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, tcp->idle_s);
	if (tcp->interval_s)
		set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, tcp->interval_s);
	if (tcp->count)
		set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, tcp->count);
}

void listener_tune_socket(int fd, const struct settings *settings)
{
	struct tcp_options tcp = tcp_options_of(settings);

	if (!socket_is_local(fd))
		tcp_options_apply(&tcp, fd);
}

void listener_configure(struct listener *listener, const struct settings *settings)
{
	listener->tcp = tcp_options_of(settings);
}

/* ---- taking clients ---- */

static void listener_start_all(struct listener *listener)
{
	struct list *it;
	struct list *spare;

	list_each(it, spare, &listener->places)
		ev_io_start(listener->loop, &list_entry(it, struct place, node)->io);
}

static void listener_stop_all(struct listener *listener)
{
	struct list *it;
	struct list *spare;

	list_each(it, spare, &listener->places)
		ev_io_stop(listener->loop, &list_entry(it, struct place, node)->io);
}

static void listener_resume(struct ev_loop *loop, ev_timer *pause, int revents)
{
	(void)loop;
	(void)revents;
	listener_start_all(pause->data);
}

static void listener_pause(struct listener *listener, const char *reason)
{
	log_warning("no new clients for %d ms: %s", (int)(LISTENER_PAUSE_S * 1000), reason);
	listener_stop_all(listener);
	ev_timer_set(&listener->pause, LISTENER_PAUSE_S, 0.);
	ev_timer_start(listener->loop, &listener->pause);
}

/* Accept also tells errors of the one connection that it would have returned (accept(2)): the next one may be well. */
static bool is_error_of_one_client(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPERM:
	case EPROTO:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

static void place_hand_over(struct place *place, int fd, const union address *peer)
{
	struct listener *listener = place->listener;
	union address local = place->address;
	socklen_t length = sizeof(local);

	/* "*" is bound to no address; this connection is. */
	if (!address_is_local(&local)) {
		tcp_options_apply(&listener->tcp, fd);
		getsockname(fd, &local.any, &length);
	}
	listener->accepted(listener->context, fd, peer, &local);
}

/* False: no more for now. */
static bool place_accept(struct place *place)
{
	union address peer = { .local.sun_family = place->address.any.sa_family }; /* the largest: all of it */
	socklen_t length = sizeof(peer);
	int fd = accept4(place->io.fd, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		place_hand_over(place, fd, &peer);
		return true;
	}
	if (is_error_of_one_client(errno))
		return true;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		listener_pause(place->listener, strerror(errno));
	return false;
}

static void place_ready(struct ev_loop *loop, ev_io *io, int revents)
{
	struct listener *listener = ((struct place *)io->data)->listener;

	(void)loop;
	(void)revents;
	/* The callee may have closed the listener, and the place with it. */
	for (int i = 0; i < LISTENER_BATCH && !list_is_empty(&listener->places); i++) {
		if (!place_accept(io->data))
			return;
	}
}

/* ---- opening ---- */

__attribute__((format(printf, 2, 3))) static bool listener_fail(const struct listener *to, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(to->error, to->error_bytes, format, arguments);
	va_end(arguments);
	return false;
}

/* `error` is an errno of what was tried there. */
static bool fail_at(const struct listener *listener, const union address *address, int error)
{
	bool is_taken = address_is_local(address) && error == EADDRINUSE;
	const char *reason = is_taken ? "another process listens there" : strerror(error);
	char text[ADDRESS_TEXT_BYTES];

	address_print(address, text, sizeof(text));
	return listener_fail(listener, "cannot listen on %s: %s", text, reason);
}

/* True: it has taken the descriptor. False: no memory. */
static bool listener_add_place(struct listener *listener, int fd, const union address *address)
{
	struct place *place = calloc(1, sizeof(*place));
	socklen_t length = sizeof(place->address);
	struct stat file;

	if (!place)
		return fail_at(listener, address, ENOMEM);
	place->listener = listener;
	place->address = *address;
	if (!address_is_local(address))
		getsockname(fd, &place->address.any, &length);
	else if (!address_is_abstract(address) && lstat(address->local.sun_path, &file) == 0) {
		place->device = file.st_dev;
		place->inode = file.st_ino;
	}
	ev_io_init(&place->io, place_ready, fd, EV_READ);
	place->io.data = place;
	list_append(&listener->places, &place->node);
	ev_io_start(listener->loop, &place->io);
	return true;
}

/* A bound socket, or -1 with errno. */
static int open_bound(const union address *address)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (!address_is_local(address))
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (address->any.sa_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1); /* 0.0.0.0 has a socket of its own */
	if (bind(fd, &address->any, address_length(address)) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* True: it has taken the descriptor. */
static bool listen_on(struct listener *listener, int fd, const union address *address, uint32_t backlog)
{
	if (listen(fd, kernel_units(backlog, 1)) != 0)
		return fail_at(listener, address, errno);
	return listener_add_place(listener, fd, address);
}

/* ---- TCP ---- */

/* Of the several addresses of one name, those that this machine does not have may be missing. */
static bool is_not_here(int error)
{
	return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

static bool open_tcp_addresses(struct listener *listener, const struct addrinfo *found, uint32_t backlog)
{
	bool any = false;

	for (const struct addrinfo *it = found; it; it = it->ai_next) {
		union address address = { .local.sun_family = AF_UNSPEC };
		memcpy(&address, it->ai_addr, it->ai_addrlen);
		int fd = open_bound(&address);
		if (fd < 0 && is_not_here(errno) && (any || it->ai_next))
			continue;
		if (fd < 0)
			return fail_at(listener, &address, errno);
		if (!listen_on(listener, fd, &address, backlog)) {
			close(fd);
			return false;
		}
		any = true;
	}
	return true;
}

static bool open_tcp(struct listener *listener, const char *name, const struct settings *settings)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char port[16];

	snprintf(port, sizeof(port), "%u", settings->listen_port);
	int error = getaddrinfo(strcmp(name, "*") == 0 ? NULL : name, port, &hints, &found);
	if (error)
		return listener_fail(listener, "cannot listen on \"%.200s\": %s", name,
				     error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
	bool opened = open_tcp_addresses(listener, found, settings->listen_backlog);
	freeaddrinfo(found);
	return opened;
}

/* ---- unix sockets ---- */

/* 0: nobody listens there (any more). Else an errno; EADDRINUSE: somebody does. */
static int probe_local(const union address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	int error = connect(fd, &address->any, address_length(address)) == 0 ? 0 : errno;
	close(fd);
	if (error == 0 || error == EAGAIN) /* EAGAIN: his queue is full */
		return EADDRINUSE;
	return error == ECONNREFUSED || error == ENOENT ? 0 : error;
}

/* Removes a socket that nobody listens on. False: there is something that must stay. */
static bool clear_the_way(const struct listener *listener, const union address *address)
{
	const char *path = address->local.sun_path;
	struct stat file;

	if (address_is_abstract(address) || lstat(path, &file) != 0)
		return true; /* bind will tell */
	if (!S_ISSOCK(file.st_mode))
		return listener_fail(listener, "cannot listen on %s: the file exists and is not a socket", path);
	int error = probe_local(address);
	if (error)
		return fail_at(listener, address, error);
	if (unlink(path) != 0 && errno != ENOENT)
		return fail_at(listener, address, errno);
	log_info("removed the socket of a process that is gone: %s", path);
	return true;
}

/* False: there is no such group. */
static bool find_group(const char *name, gid_t *group)
{
	const struct group *found = getgrnam(name);
	char *end;

	if (found) {
		*group = found->gr_gid;
		return true;
	}
	unsigned long number = strtoul(name, &end, 10);
	*group = (gid_t)number;
	return *name >= '0' && *name <= '9' && !*end && number < UINT32_MAX;
}

/* Before listen: nobody can have connected while the file had other rights. */
static bool set_rights(const struct listener *listener, const union address *address, const struct settings *settings)
{
	const char *path = address->local.sun_path;
	gid_t group;

	if (address_is_abstract(address))
		return true;
	if (settings->unix_socket_group[0]) {
		if (!find_group(settings->unix_socket_group, &group))
			return listener_fail(listener, "unix_socket_group: there is no group \"%.200s\"",
					     settings->unix_socket_group);
		if (chown(path, (uid_t)-1, group) != 0)
			return fail_at(listener, address, errno);
	}
	if (chmod(path, settings->unix_socket_mode & 0777) != 0)
		return fail_at(listener, address, errno);
	return true;
}

static bool open_local(struct listener *listener, const char *directory, const struct settings *settings)
{
	union address address;

	if (!address_set_local(&address, directory, (uint16_t)settings->listen_port))
		return listener_fail(listener, "unix_socket_dir \"%.200s\": the path is too long for a socket",
				     directory);
	if (!clear_the_way(listener, &address))
		return false;
	int fd = open_bound(&address);
	if (fd < 0)
		return fail_at(listener, &address, errno);
	if (set_rights(listener, &address, settings) && listen_on(listener, fd, &address, settings->listen_backlog))
		return true;
	close(fd);
	if (!address_is_abstract(&address))
		unlink(address.local.sun_path);
	return false;
}

/* ---- the whole ---- */

static bool listener_open_all(struct listener *listener, const struct settings *settings)
{
	const struct string_list *tcp = &settings->listen_addr;
	const struct string_list *local = &settings->unix_socket_dir;

	for (size_t i = 0; i < tcp->count; i++) {
		if (!open_tcp(listener, tcp->items[i], settings))
			return false;
	}
	for (size_t i = 0; i < local->count; i++) {
		if (!open_local(listener, local->items[i], settings))
			return false;
	}
	return !list_is_empty(&listener->places) ||
	       listener_fail(listener, "neither listen_addr nor unix_socket_dir names a place to listen on");
}

struct listener *listener_open(struct ev_loop *loop, const struct settings *settings, listener_accepted *accepted,
			       void *context, char *error, size_t error_bytes)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener) {
		snprintf(error, error_bytes, "%s", strerror(ENOMEM));
		return NULL;
	}
	*listener = (struct listener){ .loop = loop, .accepted = accepted, .context = context };
	listener->error = error;
	listener->error_bytes = error_bytes;
	listener_configure(listener, settings);
	list_init(&listener->places);
	ev_timer_init(&listener->pause, listener_resume, 0., 0.);
	listener->pause.data = listener;
	if (listener_open_all(listener, settings))
		return listener;
	listener_free(listener);
	return NULL;
}

/* A successor may have put his own socket into the place of ours. */
static void place_remove_file(const struct place *place)
{
	const char *path = place->address.local.sun_path;
	struct stat file;

	if (!place->inode || lstat(path, &file) != 0)
		return;
	if (file.st_dev == place->device && file.st_ino == place->inode)
		unlink(path);
}

void listener_close(struct listener *listener)
{
	struct list *it;

	ev_timer_stop(listener->loop, &listener->pause);
	while ((it = list_pop(&listener->places))) {
		struct place *place = list_entry(it, struct place, node);
		ev_io_stop(listener->loop, &place->io);
		place_remove_file(place);
		close(place->io.fd);
		free(place);
	}
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	listener_close(listener);
	free(listener);
}

void listener_each(const struct listener *listener, void (*row)(void *context, const char *address), void *context)
{
	char text[ADDRESS_TEXT_BYTES];

	for (const struct list *it = listener->places.next; it != &listener->places; it = it->next) {
		address_print(&list_entry(it, struct place, node)->address, text, sizeof(text));
		row(context, text);
	}
}
