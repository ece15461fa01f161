/*
 * One line of a script: a message of the client's, or something that the test does.
 *
 *	[client N:] [direct:|pgweir:] VERB WORD...
 *
 * A word is bare (Z, 42, NULL, ->), a "string" with the escapes \n \r \t \0 \\ \" \xHH, or b"bytes". Strings may be repeated
 * and joined: "select '" + 1000000*"x" + "'". README.md lists the verbs. The direct: and pgweir: ones are taken only when the
 * script talks to that side.
 */
#ifndef TESTS_DIFFERENTIAL_STEP_H
#define TESTS_DIFFERENTIAL_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"

#define CLIENTS_MAX 3

enum step_kind {
	STEP_MESSAGE,    /* sends step->message */
	STEP_CONNECT,    /* only logs in; else the client's first step does */
	STEP_READ,       /* waits for all that the server has to say to what was sent */
	STEP_READ_UNTIL, /* waits for a message of type step->letter */
	STEP_UNTIL,      /* waits until the SQL in word 0 says true to a superuser */
	STEP_CANCEL,     /* sends a CancelRequest, and waits until it was taken */
	STEP_ERROR,      /* the last ErrorResponse must have the SQLSTATE in word 0 */
	STEP_CLOSED,     /* waits until the server hangs up */
	STEP_LEAVE,      /* hangs up, in the middle of whatever it is */
	STEP_OPTION,     /* about the script as a whole: script.h */
};

enum step_side {
	SIDE_BOTH,
	SIDE_DIRECT,
	SIDE_PGWEIR,
};

enum word_kind {
	WORD_BARE,
	WORD_STRING,
	WORD_BYTES,
};

struct word {
	enum word_kind kind;
	char *text; /* owned, with a NUL behind it */
	size_t bytes;
};

struct step {
	enum step_kind kind;
	enum step_side side;
	unsigned client; /* from 0 */
	char letter;     /* of STEP_READ_UNTIL */
	char *line;      /* owned: as it was written */
	const char *verb;
	struct word *words; /* owned */
	size_t word_count;
	struct pg_buffer message;
};

/* False: the line says nothing that could be done, and `problem` says why. On true the caller clears the step. */
bool step_parse(struct step *step, const char *line, const char **problem);
void step_clear(struct step *step);

/* Appends `bytes` to a line as a word that step_parse reads as the same. */
void step_quote(struct pg_buffer *out, const void *bytes, size_t count);

#endif
