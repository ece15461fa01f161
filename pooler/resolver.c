#include "pooler/resolver.h"

#include <ares.h>
#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "pooler/clock.h"
#include "pooler/hash.h"
#include "pooler/list.h"
#include "pooler/log.h"

#define ADDRESSES_TEXT_BYTES (RESOLVER_ADDRESSES_MAX * ADDRESS_TEXT_BYTES)

struct resolver {
	struct ev_loop *loop;
	struct mailbox *mailbox;
	uint64_t max_ttl_us;
	uint64_t failure_ttl_us;
	char *servers; /* owned; NULL: the system's */
	ares_channel channel;
	ev_timer timer;      /* c-ares's next time-out */
	struct list watches; /* struct watch: its sockets */
	struct entry *names; /* owned; in order of insertion */
	size_t pending;
	bool stale;           /* the system's settings are to be read again */
	bool closed;          /* freed, but jobs are still on their way here: the last one frees the rest */
	atomic_size_t coming; /* jobs in the mailbox */
};

/* A socket of c-ares. */
struct watch {
	struct list node;
	ev_io io;
};

/* What is known of a name. */
struct entry {
	char name[RESOLVER_NAME_BYTES_MAX]; /* in lower case */
	struct resolver *resolver;
	struct mail *waiting; /* jobs, by mail.next */
	bool pending;
	uint64_t known_until_us;
	union address addresses[RESOLVER_ADDRESSES_MAX];
	size_t address_count;
	char error[sizeof(((struct resolver_job *)0)->error)];
	UT_hash_handle hh;
};

/* ---- c-ares on the loop ---- */

/* After everything that c-ares did: it may have a new time-out. */
static void resolver_set_timer(struct resolver *resolver)
{
	struct timeval wait;

	ev_timer_stop(resolver->loop, &resolver->timer);
	if (!ares_timeout(resolver->channel, NULL, &wait))
		return;
	/* A millisecond more: c-ares cuts fractions off, and to come too early is to come again at once. */
	ev_timer_set(&resolver->timer, (double)wait.tv_sec + (double)wait.tv_usec / 1e6 + 0.001, 0.);
	ev_timer_start(resolver->loop, &resolver->timer);
}

static void resolver_timed_out(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct resolver *resolver = timer->data;

	(void)loop;
	(void)revents;
	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolver_set_timer(resolver);
}

static void watch_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct resolver *resolver = io->data;
	int fd = io->fd; /* c-ares may close the socket, and the watch is gone then */

	(void)loop;
	ares_process_fd(resolver->channel, revents & EV_READ ? fd : ARES_SOCKET_BAD,
			revents & EV_WRITE ? fd : ARES_SOCKET_BAD);
	resolver_set_timer(resolver);
}

static struct watch *watch_find(struct resolver *resolver, int fd)
{
	struct list *it;
	struct list *spare;

	list_each(it, spare, &resolver->watches) {
		struct watch *watch = list_entry(it, struct watch, node);
		if (watch->io.fd == fd)
			return watch;
	}
	return NULL;
}

/* NULL: no memory. The query then ends by its time-out. */
static struct watch *watch_create(struct resolver *resolver, int fd)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	ev_io_init(&watch->io, watch_event, fd, 0);
	watch->io.data = resolver;
	list_append(&resolver->watches, &watch->node);
	return watch;
}

static void watch_free(struct watch *watch)
{
	list_remove(&watch->node);
	free(watch);
}

