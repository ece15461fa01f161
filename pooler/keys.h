/*
 * The helper thread: it derives SCRAM keys (PBKDF2, milliseconds of CPU), so that no loop stands still for it, and
 * remembers them by (password, salt, iterations), so that each password costs once.
 *
 * Threads: keys_open and keys_close by the main thread; keys_find and keys_derive by any.
 */
#ifndef POOLER_KEYS_H
#define POOLER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/mailbox.h"
#include "protocol/scram.h"

#define KEYS_CACHED_MAX 4096u /* derived keys remembered; those not used for longest go first, wiped */

/* Starts the helper. False: errno says why. */
bool keys_open(void);
/* Ends the helper after the job that it is at, sends the others back not derived, wipes and forgets all keys. The
 * mailboxes of the askers must still be there. Harmless when it is not open. */
void keys_close(void);

/* True and the keys when they are remembered. Cheap: a digest of the password and a look into a table. */
bool keys_find(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
	       struct pg_scram_keys *keys);

/* The answer to keys_derive: `mail.deliver` was set by the asker and gets it back. */
struct keys_job {
	struct mail mail;
	struct mailbox *reply_to; /* borrowed: must outlive the job; set by the asker */
	char *password;           /* owned by the job: a copy, wiped by keys_job_free */
	uint8_t salt[PG_SCRAM_SALT_BYTES_MAX];
	size_t salt_bytes;
	uint32_t iterations;
	struct pg_scram_keys keys; /* the result */
	bool derived;              /* false: memory or OpenSSL failed */
	/* The asker's own: whom the keys are for. */
	uint32_t slot;
	uint32_t generation;
};

/* NULL: no memory, or a salt longer than PG_SCRAM_SALT_BYTES_MAX. The asker then sets mail.deliver, reply_to and its own. */
struct keys_job *keys_job_create(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations);
/* Wipes and frees. NULL is fine. */
void keys_job_free(struct keys_job *job);
/* Queues the job; it comes back as mail to job->reply_to. Equal jobs in the queue are derived once. After keys_close it
 * comes back at once, not derived. */
void keys_derive(struct keys_job *job);
/* How often the work was really done since the start. */
uint64_t keys_derived(void);

#endif
