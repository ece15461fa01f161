#define _GNU_SOURCE 1 /* pipe2 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/listener.h"
#include "pooler/log.h"

Suite *listener_suite(void);

#define PORT 6543 /* in the name of a unix socket only */

static struct ev_loop *loop;
static struct listener *listener;
static struct settings settings;
static char error[LISTENER_ERROR_BYTES];
static char directory[64];
static char path[96]; /* of the unix socket in it */

/* The clients taken. */
static struct taken {
	int fd;
	union address peer;
	union address local;
} taken[128];
static int taken_count;
static int close_after; /* the callee closes the listener after so many; 0: never */

static void take(void *context, int fd, const union address *peer, const union address *local)
{
	ck_assert_ptr_eq(context, &taken_count);
	ck_assert_int_lt(taken_count, 128);
	taken[taken_count++] = (struct taken){ fd, *peer, *local };
	if (taken_count == close_after)
		listener_close(listener);
}

static void setup(void)
{
	loop = ev_loop_new(EVFLAG_AUTO);
	listener = NULL;
	taken_count = 0;
	close_after = 0;
	settings = (struct settings){ .listen_backlog = 64, .unix_socket_mode = 0777, .unix_socket_group = strdup("") };
	strcpy(directory, "/tmp/listener.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/.s.PGSQL.%d", directory, PORT);
	log_set_verbosity(-1);
}

static void list_clear(struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){ .count = 0 };
}

static void teardown(void)
{
	listener_free(listener);
	for (int i = 0; i < taken_count; i++)
		close(taken[i].fd);
	list_clear(&settings.listen_addr);
	list_clear(&settings.unix_socket_dir);
	free(settings.unix_socket_group);
	ev_loop_destroy(loop);
	unlink(path);
	rmdir(directory);
}

static void list_add(struct string_list *list, const char *item)
{
	list->items = realloc(list->items, (list->count + 1) * sizeof(*list->items));
	list->items[list->count++] = strdup(item);
}

static void listen_tcp(const char *host)
{
	list_add(&settings.listen_addr, host);
}

static void listen_local(const char *where)
{
	settings.listen_port = PORT;
	list_add(&settings.unix_socket_dir, where);
}

static void open_well(void)
{
	listener = listener_open(loop, &settings, take, &taken_count, error, sizeof(error));
	ck_assert_msg(listener, "%s", error);
}

static void open_badly(const char *reason)
{
	error[0] = 0;
	listener = listener_open(loop, &settings, take, &taken_count, error, sizeof(error));
	ck_assert_ptr_null(listener);
	ck_assert_msg(strstr(error, reason), "not the reason \"%s\": %s", reason, error);
}

/* The addresses, as text. */
struct places {
	char text[8][ADDRESS_TEXT_BYTES];
	int count;
};

static void place_note(void *context, const char *address)
{
	struct places *places = context;

	ck_assert_int_lt(places->count, 8);
	snprintf(places->text[places->count++], ADDRESS_TEXT_BYTES, "%s", address);
}

static struct places places_of_listener(void)
{
	struct places places = { .count = 0 };

	listener_each(listener, place_note, &places);
	return places;
}

/* To "127.0.0.1:PORT" or "[::1]:PORT" as the listener shows it. */
static int connect_tcp(const char *text)
{
	union address address;
	char host[ADDRESS_TEXT_BYTES];
	const char *port = strrchr(text, ':') + 1;

	snprintf(host, sizeof(host), "%.*s", (int)(port - 1 - text), text);
	if (host[0] == '[') {
		host[strlen(host) - 1] = 0;
		memmove(host, host + 1, strlen(host));
	}
	ck_assert(address_parse_numeric(host, (uint16_t)atoi(port), &address));
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_msg(connect(fd, &address.any, address_length(&address)) == 0, "%s: %s", text, strerror(errno));
	return fd;
}