/* C-ares opened a socket, waits for something else on it, or is about to close it. */
static void resolver_socket_changed(void *context, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = context;
	struct watch *watch = watch_find(resolver, fd);

	if (!watch && (readable || writable))
		watch = watch_create(resolver, fd);
	if (!watch)
		return;
	ev_io_stop(resolver->loop, &watch->io);
	if (!readable && !writable) {
		watch_free(watch);
		return;
	}
	ev_io_set(&watch->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(resolver->loop, &watch->io);
}

/* ARES_SUCCESS, and resolver->channel is a new one. */
static int resolver_open_channel(struct resolver *resolver)
{
	char hosts_then_dns[] = "fb";
	struct ares_options options = {
		.timeout = RESOLVER_TIMEOUT_MS,
		.tries = RESOLVER_TRIES,
		.lookups = hosts_then_dns,
		.sock_state_cb = resolver_socket_changed,
		.sock_state_cb_data = resolver,
	};
	int given = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	ares_channel channel;
	int status = ares_init_options(&channel, &options, given);

	if (status != ARES_SUCCESS)
		return status;
	if (resolver->servers)
		status = ares_set_servers_ports_csv(channel, resolver->servers);
	if (status == ARES_SUCCESS)
		resolver->channel = channel;
	else
		ares_destroy(channel);
	return status;
}

/* Containers get a new resolv.conf while they run; c-ares reads it once for each channel. */
static void resolver_refresh_channel(struct resolver *resolver)
{
	ares_channel old = resolver->channel;

	if (!resolver->stale || resolver->pending)
		return;
	resolver->stale = false;
	int status = resolver_open_channel(resolver);
	if (status == ARES_SUCCESS)
		ares_destroy(old);
	else
		log_warning("the DNS settings of the system could not be read again: %s", ares_strerror(status));
}

/* ---- answers ---- */

static void job_send_back(struct resolver_job *job)
{
	job->mail.deliver = job->answered;
	mailbox_send(job->reply_to, &job->mail);
}

static void job_fail(struct resolver_job *job, const char *error)
{
	job->address_count = 0;
	snprintf(job->error, sizeof(job->error), "%s", error);
	job_send_back(job);
}

static void job_answer(struct resolver_job *job, const struct entry *entry)
{
	memcpy(job->addresses, entry->addresses, entry->address_count * sizeof(job->addresses[0]));
	job->address_count = entry->address_count;
	for (size_t i = 0; i < job->address_count; i++)
		address_set_port(&job->addresses[i], job->port);
	memcpy(job->error, entry->error, sizeof(job->error));
	job_send_back(job);
}

static void entry_answer_all(struct entry *entry)
{
	struct mail *mail = entry->waiting;

	entry->waiting = NULL;
	while (mail) {
		struct mail *next = mail->next; /* before the asker frees it */
		job_answer((struct resolver_job *)mail, entry);
		mail = next;
	}
}

static const char *error_text(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
		return "there is no such name";
	case ARES_ENODATA:
	case ARES_SUCCESS: /* with no address that we know how to use */
		return "the name has no address";
	case ARES_ETIMEOUT:
		return "the DNS servers did not answer in time";
	case ARES_ECONNREFUSED:
		return "the DNS servers cannot be reached";
	case ARES_EDESTRUCTION:
	case ARES_ECANCELLED:
		return "the resolver was closed";
	default:
		return ares_strerror(status);
	}
}

static void entry_add_address(struct entry *entry, const struct ares_addrinfo_node *node)
{
	union address *address = &entry->addresses[entry->address_count];

	if (entry->address_count == RESOLVER_ADDRESSES_MAX)
		return;
	if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
		return;
	memset(address, 0, sizeof(*address));
	memcpy(address, node->ai_addr, (size_t)node->ai_addrlen);
	entry->address_count++;
}

/* A TTL with the highest bit set counts as 0 (RFC 2181, section 8); c-ares shows it as negative. */
static uint32_t ttl_lower(uint32_t lowest_s, int ttl_s)
{
	uint32_t bound_s = ttl_s < 0 ? 0 : (uint32_t)ttl_s;

	return lowest_s < bound_s ? lowest_s : bound_s;
}

/* The lowest TTL of all records that the answer consists of, bounded. */
static uint64_t answer_ttl_us(const struct resolver *resolver, const struct ares_addrinfo *found)
{
	uint32_t ttl_s = INT32_MAX;

	for (const struct ares_addrinfo_cname *it = found->cnames; it; it = it->next)
		ttl_s = ttl_lower(ttl_s, it->ttl);
	for (const struct ares_addrinfo_node *it = found->nodes; it; it = it->ai_next)
		ttl_s = ttl_lower(ttl_s, it->ai_ttl);
	uint64_t ttl_us = ttl_s * USEC_PER_SEC;
	return ttl_us < resolver->max_ttl_us ? ttl_us : resolver->max_ttl_us;
}

