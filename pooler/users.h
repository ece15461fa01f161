/*
 * The users that may log in, with their secrets: PgBouncer's auth_file.
 *
 *      ; comment                        # comment
 *      "joe" "plain text"
 *      "ann" "md5" and 32 hex digits of md5(password + name)
 *      "bob" "SCRAM-SHA-256$iterations:salt$stored:server"
 *      "eve" ""                         known, but without a password
 *
 * A double quote inside is written twice. What follows the secret on its line, after a blank, is ignored, as PgBouncer
 * does.
 *
 * Threads: made by the main thread, then immutable and counted; any thread may read. Secrets are wiped when the last
 * holder lets go. Source: PgBouncer's manual, "Authentication file format"; PostgreSQL manual, pg_authid.rolpassword.
 */
#ifndef POOLER_USERS_H
#define POOLER_USERS_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/scram.h"

#define USERS_SECRET_BYTES_MAX (64u * 1024u)
#define USERS_FILE_BYTES_MAX (256u * 1024u * 1024u)

enum user_secret {
	USER_SECRET_NONE,  /* no password lets this user in */
	USER_SECRET_PLAIN, /* the password itself */
	USER_SECRET_MD5,   /* "md5..." */
	USER_SECRET_SCRAM, /* "SCRAM-SHA-256$..." */
};

struct user {
	char *name; /* owned, as the following */
	enum user_secret kind;
	char *secret;                  /* as it stands in the file; "" for NONE */
	struct pg_scram_secret *scram; /* parsed; NULL unless SCRAM */
};

struct users; /* opaque; counted */

/* Told of each fault that a file has; `line` 0: the file as a whole. The text names no secret. */
typedef void users_fault(void *context, const char *file, unsigned line, const char *text);

/* No user at all, held once for the caller. NULL: no memory. */
struct users *users_create(void);
/* Adds one, before the list is shared. False: no memory, `error` (a static string) says what else: there already, a
 * name over 63 bytes or empty, a broken or too long secret. */
bool users_add(struct users *users, const char *name, const char *secret, const char **error);
/* The same with the password itself, whatever it looks like. */
bool users_add_password(struct users *users, const char *name, const char *password, const char **error);
/* Reads a file into `users`. False: it had faults, all of them told. */
bool users_read_file(struct users *users, const char *path, users_fault *fault, void *context);

const struct users *users_hold(const struct users *users);
/* NULL is harmless. */
void users_drop(const struct users *users);

/* NULL: not known. Borrowed from the list. */
const struct user *users_find(const struct users *users, const char *name);
size_t users_count(const struct users *users);
/* In the order of the file. */
const struct user *users_at(const struct users *users, size_t index);

#endif