/* -1: refused. */
static int connect_local(const char *where)
{
	union address address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert(address_set_local(&address, where, PORT));
	if (connect(fd, &address.any, address_length(&address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void run_until_taken(int count)
{
	uint64_t until_us = clock_now_us() + 10 * USEC_PER_SEC;

	while (taken_count < count && clock_now_us() < until_us) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(1000);
	}
	ck_assert_int_eq(taken_count, count);
}

static void run_for_us(uint64_t duration_us)
{
	uint64_t until_us = clock_now_us() + duration_us;

	while (clock_now_us() < until_us) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(1000);
	}
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &length), 0);
	return value;
}

/* ---- TCP ---- */

START_TEST(takes_tcp_clients)
{
	char text[ADDRESS_TEXT_BYTES];

	settings.tcp_keepalive = true;
	settings.tcp_keepidle_us = 45 * USEC_PER_SEC;
	settings.tcp_keepintvl_us = 7 * USEC_PER_SEC;
	settings.tcp_keepcnt = 4;
	settings.tcp_user_timeout_us = 12345 * USEC_PER_MS;
	listen_tcp("127.0.0.1");
	open_well();
	struct places places = places_of_listener();
	ck_assert_int_eq(places.count, 1);
	int client = connect_tcp(places.text[0]);
	run_until_taken(1);
	address_print(&taken[0].local, text, sizeof(text));
	ck_assert_str_eq(text, places.text[0]);
	union address own = { .local.sun_family = AF_UNSPEC };
	socklen_t length = sizeof(own);
	getsockname(client, &own.any, &length);
	ck_assert_uint_eq(address_port(&taken[0].peer), address_port(&own));
	int fd = taken[0].fd;
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	ck_assert_int_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 45);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	close(client);
}
END_TEST

