#include "pooler/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "pooler/hash.h"
#include "protocol/buffer.h"
#include "protocol/message.h"

#define SCRAM_PREFIX PG_SCRAM_MECHANISM "$"
#define MD5_PREFIX "md5"
#define MD5_DIGITS 32
#define READ_BYTES (64u * 1024u)

struct user_entry {
	struct user user;
	UT_hash_handle hh; /* the key is user.name */
};

struct users {
	atomic_uint holders;
	struct user_entry **entries; /* owned, with each entry; in the order of the file */
	size_t count;
	size_t capacity;
	struct user_entry *by_name;
};

/* ---- one user ---- */

static void wipe_string(char *string)
{
	if (string)
		OPENSSL_cleanse(string, strlen(string));
	free(string);
}

static void entry_free(struct user_entry *entry)
{
	if (!entry)
		return;
	if (entry->user.scram)
		OPENSSL_cleanse(entry->user.scram, sizeof(*entry->user.scram));
	free(entry->user.scram);
	wipe_string(entry->user.secret);
	free(entry->user.name);
	free(entry);
}

/* As PostgreSQL tells secrets from passwords. */
static enum user_secret secret_kind(const char *secret)
{
	if (secret[0] == '\0')
		return USER_SECRET_NONE;
	if (strncmp(secret, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) == 0)
		return USER_SECRET_SCRAM;
	if (strncmp(secret, MD5_PREFIX, strlen(MD5_PREFIX)) == 0 && strlen(secret) == strlen(MD5_PREFIX) + MD5_DIGITS &&
	    strspn(secret + strlen(MD5_PREFIX), "0123456789abcdef") == MD5_DIGITS)
		return USER_SECRET_MD5;
	return USER_SECRET_PLAIN;
}

static bool entry_fill(struct user_entry *entry, const char *name, enum user_secret kind, const char *secret,
		       const char **error)
{
	struct user *user = &entry->user;

	user->name = strdup(name);
	user->secret = strdup(secret);
	user->kind = kind;
	if (kind == USER_SECRET_SCRAM)
		user->scram = calloc(1, sizeof(*user->scram));
	if (!user->name || !user->secret || (kind == USER_SECRET_SCRAM && !user->scram)) {
		*error = "out of memory";
		return false;
	}
	if (kind == USER_SECRET_SCRAM && pg_scram_secret_parse(secret, user->scram) != PG_OK) {
		*error = "the SCRAM-SHA-256 secret is broken";
		return false;
	}
	return true;
}

/* Takes the entry; false: no memory, the caller keeps it. */
static bool users_append(struct users *users, struct user_entry *entry)
{
	struct user_entry *found = NULL;

	if (users->count == users->capacity) {
		size_t capacity = users->capacity ? users->capacity * 2 : 16;
		struct user_entry **entries = realloc(users->entries, capacity * sizeof(struct user_entry *));
		if (!entries)
			return false;
		users->entries = entries;
		users->capacity = capacity;
	}
	HASH_ADD_KEYPTR(hh, users->by_name, entry->user.name, strlen(entry->user.name), entry);
	HASH_FIND_STR(users->by_name, entry->user.name, found);
	if (!found)
		return false;
	users->entries[users->count++] = entry;
	return true;
}

static bool add(struct users *users, const char *name, enum user_secret kind, const char *secret, const char **error)
{
	struct user_entry *entry;

	*error = NULL;
	if (name[0] == '\0' || strlen(name) > PG_NAME_BYTES_MAX)
		*error = "a user's name has 1 to 63 bytes";
	else if (strlen(secret) > USERS_SECRET_BYTES_MAX)
		*error = "the secret is longer than 64 KB";
	else if (users_find(users, name))
		*error = "this user is there already";
	if (*error)
		return false;

	entry = calloc(1, sizeof(*entry));
	if (!entry) {
		*error = "out of memory";
		return false;
	}
	if (!entry_fill(entry, name, kind, secret, error)) {
		entry_free(entry);
		return false;
	}
	if (!users_append(users, entry)) {
		*error = "out of memory";
		entry_free(entry);
		return false;
	}
	return true;
}

bool users_add(struct users *users, const char *name, const char *secret, const char **error)
{
	return add(users, name, secret_kind(secret), secret, error);
}

bool users_add_password(struct users *users, const char *name, const char *password, const char **error)
{
	return add(users, name, password[0] == '\0' ? USER_SECRET_NONE : USER_SECRET_PLAIN, password, error);
}

/* ---- the list ---- */

struct users *users_create(void)
{
	struct users *users = calloc(1, sizeof(*users));

	if (users)
		atomic_init(&users->holders, 1);
	return users;
}

const struct users *users_hold(const struct users *users)
{
	/* The count is the one thing in a shared list that changes. */
	atomic_fetch_add_explicit(&((struct users *)(uintptr_t)users)->holders, 1, memory_order_relaxed);
	return users;
}

