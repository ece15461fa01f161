/*
 * A conversation that is written down: what one client or several say, and when they listen. README.md describes the lines.
 */
#ifndef TESTS_DIFFERENTIAL_SCRIPT_H
#define TESTS_DIFFERENTIAL_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/differential/step.h"
#include "tests/differential/transcript.h"

struct script {
	char name[64];
	struct step *steps; /* owned; the options among them */
	size_t count;
	unsigned clients; /* how many there are */
	bool session;     /* may run in this mode */
	bool transaction;
	enum compare compare;
};

/* Reads a file. A script that makes no sense fails the test, with file and line. */
void script_load(struct script *script, const char *path);
/* Lines from memory; `name` is for messages. */
void script_parse(struct script *script, const char *name, const char *text);
void script_clear(struct script *script);

/* The script without those steps where `dropped` is true. */
void script_copy_without(struct script *out, const struct script *script, const bool *dropped);
/* As it would stand in a file; the caller frees it. */
char *script_text(const struct script *script);

#endif
