#define _GNU_SOURCE /* accept4 */
#include "tests/fuzz/lone_worker.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "pooler/admin.h"
#include "pooler/admin_state.h"
#include "pooler/clock.h"
#include "pooler/console/console.h"
#include "pooler/janitor.h"
#include "pooler/log.h"
#include "pooler/pools.h"
#include "pooler/relay.h"
#include "pooler/server.h"
#include "pooler/worker_thread.h"
#include "protocol/frame.h"
#include "protocol/startup.h"
#include "tests/fuzz/memory_file.h"

#define PORT 5432u
/* Turns in which nothing comes out before all is taken to be quiet: a connect needs one or two. */
#define QUIET_TURNS 4u
#define START_S 1000
#define CALENDAR_S 1767225600 /* 2026 */

void (*lone_running)(bool running);

static void note_running(bool running)
{
	log_threshold = LOG_LEVEL_FATAL - 1; /* whoever configures the process sets it */
	if (lone_running)
		lone_running(running);
}

/* ---- time ---- */

static uint64_t passed_us;
static bool is_open; /* else the clock is the real one, for whoever runs the tests */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!is_open)
		return __real_clock_gettime(clock, now);
	now->tv_sec = (time_t)(passed_us / USEC_PER_SEC) + (clock == CLOCK_REALTIME ? CALENDAR_S : START_S);
	now->tv_nsec = (long)(passed_us % USEC_PER_SEC) * 1000;
	return 0;
}

/* ---- configuration ---- */

const char *lone_host(void)
{
	static char host[40];

	snprintf(host, sizeof(host), "@pgweir-fuzz-%d", (int)getpid());
	return host;
}

struct config *lone_config(const char *text)
{
	static char error[CONFIG_ERROR_BYTES];
	char *const env[] = { NULL };
	struct memory_file file;

	memory_file_open(&file, text, strlen(text));
	struct config *config = config_load(file.path, env, error, sizeof(error));
	memory_file_close(&file);
	if (!config)
		fprintf(stderr, "%s\n", error);
	assert(config);
	return config;
}

/* ---- what comes from the worker ---- */

static bool may_send(const struct lone_end *end, uint8_t type)
{
	return type && strchr(end->is_server ? "BCdcfDEHFPpQSX" : "RK23CWdcGHDEIVvnNAtS1sZT", type);
}

static void say_login(struct lone_end *end)
{
	static const uint8_t key[4] = { 1, 2, 3, 4 };
	struct pg_buffer out = PG_BUFFER_EMPTY;

	pg_build_authentication(&out, PG_AUTH_OK, NULL, 0);
	pg_build_parameter_status(&out, "server_version", "15.0");
	pg_build_parameter_status(&out, "client_encoding", "UTF8");
	pg_build_parameter_status(&out, "application_name", "");
	pg_build_cancel_key(&out, 4711, key, sizeof(key));
	pg_build_ready(&out, PG_TRANSACTION_IDLE);
	lone_say_buffer(end, &out);
}

/* A whole packet without a type byte. */
static void take_startup(struct lone *lone, struct lone_end *end)
{
	uint32_t code = pg_load_u32(end->watch.head + 4);

	end->watch.startup = false;
	if (code == (1234u << 16 | 5678u)) {
		end->cancels = true;
		lone_hang_up(end);
	} else {
		assert(code == PG_PROTOCOL_MAJOR << 16);
		if (lone->logs_in && lone->login != LONE_TRUST)
			lone_server_asks(lone, end);
		else if (lone->logs_in)
			say_login(end);
	}
}

static void say_failure(struct pg_buffer *out)
{
	pg_build_error(out, &(struct pg_report){ "ERROR", "42601", "syntax error", NULL, NULL });
}

/* The first letter of a query says what becomes of it. */
static void answer_query(struct lone_end *end, uint8_t first, struct pg_buffer *out)
{
	static const struct pg_column column = { "one", PG_OID_INT4, 4 };
	const char *const value = "1";

	switch (first) {
	case '\0':
		pg_build_empty_query(out);
		break;
	case 'B':
		end->status = PG_TRANSACTION_OPEN;
		pg_build_command_complete(out, "BEGIN");
		break;
	case 'R':
		end->status = PG_TRANSACTION_IDLE;
		pg_build_command_complete(out, "ROLLBACK");
		break;
	case 'E':
		end->status = end->status == PG_TRANSACTION_IDLE ? PG_TRANSACTION_IDLE : PG_TRANSACTION_FAILED;
		say_failure(out);
		break;
	case 'F':
		pg_build_bare(out, PG_BACKEND_COPY_IN);
		return;
	default:
		pg_build_row_description(out, &column, 1);
		pg_build_data_row(out, &value, 1);
		pg_build_command_complete(out, "SELECT 1");
		break;
	}
	pg_build_ready(out, end->status);
}