void users_drop(const struct users *users)
{
	struct users *list = (struct users *)(uintptr_t)users;

	if (!list || atomic_fetch_sub_explicit(&list->holders, 1, memory_order_acq_rel) != 1)
		return;
	HASH_CLEAR(hh, list->by_name);
	for (size_t i = 0; i < list->count; i++)
		entry_free(list->entries[i]);
	free(list->entries);
	free(list);
}

const struct user *users_find(const struct users *users, const char *name)
{
	struct user_entry *entry;

	HASH_FIND_STR(users->by_name, name, entry);
	return entry ? &entry->user : NULL;
}

size_t users_count(const struct users *users)
{
	return users->count;
}

const struct user *users_at(const struct users *users, size_t index)
{
	return &users->entries[index]->user;
}

/* ---- the file ---- */

struct users_reader {
	struct users *users;
	const char *file;
	users_fault *fault;
	void *context;
	unsigned line;
	bool faulty;
};

static void reader_fault(struct users_reader *reader, const char *text)
{
	reader->faulty = true;
	reader->fault(reader->context, reader->file, reader->line, text);
}

static bool is_blank(char letter)
{
	return letter == ' ' || letter == '\t' || letter == '\r';
}

static char *skip_blanks(char *at)
{
	while (is_blank(*at))
		at++;
	return at;
}

/* A quoted string, which is undoubled in place. Returns what follows it, NULL when it is not closed. */
static char *take_quoted(char *at, char **string)
{
	char *to = at + 1;

	*string = to;
	for (at++; *at; at++) {
		if (*at == '"' && at[1] != '"') {
			*to = '\0';
			return at + 1;
		}
		if (*at == '"')
			at++;
		*to++ = *at;
	}
	return NULL;
}

/* One line without its end. */
static void read_line(struct users_reader *reader, char *line)
{
	char *name, *secret, *at = skip_blanks(line);
	const char *error;

	if (*at == '\0' || *at == ';' || *at == '#')
		return;
	if (*at != '"') {
		reader_fault(reader, "expected a user's name in double quotes");
		return;
	}
	at = take_quoted(at, &name);
	if (!at) {
		reader_fault(reader, "the double quote around the name is not closed");
		return;
	}
	at = skip_blanks(at);
	if (*at != '"') {
		reader_fault(reader, "expected a secret in double quotes after the name");
		return;
	}
	at = take_quoted(at, &secret);
	if (!at) {
		reader_fault(reader, "the double quote around the secret is not closed");
		return;
	}
	if (*at != '\0' && !is_blank(*at)) {
		reader_fault(reader, "expected a blank after the secret (a double quote inside it is written twice)");
		return;
	}
	if (!users_add(reader->users, name, secret, &error))
		reader_fault(reader, error);
}

/* Lines in place; `text` ends in a NUL that does not belong to it. */
static void read_text(struct users_reader *reader, char *text, size_t bytes)
{
	char *at = text, *end = text + bytes;

	while (at < end) {
		char *newline = memchr(at, '\n', (size_t)(end - at));
		char *line_end = newline ? newline : end;
		reader->line++;
		*line_end = '\0';
		if (strlen(at) != (size_t)(line_end - at))
			reader_fault(reader, "there is a zero byte in this line");
		else
			read_line(reader, at);
		at = line_end + 1;
	}
}

/* All of the file and a NUL. False: errno. */
static bool read_descriptor(int fd, struct pg_buffer *text)
{
	for (;;) {
		/* Grown by hand, so that no copy of a secret stays behind in freed memory. */
		if (text->capacity - text->length < READ_BYTES + 1) {
			struct pg_buffer larger = PG_BUFFER_EMPTY;
			pg_buffer_reserve(&larger, text->length * 2 + READ_BYTES + 1);
			pg_buffer_put_bytes(&larger, text->data, text->length);
			pg_buffer_wipe(text);
			*text = larger;
		}
		if (text->failed || text->length > USERS_FILE_BYTES_MAX) {
			errno = text->failed ? ENOMEM : EFBIG;
			return false;
		}
		ssize_t count = read(fd, text->data + text->length, READ_BYTES);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		if (count == 0) {
			text->data[text->length] = '\0';
			return true;
		}
		text->length += (size_t)count;
	}
}

bool users_read_file(struct users *users, const char *path, users_fault *fault, void *context)
{
	struct users_reader reader = { .users = users, .file = path, .fault = fault, .context = context };
	struct pg_buffer text = PG_BUFFER_EMPTY;
	char reason[160];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || !read_descriptor(fd, &text)) {
		snprintf(reason, sizeof(reason), "cannot be read: %s", strerror(errno));
		reader_fault(&reader, reason);
	} else {
		read_text(&reader, (char *)text.data, text.length);
	}
	if (fd >= 0)
		close(fd);
	pg_buffer_wipe(&text);
	return !reader.faulty;
}
