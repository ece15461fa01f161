#include "pooler/keys.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pooler/hash.h"
#include "pooler/thread.h"

#define KEYS_DIGEST_BYTES 32u

/* What was derived, under a digest of what it was derived from: the passwords themselves are not kept. */
struct keys_entry {
	uint8_t digest[KEYS_DIGEST_BYTES];
	struct pg_scram_keys keys;
	UT_hash_handle hh;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t queued; /* or closed */
	pthread_t thread;
	/* shared: lock, all of these */
	bool open;
	struct mail *first; /* struct keys_job, by mail.next */
	struct mail **last;
	struct keys_entry *cache; /* owned; in order of insertion: the one not used for longest is first */
	uint64_t derived;
} helper = { .lock = PTHREAD_MUTEX_INITIALIZER, .queued = PTHREAD_COND_INITIALIZER };

/* ---- what is remembered ---- */

/* The salt goes in front of the password with its length, so that no two inputs read the same. */
static bool keys_digest(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
			uint8_t digest[KEYS_DIGEST_BYTES])
{
	uint64_t head[2] = { iterations, salt_bytes };
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(context, head, sizeof(head)) == 1 &&
		    EVP_DigestUpdate(context, salt, salt_bytes) == 1 &&
		    EVP_DigestUpdate(context, password, strlen(password)) == 1 &&
		    EVP_DigestFinal_ex(context, digest, NULL) == 1;

	EVP_MD_CTX_free(context);
	return done;
}

static void entry_free(struct keys_entry *entry)
{
	explicit_bzero(entry, sizeof(*entry));
	free(entry);
}

static struct keys_entry *cache_find(const uint8_t digest[KEYS_DIGEST_BYTES])
{
	struct keys_entry *entry;

	HASH_FIND(hh, helper.cache, digest, KEYS_DIGEST_BYTES, entry);
	return entry;
}

/* Takes the entry; it becomes the last that is forgotten. */
static void cache_add(struct keys_entry *entry)
{
	HASH_ADD(hh, helper.cache, digest, sizeof(entry->digest), entry);
	if (!cache_find(entry->digest))
		entry_free(entry); /* no memory for the table */
}

static void cache_forget_first(void)
{
	struct keys_entry *first = helper.cache;

	HASH_DEL(helper.cache, first);
	entry_free(first);
}

static void keys_remember(const uint8_t digest[KEYS_DIGEST_BYTES], const struct pg_scram_keys *keys)
{
	struct keys_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return;
	memcpy(entry->digest, digest, sizeof(entry->digest));
	entry->keys = *keys;
	pthread_mutex_lock(&helper.lock);
	if (HASH_COUNT(helper.cache) >= KEYS_CACHED_MAX)
		cache_forget_first();
	cache_add(entry);
	pthread_mutex_unlock(&helper.lock);
}

static bool keys_recall(const uint8_t digest[KEYS_DIGEST_BYTES], struct pg_scram_keys *keys)
{
	pthread_mutex_lock(&helper.lock);
	struct keys_entry *entry = cache_find(digest);
	bool found = entry != NULL;
	if (found) {
		*keys = entry->keys;
		HASH_DEL(helper.cache, entry);
		cache_add(entry);
	}
	pthread_mutex_unlock(&helper.lock);
	return found;
}

bool keys_find(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations,
	       struct pg_scram_keys *keys)
{
	uint8_t digest[KEYS_DIGEST_BYTES];

	return keys_digest(password, salt, salt_bytes, iterations, digest) && keys_recall(digest, keys);
}

/* ---- jobs ---- */

struct keys_job *keys_job_create(const char *password, const uint8_t *salt, size_t salt_bytes, uint32_t iterations)
{
	struct keys_job *job = salt_bytes <= PG_SCRAM_SALT_BYTES_MAX ? calloc(1, sizeof(*job)) : NULL;

	if (!job)
		return NULL;
	job->password = strdup(password);
	if (!job->password) {
		free(job);
		return NULL;
	}
	memcpy(job->salt, salt, salt_bytes);
	job->salt_bytes = salt_bytes;
	job->iterations = iterations;
	return job;
}

void keys_job_free(struct keys_job *job)
{
	if (!job)
		return;
	explicit_bzero(job->password, strlen(job->password));
	free(job->password);
	explicit_bzero(job, sizeof(*job));
	free(job);
}

/* A job may have been asked for while an equal one stood in the queue: so it looks first. */
static void keys_job_work(struct keys_job *job)
{
	uint8_t digest[KEYS_DIGEST_BYTES];
	bool has_digest = keys_digest(job->password, job->salt, job->salt_bytes, job->iterations, digest);

	if (has_digest && keys_recall(digest, &job->keys)) {
		job->derived = true;
		return;
	}
	job->derived = pg_scram_derive_keys(job->password, job->salt, job->salt_bytes, job->iterations, &job->keys);
	pthread_mutex_lock(&helper.lock);
	helper.derived++;
	pthread_mutex_unlock(&helper.lock);
	if (job->derived && has_digest)
		keys_remember(digest, &job->keys);
}

static void keys_job_send_back(struct keys_job *job)
{
	mailbox_send(job->reply_to, &job->mail);
}

void keys_derive(struct keys_job *job)
{
	job->derived = false;
	job->mail.next = NULL;
	pthread_mutex_lock(&helper.lock);
	bool open = helper.open;
	if (open) {
		*helper.last = &job->mail;
		helper.last = &job->mail.next;
		pthread_cond_signal(&helper.queued);
	}
	pthread_mutex_unlock(&helper.lock);
	if (!open)
		keys_job_send_back(job);
}

/* NULL: the queue is empty. Under the lock. */
static struct keys_job *queue_pop(void)
{
	struct mail *mail = helper.first;

	if (!mail)
		return NULL;
	helper.first = mail->next;
	if (!helper.first)
		helper.last = &helper.first;
	return (struct keys_job *)mail;
}

/* Waits for a job. NULL: the helper is closed. */
static struct keys_job *keys_next_job(void)
{
	pthread_mutex_lock(&helper.lock);
	while (helper.open && !helper.first)
		pthread_cond_wait(&helper.queued, &helper.lock);
	struct keys_job *job = helper.open ? queue_pop() : NULL;
	pthread_mutex_unlock(&helper.lock);
	return job;
}

static void *keys_run(void *unused)
{
	struct keys_job *job;

	(void)unused;
	while ((job = keys_next_job())) {
		keys_job_work(job);
		keys_job_send_back(job);
	}
	return NULL;
}

/* ---- the thread ---- */

static void keys_set_open(bool open)
{
	pthread_mutex_lock(&helper.lock);
	helper.open = open;
	pthread_cond_signal(&helper.queued);
	pthread_mutex_unlock(&helper.lock);
}

bool keys_open(void)
{
	helper.last = &helper.first;
	keys_set_open(true);
	if (thread_start(&helper.thread, keys_run, NULL, "keys"))
		return true;
	keys_set_open(false);
	return false;
}

void keys_close(void)
{
	struct keys_job *job;

	pthread_mutex_lock(&helper.lock);
	bool was_open = helper.open;
	pthread_mutex_unlock(&helper.lock);
	if (!was_open)
		return;
	keys_set_open(false);
	pthread_join(helper.thread, NULL);
	/* Alone from here: nobody queues in a closed helper. */
	while ((job = queue_pop()))
		keys_job_send_back(job);
	while (helper.cache)
		cache_forget_first();
}

uint64_t keys_derived(void)
{
	pthread_mutex_lock(&helper.lock);
	uint64_t derived = helper.derived;
	pthread_mutex_unlock(&helper.lock);
	return derived;
}