/* What PostgreSQL would answer if all went well. */
static void answer(struct lone_end *end, uint8_t type, uint8_t first)
{
	static const struct {
		uint8_t request, answer;
	} plain[] = { { PG_FRONTEND_PARSE, PG_BACKEND_PARSE_COMPLETE },
		      { PG_FRONTEND_BIND, PG_BACKEND_BIND_COMPLETE },
		      { PG_FRONTEND_CLOSE, PG_BACKEND_CLOSE_COMPLETE },
		      { PG_FRONTEND_DESCRIBE, PG_BACKEND_NO_DATA } };
	struct pg_buffer out = PG_BUFFER_EMPTY;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (type == plain[i].request)
			pg_build_bare(&out, plain[i].answer);
	if (type == PG_FRONTEND_QUERY)
		answer_query(end, first, &out);
	if (type == PG_FRONTEND_EXECUTE || type == PG_FRONTEND_COPY_DONE)
		pg_build_command_complete(&out, "COPY 0");
	if (type == PG_FRONTEND_COPY_FAIL)
		say_failure(&out);
	if (type == PG_FRONTEND_SYNC || type == PG_FRONTEND_COPY_DONE || type == PG_FRONTEND_COPY_FAIL)
		pg_build_ready(&out, end->status);
	lone_say_buffer(end, &out);
}

static void take_message(struct lone *lone, struct lone_end *end)
{
	struct lone_watch *watch = &end->watch;

	watch->head_bytes = 0;
	if (watch->startup) {
		take_startup(lone, end);
		return;
	}
	watch->type = watch->head[0];
	watch->frames = true;
	watch->counts[watch->type & 0x7f]++;
	watch->body[watch->body_bytes] = '\0';
	if (!end->is_server && watch->type == PG_BACKEND_CANCEL_KEY)
		memcpy(end->key, watch->body, sizeof(end->key));
	else if (!end->is_server && watch->type == PG_BACKEND_AUTHENTICATION && end->password)
		lone_client_asked(end);
	else if (end->is_server && watch->type == PG_FRONTEND_PASSWORD && lone->logs_in &&
		 lone_server_answered(lone, end))
		say_login(end);
	else if (end->is_server && lone->answers && !end->mute)
		answer(end, watch->type, watch->body_bytes ? watch->body[0] : 0);
}

/* A header has come. False: it is none. */
static bool take_head(struct lone_end *end)
{
	struct lone_watch *watch = &end->watch;
	struct pg_frame frame;

	watch->body_bytes = 0;
	if (watch->startup) {
		watch->left = pg_load_u32(watch->head) - 8;
		return pg_load_u32(watch->head) >= 8 && pg_load_u32(watch->head) <= PG_STARTUP_BYTES_MAX;
	}
	if (pg_frame_parse(watch->head, PG_FRAME_HEADER_BYTES, &frame) != PG_OK)
		return false;
	watch->left = frame.body_bytes;
	return may_send(end, frame.type);
}

/* "No" to a request for encryption is one byte, before anything else. */
static bool is_refusal(const struct lone_end *end, uint8_t byte)
{
	return !end->is_server && !end->watch.frames && end->watch.head_bytes == 0 && byte == 'N';
}

static void watch_byte(struct lone *lone, struct lone_end *end, uint8_t byte)
{
	struct lone_watch *watch = &end->watch;
	uint32_t wanted = watch->startup ? 8 : PG_FRAME_HEADER_BYTES;

	if (is_refusal(end, byte))
		return;
	if (watch->head_bytes < wanted) {
		watch->head[watch->head_bytes++] = byte;
		if (watch->head_bytes < wanted)
			return;
		assert(take_head(end));
	} else {
		if (watch->body_bytes < LONE_BODY_BYTES)
			watch->body[watch->body_bytes++] = byte;
		watch->left--;
	}
	if (watch->left == 0)
		take_message(lone, end);
}

static void read_end(struct lone *lone, struct lone_end *end)
{
	static uint8_t room[65536];

	while (end->fd >= 0 && !end->deaf && !end->ended) {
		ssize_t count = recv(end->fd, room, sizeof(room), MSG_DONTWAIT);
		if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		lone->moved = true;
		end->ended = count <= 0;
		for (ssize_t i = 0; i < count; i++)
			watch_byte(lone, end, room[i]);
	}
}

