/*
 * Names to addresses, with c-ares on the main thread's loop, never blocking; answers are cached for their TTL.
 *
 * Workers ask by resolver_ask and get a letter back. Numeric addresses need no resolver: resolver_parse_numeric.
 *
 * Both A and AAAA are asked; /etc/hosts is honoured, and comes first; the addresses are in the order of RFC 6724, those that
 * this machine can reach first. The TTL is bounded above by max_ttl_us; an answer that may not be kept (TTL 0, and all of
 * /etc/hosts) is asked for again each time. A failure is remembered for failure_ttl_us. Many askers of one name make one
 * query (single flight). A DNS server that does not answer costs RESOLVER_TIMEOUT_MS, and once more twice that.
 *
 * Threads: create, free, configure and the table for the console in the main thread; resolver_ask from any.
 */
#ifndef POOLER_RESOLVER_H
#define POOLER_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/address.h"
#include "pooler/mailbox.h"

#define RESOLVER_ADDRESSES_MAX 16u
#define RESOLVER_NAME_BYTES_MAX 256u
#define RESOLVER_NAMES_MAX 1024u /* names remembered; beyond it the oldest that nobody waits for is forgotten */
#define RESOLVER_TIMEOUT_MS 1500
#define RESOLVER_TRIES 2

struct resolver;

struct resolver_config {
	uint64_t max_ttl_us;
	uint64_t failure_ttl_us;
	/* "127.0.0.1:5353,[::1]:53" instead of what the system has in /etc/resolv.conf. NULL: the system's. Copied. */
	const char *servers;
};

/* NULL: c-ares failed; `error` says why (a static string). `mailbox` is the main thread's. */
struct resolver *resolver_create(struct ev_loop *loop, struct mailbox *mailbox, const struct resolver_config *config,
				 const char **error);
/* Jobs that wait come back failed, also those that are still on their way here: the mailbox may be cleared afterwards.
 * Nobody may ask any more. NULL is fine. */
void resolver_free(struct resolver *resolver);
/* New bounds for answers to come. The system's own settings are read again, as soon as no query is under way; `servers` is
 * not looked at. */
void resolver_configure(struct resolver *resolver, const struct resolver_config *config);

struct resolver_job {
	struct mail mail;          /* mail.deliver was set by the asker and gets the answer */
	struct mailbox *reply_to;  /* borrowed: must outlive the job */
	struct resolver *resolver; /* set by resolver_ask */
	char name[RESOLVER_NAME_BYTES_MAX];
	uint16_t port;
	/* the answer */
	union address addresses[RESOLVER_ADDRESSES_MAX];
	size_t address_count; /* 0: it failed, and error says why */
	char error[128];
	/* The asker's own: whom the answer is for. */
	uint32_t slot;
	uint32_t generation;
	void (*answered)(void *owner, struct mail *mail); /* used by the resolver to keep the asker's deliver */
};

/* Sends the job to the main thread; it comes back to job->reply_to. The asker frees it (free). Jobs of one asker come back
 * in any order. */
void resolver_ask(struct resolver *resolver, struct resolver_job *job);

/* True when `host` is a numeric IPv4 or IPv6 address. */
static inline bool resolver_parse_numeric(const char *host, uint16_t port, union address *address)
{
	return address_parse_numeric(host, port, address);
}

/* The cache, for SHOW DNS_HOSTS: calls `row` for each name. TTL left in seconds, never negative; addresses separated by
 * commas, "" for a failure or while the first query is under way. */
void resolver_each(struct resolver *resolver,
		   void (*row)(void *context, const char *name, uint64_t ttl_s, const char *addresses), void *context);
/* Names known, and queries under way: for SHOW LISTS. */
void resolver_counts(struct resolver *resolver, size_t *names, size_t *pending);

#endif