START_TEST(reload_changes_options_of_clients_to_come)
{
	listen_tcp("127.0.0.1");
	open_well();
	struct places places = places_of_listener();
	int first = connect_tcp(places.text[0]);
	run_until_taken(1);
	ck_assert_int_eq(option_of(taken[0].fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	settings.tcp_keepalive = true;
	listener_configure(listener, &settings);
	int second = connect_tcp(places.text[0]);
	run_until_taken(2);
	ck_assert_int_eq(option_of(taken[1].fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	close(first);
	close(second);
}
END_TEST

static bool has_ipv6(void)
{
	union address address;

	address_parse_numeric("::1", 0, &address);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, &address.any, address_length(&address)) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

/* Both families where there are both; the client learns which address of "*" it has reached. */
START_TEST(any_address_serves_both_families)
{
	char reached[ADDRESS_TEXT_BYTES];
	char text[ADDRESS_TEXT_BYTES];

	listen_tcp("*");
	open_well();
	struct places places = places_of_listener();
	ck_assert_int_eq(places.count, has_ipv6() ? 2 : 1);
	for (int i = 0; i < places.count; i++) {
		bool v6 = places.text[i][0] == '[';
		ck_assert_ptr_nonnull(strstr(places.text[i], v6 ? "[::]:" : "0.0.0.0:"));
		snprintf(reached, sizeof(reached), "%s:%s", v6 ? "[::1]" : "127.0.0.1",
			 strrchr(places.text[i], ':') + 1);
		int client = connect_tcp(reached);
		run_until_taken(i + 1);
		address_print(&taken[i].local, text, sizeof(text));
		ck_assert_str_eq(text, reached);
		close(client);
	}
}
END_TEST

START_TEST(names_are_looked_up)
{
	listen_tcp("localhost");
	open_well();
	ck_assert_int_ge(places_of_listener().count, 1);
	close(connect_tcp(places_of_listener().text[0]));
	run_until_taken(1);
}
END_TEST

START_TEST(port_in_use_is_an_error)
{
	char expected[ADDRESS_TEXT_BYTES + 64];

	listen_tcp("127.0.0.1");
	open_well();
	struct listener *first = listener;
	struct places places = places_of_listener();
	settings.listen_port = (uint32_t)atoi(strrchr(places.text[0], ':') + 1);
	snprintf(expected, sizeof(expected), "cannot listen on %s: Address already in use", places.text[0]);
	open_badly(expected);
	listener_free(first);
	/* And free again at once. */
	open_well();
}
END_TEST

START_TEST(address_of_another_machine_is_an_error)
{
	listen_tcp("192.0.2.1");
	open_badly("cannot listen on 192.0.2.1:0: Cannot assign requested address");
}
END_TEST

START_TEST(name_of_nothing_is_an_error)
{
	listen_tcp("no such name");
	open_badly("cannot listen on \"no such name\": ");
}
END_TEST

START_TEST(nowhere_to_listen_is_an_error)
{
	open_badly("neither listen_addr nor unix_socket_dir");
}
END_TEST

/* What was open before is closed again. */
START_TEST(failure_leaves_nothing_behind)
{
	listen_local(directory);
	list_add(&settings.unix_socket_dir, "/no/such/directory");
	open_badly("cannot listen on /no/such/directory/.s.PGSQL.6543: No such file or directory");
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- unix sockets ---- */

START_TEST(takes_clients_of_a_unix_socket)
{
	char text[ADDRESS_TEXT_BYTES];

	listen_local(directory);
	open_well();
	ck_assert_str_eq(places_of_listener().text[0], path);
	int client = connect_local(directory);
	ck_assert_int_ge(client, 0);
	run_until_taken(1);
	address_print(&taken[0].local, text, sizeof(text));
	ck_assert_str_eq(text, path);
	address_print(&taken[0].peer, text, sizeof(text));
	ck_assert_str_eq(text, "unix");
	ck_assert_uint_eq(address_port(&taken[0].peer), 0);
	ck_assert(fcntl(taken[0].fd, F_GETFL) & O_NONBLOCK);
	listener_tune_socket(taken[0].fd, &settings);
	close(client);
	listener_close(listener);
	ck_assert_int_ne(access(path, F_OK), 0);
	listener_close(listener);
	ck_assert_int_eq(places_of_listener().count, 0);
}
END_TEST

static struct stat status_of_socket(void)
{
	struct stat status;

	ck_assert_int_eq(lstat(path, &status), 0);
	return status;
}

START_TEST(mode_and_group_are_set)
{
	struct group *group = getgrgid(getgid());
	mode_t umask_before = umask(0077);

	settings.unix_socket_mode = 0770;
	free(settings.unix_socket_group);
	settings.unix_socket_group = strdup(group ? group->gr_name : "0");
	listen_local(directory);
	open_well();
	ck_assert_uint_eq(status_of_socket().st_mode & 0777, 0770);
	ck_assert_uint_eq(status_of_socket().st_gid, getgid());
	umask(umask_before);
}
END_TEST

START_TEST(group_may_be_a_number)
{
	char number[16];

	free(settings.unix_socket_group);
	snprintf(number, sizeof(number), "%u", geteuid() == 0 ? 12345 : getgid());
	settings.unix_socket_group = strdup(number);
	listen_local(directory);
	open_well();
	ck_assert_uint_eq(status_of_socket().st_gid, (gid_t)atoi(number));
}
END_TEST

START_TEST(unknown_group_is_an_error)
{
	free(settings.unix_socket_group);
	settings.unix_socket_group = strdup("no such group");
	listen_local(directory);
	open_badly("there is no group \"no such group\"");
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* A socket file whose process is gone. */
static void leave_stale_socket(void)
{
	union address address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert(address_set_local(&address, directory, PORT));
	ck_assert_int_eq(bind(fd, &address.any, address_length(&address)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	close(fd);
	ck_assert_int_eq(access(path, F_OK), 0);
}

START_TEST(stale_socket_is_removed)
{
	leave_stale_socket();
	listen_local(directory);
	open_well();
	int client = connect_local(directory);
	ck_assert_int_ge(client, 0);
	run_until_taken(1);
	close(client);
}
END_TEST

START_TEST(living_socket_is_refused)
{
	listen_local(directory);
	open_well();
	struct listener *first = listener;
	open_badly("another process listens there");
	listener = first;
	/* The probe is a client that has gone; the owner goes on. */
	run_until_taken(1);
	int client = connect_local(directory);
	ck_assert_int_ge(client, 0);
	run_until_taken(2);
	close(client);
}
END_TEST

/* His queue is full, so that connect does not tell that he lives by succeeding. */
START_TEST(living_socket_with_a_full_queue_is_refused)
{
	union address address;
	int waiting[16];
	int count = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert(address_set_local(&address, directory, PORT));
	ck_assert_int_eq(bind(fd, &address.any, address_length(&address)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	do {
		waiting[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	} while (connect(waiting[count++], &address.any, address_length(&address)) == 0 && count < 16);
	ck_assert_int_eq(errno, EAGAIN);
	listen_local(directory);
	open_badly("another process listens there");
	ck_assert_int_eq(access(path, F_OK), 0);
	while (count > 0)
		close(waiting[--count]);
	close(fd);
}
END_TEST

START_TEST(file_that_is_no_socket_is_refused)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	listen_local(directory);
	open_badly("the file exists and is not a socket");
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(socket_of_a_successor_stays)
{
	listen_local(directory);
	open_well();
	ck_assert_int_eq(unlink(path), 0);
	struct listener *first = listener;
	open_well();
	listener_free(first);
	int client = connect_local(directory);
	ck_assert_int_ge(client, 0);
	run_until_taken(1);
	close(client);
}
END_TEST

START_TEST(abstract_socket_has_no_file)
{
	char name[64];
	char expected[96];

	snprintf(name, sizeof(name), "@pgweir-test-%ld", (long)getpid());
	snprintf(expected, sizeof(expected), "%s/.s.PGSQL.%d", name, PORT);
	listen_local(name);
	open_well();
	ck_assert_str_eq(places_of_listener().text[0], expected);
	int client = connect_local(name);
	ck_assert_int_ge(client, 0);
	run_until_taken(1);
	close(client);
	struct listener *first = listener;
	open_badly("another process listens there");
	listener_free(first);
	ck_assert_int_eq(connect_local(name), -1);
	open_well();
}
END_TEST

START_TEST(too_long_path_is_an_error)
{
	char longest[150];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = 0;
	listen_local(longest);
	open_badly("the path is too long for a socket");
}
END_TEST

/* ---- taking clients ---- */

START_TEST(callee_may_close_the_listener)
{
	int clients[8];

	close_after = 3;
	listen_local(directory);
	open_well();
	for (int i = 0; i < 8; i++)
		clients[i] = connect_local(directory);
	run_until_taken(3);
	run_for_us(50 * USEC_PER_MS);
	ck_assert_int_eq(taken_count, 3);
	for (int i = 0; i < 8; i++)
		close(clients[i]);
}
END_TEST

START_TEST(more_clients_than_a_batch_are_taken)
{
	int clients[100];

	settings.listen_backlog = 128;
	listen_local(directory);
	open_well();
	for (int i = 0; i < 100; i++)
		clients[i] = connect_local(directory);
	run_until_taken(100);
	for (int i = 0; i < 100; i++)
		close(clients[i]);
}
END_TEST

static rlim_t set_descriptor_limit(rlim_t limit)
{
	struct rlimit now;

	getrlimit(RLIMIT_NOFILE, &now);
	rlim_t before = now.rlim_cur;
	now.rlim_cur = limit;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

static int count_in(const char *text, const char *searched)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, searched)); at += strlen(searched))
		count++;
	return count;
}

START_TEST(running_out_of_descriptors_pauses)
{
	char text[8192];
	int ends[2];
	int original_stderr = dup(STDERR_FILENO);

	listen_local(directory);
	open_well();
	int client = connect_local(directory);
	ck_assert_int_ge(client, 0);
	ev_run(loop, EVRUN_NOWAIT); /* makes its own descriptors; the client is not seen before the next round */
	int had = taken_count;
	int second = connect_local(directory);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	rlim_t before = set_descriptor_limit(3); /* 0, 1 and 2 are there: no other number is left to give */
	unsigned iterations = ev_iteration(loop);
	uint64_t until_us = clock_now_us() + 700 * USEC_PER_MS;
	while (clock_now_us() < until_us)
		ev_run(loop, EVRUN_ONCE); /* waits for the end of the pause: it would come back at once if it spun */
	iterations = ev_iteration(loop) - iterations;
	set_descriptor_limit(before);
	dup2(original_stderr, STDERR_FILENO);
	close(original_stderr);
	ck_assert_int_eq(taken_count, had);
	ck_assert_msg(iterations < 20, "%u rounds of the loop in 0.7 s", iterations);
	ssize_t bytes = read(ends[0], text, sizeof(text) - 1);
	ck_assert_int_gt(bytes, 0);
	text[bytes] = 0;
	int told = count_in(text, "WARNING no new clients for 200 ms: Too many open files\n");
	ck_assert_msg(told >= 2 && told <= 6, "told %d times: %s", told, text);
	/* And then they come. */
	run_until_taken(2);
	close(client);
	close(second);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(close_ends_a_pause)
{
	listen_local(directory);
	open_well();
	int client = connect_local(directory);
	int original_stderr = dup(STDERR_FILENO);
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(nowhere, STDERR_FILENO);
	ev_run(loop, EVRUN_NOWAIT);
	int had = taken_count;
	int second = connect_local(directory);
	rlim_t before = set_descriptor_limit(3);
	ev_run(loop, EVRUN_NOWAIT);
	set_descriptor_limit(before);
	dup2(original_stderr, STDERR_FILENO);
	ck_assert_int_eq(taken_count, had);
	listener_close(listener);
	ck_assert(!ev_run(loop, EVRUN_NOWAIT)); /* no watcher is left, the pause's neither */
	ck_assert_int_eq(taken_count, had);
	close(client);
	close(second);
	close(nowhere);
	close(original_stderr);
}
END_TEST

Suite *listener_suite(void)
{
	Suite *suite = suite_create("listener");
	TCase *cases = tcase_create("listener");

	tcase_set_timeout(cases, 30);
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, takes_tcp_clients);
	tcase_add_test(cases, reload_changes_options_of_clients_to_come);
	tcase_add_test(cases, any_address_serves_both_families);
	tcase_add_test(cases, names_are_looked_up);
	tcase_add_test(cases, port_in_use_is_an_error);
	tcase_add_test(cases, address_of_another_machine_is_an_error);
	tcase_add_test(cases, name_of_nothing_is_an_error);
	tcase_add_test(cases, nowhere_to_listen_is_an_error);
	tcase_add_test(cases, failure_leaves_nothing_behind);
	tcase_add_test(cases, takes_clients_of_a_unix_socket);
	tcase_add_test(cases, mode_and_group_are_set);
	tcase_add_test(cases, group_may_be_a_number);
	tcase_add_test(cases, unknown_group_is_an_error);
	tcase_add_test(cases, stale_socket_is_removed);
	tcase_add_test(cases, living_socket_is_refused);
	tcase_add_test(cases, living_socket_with_a_full_queue_is_refused);
	tcase_add_test(cases, file_that_is_no_socket_is_refused);
	tcase_add_test(cases, socket_of_a_successor_stays);
	tcase_add_test(cases, abstract_socket_has_no_file);
	tcase_add_test(cases, too_long_path_is_an_error);
	tcase_add_test(cases, callee_may_close_the_listener);
	tcase_add_test(cases, more_clients_than_a_batch_are_taken);
	tcase_add_test(cases, running_out_of_descriptors_pauses);
	tcase_add_test(cases, close_ends_a_pause);
	suite_add_tcase(suite, cases);
	return suite;
}
