#define _GNU_SOURCE /* struct ucred */
#include "pooler/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "pooler/admin.h"
#include "pooler/admin_state.h"
#include "pooler/clock.h"
#include "pooler/console/console.h"
#include "pooler/keys.h"
#include "pooler/log.h"
#include "pooler/pools.h"
#include "pooler/worker_thread.h"

#define TICK_S 0.1

/* Descriptors besides those of clients and servers: loops, listeners, c-ares, cancel requests. */
#define OWN_DESCRIPTORS 64u

extern char **environ;

/* ---- configuration ---- */

static void note_verbosity(const struct process *process)
{
	int verbose = (int)process->config->settings.verbose;

	log_set_verbosity(process->verbosity < 0 && !verbose ? process->verbosity : process->verbosity + verbose);
}

static struct resolver_config resolver_config_of(const struct config *config)
{
	return (struct resolver_config){ .max_ttl_us = config->settings.dns_max_ttl_us,
					 .failure_ttl_us = config->settings.dns_nxdomain_ttl_us };
}

struct config_change {
	const struct config *before;
	const struct config *after;
};

/* Servers that were opened elsewhere, or as somebody else, serve out what they do and go. */
static bool renew_changed(struct shared_pool *shared, void *context)
{
	const struct config_change *change = context;
	const struct database *before = config_find_database(change->before, shared->database);
	const struct database *after = config_find_database(change->after, shared->database);

	if (!before || !after || !conninfo_equal(&before->conninfo, &after->conninfo))
		pool_renew(&shared->pool);
	return true;
}

/* Pools that are to be warm before the first client comes. */
static void make_warm_pools(const struct config *config)
{
	for (size_t i = 0; i < config->database_count; i++) {
		const struct database *database = &config->databases[i];
		if (!database->conninfo.user || strcmp(database->name, "*") == 0)
			continue;
		struct shared_pool *shared = pools_find(config, database->name, database->conninfo.user);
		if (shared)
			pools_drop(shared, clock_now_us());
	}
}

void process_configure(struct process *process, const struct config *config)
{
	struct config_change change = { process->config, config };
	struct resolver_config resolver = resolver_config_of(config);

	process->config = config;
	note_verbosity(process);
	resolver_configure(process->resolver, &resolver);
	listener_configure(process->listener, &config->settings);
	for (unsigned i = 0; i < process->crew.worker_count; i++)
		worker_send_config(&process->crew.workers[i], config);
	pools_configure(config);
	pools_each(renew_changed, &change);
	make_warm_pools(config);
	config_drop(change.before);
}

bool process_reload(struct process *process, char *error, size_t error_bytes)
{
	char restart[512];
	struct config *config = config_reload(process->config, environ, restart, sizeof(restart), error, error_bytes);

	if (!config) {
		log_error("reload failed, everything stays as it was: %s", error);
		return false;
	}
	if (restart[0])
		log_warning("these settings have changed and want a restart: %s", restart);
	process_configure(process, config);
	log_info("configuration reloaded");
	return true;
}

/* ---- time ---- */

/* Opens what waiting clients and configured minimums ask for. */
static bool open_due(struct shared_pool *shared, void *context)
{
	struct process *process = context;
	const struct database *database = config_find_database(process->config, shared->database);
	struct pool_counts counts = pool_count(&shared->pool);
	uint16_t worker = (uint16_t)(process->next_worker++ % process->crew.worker_count);
	/* Whom to log in as is known from the configuration, or from a client that is there. One user is this walk itself. */
	unsigned members = counts.opening + counts.idle + counts.busy + counts.closing;
	bool warm = database && (database->conninfo.user || atomic_load(&shared->users) > members + 1);

	while (pool_open_due(&shared->pool, warm, clock_now_us(), &worker)) {
		worker_send_open(&process->crew.workers[worker], shared);
		worker = (uint16_t)((worker + 1u) % process->crew.worker_count);
	}
	return true;
}

void process_tick(struct process *process)
{
	if (process->stop < WORKER_WAITS_FOR_SERVERS)
		pools_each(open_due, process);
	pools_forget_unused(process->config, clock_now_us());
	admin_tick(process);
	console_tick(process->console);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	process_tick(timer->data);
}

/* ---- clients ---- */

static void on_accepted(void *context, int fd, const union address *address, const union address *local)
{
	struct process *process = context;
	struct peer peer;
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	(void)local;
	peer_from_address(&peer, address);
	if (peer.family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
		peer.pid = (uint32_t)credentials.pid;
		peer.uid = credentials.uid;
	}
	worker_send_client(&process->crew.workers[process->next_worker++ % process->crew.worker_count], fd, &peer);
}

static void log_address(void *context, const char *address)
{
	(void)context;
	log_info("listening on %s", address);
}

/* ---- the end ---- */

static const char *stop_text(enum worker_stop how)
{
	switch (how) {
	case WORKER_WAITS_FOR_CLIENTS:
		return "waiting for the clients to leave";
	case WORKER_WAITS_FOR_SERVERS:
		return "waiting for transactions to end";
	case WORKER_STOPS_NOW:
		return "at once";
	case WORKER_RUNS:
		break;
	}
	return "";
}

void process_stop(struct process *process, enum worker_stop how)
{
	if (how <= process->stop)
		return;
	process->stop = how;
	log_info("shutting down: %s", stop_text(how));
	listener_close(process->listener);
	for (unsigned i = 0; i < process->crew.worker_count; i++)
		worker_send_stop(&process->crew.workers[i], how);
}

static void deliver_stopped(void *owner, struct mail *mail)
{
	struct process *process = owner;

	free(mail);
	if (--process->workers_left == 0)
		ev_break(process->loop, EVBREAK_ALL);
}