static void entry_fill(struct entry *entry, int status, const struct ares_addrinfo *found)
{
	uint64_t ttl_us = entry->resolver->failure_ttl_us;

	entry->address_count = 0;
	entry->error[0] = 0;
	for (const struct ares_addrinfo_node *it = found ? found->nodes : NULL; it; it = it->ai_next)
		entry_add_address(entry, it);
	if (entry->address_count)
		ttl_us = answer_ttl_us(entry->resolver, found);
	else
		snprintf(entry->error, sizeof(entry->error), "%s", error_text(status));
	entry->known_until_us = clock_now_us() + ttl_us;
	log_debug("\"%s\": %zu addresses%s%s, for %.3f s", entry->name, entry->address_count,
		  entry->error[0] ? ", " : "", entry->error, (double)ttl_us / 1e6);
}

static void entry_found(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
	struct entry *entry = context;

	(void)timeouts;
	entry->pending = false;
	entry->resolver->pending--;
	entry_fill(entry, status, status == ARES_SUCCESS ? found : NULL);
	if (found)
		ares_freeaddrinfo(found);
	entry_answer_all(entry);
}

/* ---- names ---- */

static void entry_free(struct entry *entry)
{
	HASH_DEL(entry->resolver->names, entry);
	free(entry);
}

/* Configured names are few; those that come with wildcard databases or reloads might be many in the course of time. */
static void resolver_make_room(struct resolver *resolver)
{
	struct entry *it;
	struct entry *spare;

	if (HASH_COUNT(resolver->names) < RESOLVER_NAMES_MAX)
		return;
	HASH_ITER(hh, resolver->names, it, spare) {
		if (it->pending)
			continue;
		entry_free(it);
		return;
	}
}

static struct entry *entry_find(struct resolver *resolver, const char *name)
{
	struct entry *entry;

	HASH_FIND(hh, resolver->names, name, strlen(name), entry);
	return entry;
}

/* NULL: no memory. */
static struct entry *entry_create(struct resolver *resolver, const char *name)
{
	resolver_make_room(resolver);
	struct entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->resolver = resolver;
	memcpy(entry->name, name, strlen(name));
	HASH_ADD_STR(resolver->names, name, entry);
	if (entry_find(resolver, name))
		return entry;
	free(entry);
	return NULL;
}

static void entry_ask(struct entry *entry)
{
	const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct resolver *resolver = entry->resolver;

	resolver_refresh_channel(resolver);
	entry->pending = true;
	resolver->pending++;
	/* May answer before it returns: names from /etc/hosts, and names that cannot be. */
	ares_getaddrinfo(resolver->channel, entry->name, NULL, &hints, entry_found, entry);
	resolver_set_timer(resolver);
}

static void name_lower(char *out, const char *name)
{
	size_t i;

	for (i = 0; name[i] && i < RESOLVER_NAME_BYTES_MAX - 1; i++)
		out[i] = (char)tolower((unsigned char)name[i]);
	out[i] = 0;
}

static void resolver_look_up(struct resolver *resolver, struct resolver_job *job)
{
	char name[RESOLVER_NAME_BYTES_MAX];

	name_lower(name, job->name);
	struct entry *entry = entry_find(resolver, name);
	if (!entry)
		entry = entry_create(resolver, name);
	if (!entry) {
		job_fail(job, "out of memory");
		return;
	}
	if (!entry->pending && clock_now_us() < entry->known_until_us) {
		job_answer(job, entry);
		return;
	}
	job->mail.next = entry->waiting;
	entry->waiting = &job->mail;
	if (!entry->pending)
		entry_ask(entry);
}

/* ---- from any thread ---- */