static void accept_server(struct lone *lone)
{
	int fd = lone->listen_fd < 0 ? -1 : accept4(lone->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	lone->moved = true;
	for (unsigned i = 0; i < LONE_SERVERS; i++) {
		struct lone_end *end = &lone->servers[i];
		if (end->fd >= 0)
			continue;
		*end = (struct lone_end){ .fd = fd, .is_server = true, .status = PG_TRANSACTION_IDLE };
		end->watch.startup = true;
		lone->server_count++;
		return;
	}
	close(fd);
}

/* ---- our side ---- */

void lone_say(struct lone_end *end, const void *data, size_t size)
{
	if (end->fd >= 0 && size > 0 && send(end->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* it is gone, or takes no more */
}

void lone_say_buffer(struct lone_end *end, struct pg_buffer *out)
{
	assert(!out->failed);
	lone_say(end, out->data, out->length);
	pg_buffer_clear(out);
}

void lone_hang_up(struct lone_end *end)
{
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
	lone_scram_free(end->scram);
	end->scram = NULL;
}

struct lone_end *lone_connect(struct lone *lone, unsigned index, const struct peer *peer)
{
	static const struct peer usual = { .bytes = { 127, 0, 0, 1 }, .port = 50000, .family = AF_INET };
	struct lone_end *end = &lone->clients[index];
	int pair[2];

	lone_hang_up(end);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	*end = (struct lone_end){ .fd = pair[0] };
	note_running(true);
	worker_send_client(&lone->workers[index % lone->process.crew.worker_count], pair[1], peer ? peer : &usual);
	note_running(false);
	lone_run(lone);
	return end;
}

/* ---- turning ---- */

void lone_run(struct lone *lone)
{
	note_running(true);
	for (unsigned i = 0; i < lone->process.crew.worker_count; i++)
		ev_run(lone->workers[i].loop, EVRUN_NOWAIT);
	note_running(false);
}

/* Letters are still on their way. Nobody else is there who could send one meanwhile: no lock. */
static bool has_mail(const struct lone *lone)
{
	bool any = lone->process.mailbox.first != NULL;

	for (unsigned i = 0; i < lone->process.crew.worker_count; i++)
		any = any || lone->workers[i].mailbox.first;
	return any;
}

void lone_turn(struct lone *lone)
{
	for (unsigned quiet = 0; quiet < QUIET_TURNS; quiet++) {
		lone->moved = false;
		lone_run(lone);
		accept_server(lone);
		for (unsigned i = 0; i < LONE_CLIENTS; i++)
			read_end(lone, &lone->clients[i]);
		for (unsigned i = 0; i < LONE_SERVERS; i++) {
			read_end(lone, &lone->servers[i]);
			if (lone->servers[i].ended)
				lone_hang_up(&lone->servers[i]);
		}
		if (lone->moved || has_mail(lone))
			quiet = 0;
	}
}

void lone_pass(struct lone *lone, uint64_t us)
{
	passed_us += us;
	note_running(true);
	/* As their timers would. */
	for (unsigned i = 0; i < lone->process.crew.worker_count; i++) {
		lone->workers[i].now_us = clock_now_us();
		ev_invoke(lone->workers[i].loop, &lone->workers[i].tick, EV_TIMER);
	}
	process_tick(&lone->process);
	note_running(false);
	lone_turn(lone);
}

static void narrow(int fd)
{
	const int bytes = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void narrow_worker(struct worker *worker)
{
	struct list *it, *spare;

	for (unsigned state = 0; state < CLIENT_STATES; state++)
		list_each(it, spare, &worker->client_states[state])
			narrow(list_entry(it, struct client, node)->stream.io.fd);
	for (unsigned state = 0; state < SERVER_STATES; state++)
		list_each(it, spare, &worker->server_states[state])
			narrow(list_entry(it, struct server, node)->stream.io.fd);
}

void lone_narrow(struct lone *lone)
{
	for (unsigned i = 0; i < lone->process.crew.worker_count; i++)
		narrow_worker(&lone->workers[i]);
}

/* ---- beginning and end ---- */

static void note_stopped(struct crew *crew)
{
	/* The crew stands in the process, and that in ours. */
	list_entry(crew, struct lone, process.crew)->stopped++;
}

static int listen_for_servers(void)
{
	union address address = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert(fd >= 0 && address_set_local(&address, lone_host(), PORT));
	assert(bind(fd, &address.any, address_length(&address)) == 0 && listen(fd, 64) == 0);
	return fd;
}

static void nobody_accepted(void *context, int fd, const union address *peer, const union address *local)
{
	(void)context;
	(void)peer;
	(void)local;
	close(fd);
}

static void open_process(struct lone *lone, const struct config *config)
{
	struct process *process = &lone->process;
	const struct resolver_config resolver = { .max_ttl_us = USEC_PER_SEC, .servers = "127.0.0.1:1" };
	/* Nobody connects there; it must be another place than the servers'. */
	char *place = (char[]){ "@pgweir-fuzz-listener-0000000000" };
	struct settings nowhere = config->settings;
	char error[LISTENER_ERROR_BYTES];
	const char *reason;

	snprintf(place, strlen(place) + 1, "@pgweir-fuzz-listener-%d", (int)getpid());
	nowhere.listen_addr.count = 0;
	nowhere.unix_socket_dir = (struct string_list){ &place, 1 };
	process->config = config_hold(config);
	process->loop = lone->workers[0].loop;
	process->crew.workers = lone->workers;
	process->crew.main_mailbox = &process->mailbox;
	process->crew.started_us = clock_now_us();
	process->crew.member_returned = admin_member_returned;
	mailbox_init(&process->mailbox, process->loop, process);
	process->resolver = resolver_create(process->loop, &process->mailbox, &resolver, &reason);
	process->crew.resolver = process->resolver;
	process->console = console_create(process);
	process->listener = listener_open(process->loop, &nowhere, nobody_accepted, NULL, error, sizeof(error));
	assert(process->resolver && process->console && process->listener);
}

struct lone *lone_open(const struct config *config)
{
	struct lone *lone = calloc(1, sizeof(*lone));

	assert(lone);
	is_open = true;
	passed_us = 0;
	lone->process.verbosity = -1;
	worker_set_stopped(note_stopped);
	assert(config->settings.workers <= LONE_WORKERS);
	lone->process.crew.worker_count = config->settings.workers;
	for (uint16_t i = 0; i < config->settings.workers; i++) {
		assert(worker_open(&lone->workers[i], &lone->process.crew, i, config));
		ev_timer_stop(lone->workers[i].loop, &lone->workers[i].tick); /* time passes when we say so */
	}
	open_process(lone, config);
	lone->listen_fd = listen_for_servers();
	for (unsigned i = 0; i < LONE_CLIENTS; i++)
		lone->clients[i].fd = -1;
	for (unsigned i = 0; i < LONE_SERVERS; i++)
		lone->servers[i].fd = -1;
	return lone;
}

static bool expect_empty_pool(struct shared_pool *shared, void *context)
{
	struct pool_counts counts = pool_count(&shared->pool);

	(void)context;
	assert(counts.opening == 0 && counts.idle == 0 && counts.busy == 0 && counts.closing == 0);
	assert(counts.waiting == 0);
	assert(atomic_load(&shared->users) == 1); /* this walk */
	return true;
}

static void expect_empty_worker(const struct worker *worker)
{
	for (unsigned i = 0; i < CLIENT_STATES; i++)
		assert(worker->client_counts[i] == 0 && list_is_empty(&worker->client_states[i]));
	for (unsigned i = 0; i < SERVER_STATES; i++)
		assert(worker->server_counts[i] == 0 && list_is_empty(&worker->server_states[i]));
	assert(worker->clients.used == 0 && worker->servers.used == 0);
	assert(list_is_empty(&worker->cancels) && !worker->statements.table);
}

static void everybody_leaves(struct lone *lone)
{
	close(lone->listen_fd);
	lone->listen_fd = -1;
	for (unsigned i = 0; i < LONE_CLIENTS; i++)
		lone_hang_up(&lone->clients[i]);
	lone_turn(lone);
	for (unsigned i = 0; i < LONE_SERVERS; i++)
		lone_hang_up(&lone->servers[i]);
	lone_turn(lone);
	/* Who asks for a login that cannot come waits for the end of its time, as does who was told to stay. */
	for (int i = 0; i < 4; i++)
		lone_pass(lone, 1000 * USEC_PER_SEC);
}

void lone_close(struct lone *lone)
{
	struct process *process = &lone->process;

	everybody_leaves(lone);
	for (unsigned i = 0; i < process->crew.worker_count; i++)
		expect_empty_worker(&lone->workers[i]);
	assert(atomic_load(&process->crew.session_count) == 0);
	pools_each(expect_empty_pool, NULL);
	resolver_free(process->resolver);
	console_free(process->console);
	admin_close();
	listener_free(process->listener);
	mailbox_clear(&process->mailbox);
	for (unsigned i = 0; i < process->crew.worker_count; i++)
		worker_free(&lone->workers[i]);
	pools_free_all();
	admin_state_clear();
	config_drop(process->config);
	free(lone);
	is_open = false;
}