static void worker_stopped(struct crew *crew)
{
	struct mail *mail = calloc(1, sizeof(*mail));

	if (!mail)
		abort();
	mail->deliver = deliver_stopped;
	mailbox_send(crew->main_mailbox, mail);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int revents)
{
	struct process *process = watcher->data;
	char error[CONFIG_ERROR_BYTES];

	(void)loop;
	(void)revents;
	switch (watcher->signum) {
	case SIGHUP:
		process_reload(process, error, sizeof(error));
		break;
	case SIGTERM:
		process_stop(process, process->stop == WORKER_RUNS ? WORKER_WAITS_FOR_CLIENTS : WORKER_STOPS_NOW);
		break;
	case SIGINT:
		process_stop(process,
			     process->stop < WORKER_WAITS_FOR_SERVERS ? WORKER_WAITS_FOR_SERVERS : WORKER_STOPS_NOW);
		break;
	default:
		process_stop(process, WORKER_STOPS_NOW);
		break;
	}
}

static void watch_signals(struct process *process)
{
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT };

	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < 4; i++) {
		ev_signal_init(&process->signals[i], on_signal, signals[i]);
		process->signals[i].data = process;
		ev_signal_start(process->loop, &process->signals[i]);
	}
}

/* ---- the beginning ---- */

static uint64_t descriptors_wanted(const struct config *config)
{
	uint64_t wanted = OWN_DESCRIPTORS + config->settings.max_client_conn;

	for (size_t i = 0; i < config->database_count; i++)
		wanted += config->databases[i].own.given & OWN_POOL_SIZE ? config->databases[i].own.pool_size
									 : config->settings.default_pool_size;
	return wanted;
}

/* As many descriptors as are allowed. False: they are not enough for what is configured. */
static bool raise_descriptor_limit(const struct config *config)
{
	struct rlimit limit;
	uint64_t wanted = descriptors_wanted(config);

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return true;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= wanted)
		return true;
	log_fatal("max_client_conn %u and the pools want %llu file descriptors, and %llu are allowed: raise the limit "
		  "(ulimit -n, LimitNOFILE=) or lower max_client_conn",
		  config->settings.max_client_conn, (unsigned long long)wanted, (unsigned long long)limit.rlim_cur);
	return false;
}

static bool open_resolver(struct process *process)
{
	struct resolver_config config = resolver_config_of(process->config);
	const char *error = NULL;

	process->resolver = resolver_create(process->loop, &process->mailbox, &config, &error);
	if (!process->resolver)
		log_fatal("the name resolver could not be started: %s", error);
	return process->resolver != NULL;
}

static bool start_workers(struct process *process)
{
	struct crew *crew = &process->crew;
	unsigned count = process->config->settings.workers;

	crew->workers = calloc(count, sizeof(*crew->workers));
	crew->main_mailbox = &process->mailbox;
	crew->resolver = process->resolver;
	crew->started_us = clock_now_us();
	crew->member_returned = admin_member_returned;
	worker_set_stopped(worker_stopped);
	/* A letter may name any worker: all of them are counted before the first one runs. */
	crew->worker_count = count;
	for (unsigned i = 0; crew->workers && i < count; i++) {
		if (!worker_start(&crew->workers[i], crew, (uint16_t)i, process->config)) {
			log_fatal("worker %u could not be started: %s", i, strerror(errno));
			return false;
		}
		process->workers_left++;
	}
	return crew->workers != NULL;
}

static bool open_listener(struct process *process)
{
	char error[512];

	process->listener =
		listener_open(process->loop, &process->config->settings, on_accepted, process, error, sizeof(error));
	if (!process->listener) {
		log_fatal("%s", error);
		return false;
	}
	listener_each(process->listener, log_address, NULL);
	return true;
}

bool process_start(struct process *process, const struct config *config, int verbosity)
{
	process->config = config;
	process->verbosity = verbosity;
	process->loop = ev_default_loop(EVFLAG_AUTO);
	if (!process->loop || !raise_descriptor_limit(config))
		return false;
	note_verbosity(process);
	mailbox_init(&process->mailbox, process->loop, process);
	watch_signals(process);
	if (!keys_open() || !open_resolver(process))
		return false;
	process->console = console_create(process);
	if (!process->console || !start_workers(process) || !open_listener(process))
		return false;
	make_warm_pools(config);
	ev_timer_init(&process->tick, on_tick, TICK_S, TICK_S);
	process->tick.data = process;
	ev_timer_start(process->loop, &process->tick);
	return true;
}

void process_run(struct process *process)
{
	ev_run(process->loop, 0);
}

void process_end(struct process *process)
{
	struct crew *crew = &process->crew;

	for (unsigned i = 0; i < crew->worker_count; i++)
		worker_end(&crew->workers[i]);
	/* Who owes a worker a letter ends before that worker's mailbox. */
	keys_close();
	resolver_free(process->resolver);
	console_free(process->console);
	admin_close();
	mailbox_clear(&process->mailbox);
	for (unsigned i = 0; i < crew->worker_count; i++)
		worker_free(&crew->workers[i]);
	listener_free(process->listener);
	pools_free_all();
	admin_state_clear();
	free(crew->workers);
	config_drop(process->config);
	/* What is left takes a bounded time; an impatient second signal must not make a death of an orderly end. */
	for (unsigned i = 0; i < 4; i++) {
		ev_signal_stop(process->loop, &process->signals[i]);
		signal(process->signals[i].signum, SIG_IGN);
	}
	ev_timer_stop(process->loop, &process->tick);
	ev_loop_destroy(process->loop);
}