static void resolver_take_job(void *owner, struct mail *mail)
{
	struct resolver_job *job = (struct resolver_job *)mail;
	struct resolver *resolver = job->resolver;

	(void)owner;
	bool last = atomic_fetch_sub(&resolver->coming, 1) == 1;
	if (!resolver->closed) {
		resolver_look_up(resolver, job);
		return;
	}
	job_fail(job, error_text(ARES_EDESTRUCTION));
	if (last)
		free(resolver);
}

void resolver_ask(struct resolver *resolver, struct resolver_job *job)
{
	job->resolver = resolver;
	job->answered = job->mail.deliver;
	job->mail.deliver = resolver_take_job;
	atomic_fetch_add(&resolver->coming, 1);
	mailbox_send(resolver->mailbox, &job->mail);
}

/* ---- from the main thread ---- */

static void resolver_set_bounds(struct resolver *resolver, const struct resolver_config *config)
{
	/* The most that a TTL can be; sums with the clock do not overflow then. */
	const uint64_t for_ever_us = INT32_MAX * USEC_PER_SEC;

	resolver->max_ttl_us = config->max_ttl_us < for_ever_us ? config->max_ttl_us : for_ever_us;
	resolver->failure_ttl_us = config->failure_ttl_us < for_ever_us ? config->failure_ttl_us : for_ever_us;
}

/* ARES_SUCCESS, or what failed. */
static int resolver_init(struct resolver *resolver, struct ev_loop *loop, struct mailbox *mailbox,
			 const struct resolver_config *config)
{
	resolver->loop = loop;
	resolver->mailbox = mailbox;
	resolver_set_bounds(resolver, config);
	list_init(&resolver->watches);
	ev_timer_init(&resolver->timer, resolver_timed_out, 0., 0.);
	resolver->timer.data = resolver;
	if (config->servers && !(resolver->servers = strdup(config->servers)))
		return ARES_ENOMEM;
	int status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status != ARES_SUCCESS)
		return status;
	status = resolver_open_channel(resolver);
	if (status != ARES_SUCCESS)
		ares_library_cleanup();
	return status;
}

struct resolver *resolver_create(struct ev_loop *loop, struct mailbox *mailbox, const struct resolver_config *config,
				 const char **error)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	int status = resolver ? resolver_init(resolver, loop, mailbox, config) : ARES_ENOMEM;

	if (status == ARES_SUCCESS)
		return resolver;
	*error = ares_strerror(status);
	if (resolver)
		free(resolver->servers);
	free(resolver);
	return NULL;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	ares_destroy(resolver->channel); /* answers all that wait, and closes the sockets */
	ares_library_cleanup();
	ev_timer_stop(resolver->loop, &resolver->timer);
	while (resolver->names)
		entry_free(resolver->names);
	free(resolver->servers);
	resolver->closed = true;
	if (atomic_load(&resolver->coming) == 0)
		free(resolver);
}

void resolver_configure(struct resolver *resolver, const struct resolver_config *config)
{
	resolver_set_bounds(resolver, config);
	resolver->stale = true;
	resolver_refresh_channel(resolver);
}

static void entry_print_addresses(const struct entry *entry, char out[ADDRESSES_TEXT_BYTES])
{
	size_t at = 0;

	out[0] = 0;
	for (size_t i = 0; i < entry->address_count; i++) {
		if (i > 0)
			out[at++] = ',';
		address_print_host(&entry->addresses[i], out + at, ADDRESS_TEXT_BYTES - 1);
		at += strlen(out + at);
	}
}

void resolver_each(struct resolver *resolver,
		   void (*row)(void *context, const char *name, uint64_t ttl_s, const char *addresses), void *context)
{
	char addresses[ADDRESSES_TEXT_BYTES];
	uint64_t now_us = clock_now_us();
	struct entry *it;
	struct entry *spare;

	HASH_ITER(hh, resolver->names, it, spare) {
		uint64_t left_us = it->known_until_us > now_us ? it->known_until_us - now_us : 0;
		entry_print_addresses(it, addresses);
		row(context, it->name, left_us / USEC_PER_SEC, addresses);
	}
}

void resolver_counts(struct resolver *resolver, size_t *names, size_t *pending)
{
	*names = HASH_COUNT(resolver->names);
	*pending = resolver->pending;
}
