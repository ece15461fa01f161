/*
 * The console's commands. Each is one entry of a table: its name, who may use it, how its words are read, what it does. To
 * add a command: an entry in command.c, and its function in command_run.c.
 *
 *      words --> call_read --> struct call --> call_run --> DONE, FAILED, or WAITS: session->resume is called later
 *
 * Each command checks the rights itself, whenever it runs, whatever was checked before.
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_COMMAND_H
#define POOLER_CONSOLE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "pooler/console/query.h"
#include "pooler/console/table.h"

struct session;
struct call;

enum command_outcome {
	COMMAND_DONE,   /* the answer is complete, with its CommandComplete */
	COMMAND_FAILED, /* the error is in the answer */
	COMMAND_WAITS,
};

struct command {
	const char *name;      /* the first word, and the tag of the answer */
	const char *arguments; /* for the help; "" when there are none */
	const char *help;      /* NULL: not listed */
	bool admin;            /* wants an admin */
	/* Reads the words behind the name. False: they are wrong; the error is in the answer, unless it was left to the caller:
	 * then it is a general one. */
	bool (*read)(struct call *call, struct session *session);
	enum command_outcome (*run)(struct call *call, struct session *session);
};

/* Up to the one without a name. */
extern const struct command commands[];

/* Settings of a session that drivers set or ask for by themselves. They mean nothing here: SET is accepted and ignored. */
struct client_variable {
	const char *name;
	const char *value; /* what SHOW answers */
};
extern const struct client_variable client_variables[]; /* up to the one without a name */

#define CALL_VALUE_BYTES 1024

/* One command as it was written. */
struct call {
	struct query query;
	const struct command *command;
	const struct table *table;              /* SHOW */
	const struct client_variable *variable; /* SHOW, SET */
	const char *name;                       /* a database, a setting, a prepared statement; NULL: none was given */
	uint64_t number;                        /* a client's id, or a mode */
	char value[CALL_VALUE_BYTES];           /* SET */
};

/* Understands call->query. False: the error is in the session's answer. */
bool call_read(struct call *call, struct session *session);
enum command_outcome call_run(struct call *call, struct session *session);
/* The columns of what it answers: `one` is made to fit for a variable. NULL: it answers no rows. */
const struct table *call_columns(const struct call *call, struct table *one, struct table_column *column);

#endif
