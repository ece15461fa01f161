/*
 * The one description of every setting, and what follows from it: reading, writing and copying values.
 *
 * A value comes in as text, whatever wrote it: a file, the environment, SET. It is kept in a field of struct settings,
 * of struct own_settings, or, for what makes up a connection string, of struct database_texts.
 *
 * Inside pooler/settings*.c and pooler/options.c. Source of names and meanings: PgBouncer 1.25, "config".
 */
#ifndef POOLER_SETTINGS_TABLE_H
#define POOLER_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/settings.h"
#include "protocol/buffer.h"

enum setting_type {
	SETTING_BOOL,     /* bool */
	SETTING_INT,      /* uint32_t */
	SETTING_MODE,     /* uint32_t, written in octal: permissions of a file */
	SETTING_DURATION, /* uint64_t, microseconds */
	SETTING_ENUM,     /* an enum, by its index in `choices` */
	SETTING_STRING,   /* char * */
	SETTING_LIST,     /* struct string_list */
};

/* Where it may stand. */
#define SETTING_GLOBAL (1u << 0)
#define SETTING_DATABASE (1u << 1)
#define SETTING_USER (1u << 2)

/* Who may change it while the process runs; nobody: only a restart does. */
#define SETTING_BY_RELOAD (1u << 0)
#define SETTING_BY_SET (1u << 1)

#define SETTING_NO_FIELD SIZE_MAX

/* Says whether a string, or one item of a list, can be one; if not, why. */
typedef bool setting_check(const char *text, char *reason, size_t reason_bytes);

struct setting {
	const char *name;
	const char *section;  /* of the reference page */
	const char *help;     /* one line */
	const char *standard; /* the default, as it would be written; NULL in an entry: the next level counts */
	enum setting_type type;
	unsigned where;
	unsigned change;
	size_t global_offset; /* in struct settings */
	size_t own_offset;    /* in struct own_settings */
	size_t text_offset;   /* in struct database_texts */
	uint32_t own_bit;     /* OWN_... */
	uint64_t minimum;     /* of a number; of a duration in microseconds */
	uint64_t maximum;
	uint64_t unit_us;           /* of a duration: what a bare number counts */
	uint64_t step_us;           /* of a duration: it must be a multiple */
	const char *const *choices; /* of an enum, in its order, then NULL */
	setting_check *check;
	bool number_too; /* a string for which a file may also give a number */
};

/* What a group of the file says about a database that is not kept as it stands. */
struct database_texts {
	char *name; /* owned, as the following; NULL: not given */
	char *conninfo;
	char *host;
	char *port;
	char *dbname;
	char *user;
	char *password;
};

extern const struct setting settings_table[];
extern const size_t settings_count;

/* A setting that may stand in one of `where`, or NULL. */
const struct setting *setting_find(const char *name, unsigned where);
/* What to say about a name that setting_find does not know there: a suggestion, that its place is elsewhere, or that
 * pgweir does not have this setting of PgBouncer's. */
void setting_explain_unknown(const char *name, unsigned where, char *reason, size_t reason_bytes);
size_t setting_index(const struct setting *setting);

/* ---- lists ---- */

/* Adds a copy. False: no memory. */
bool string_list_append(struct string_list *list, const char *item, size_t bytes);
/* Adds what commas separate; blanks around an item do not count. False: no memory. */
bool string_list_split(const char *text, struct string_list *list);
/* Over an empty list. False: no memory. */
bool string_list_copy(struct string_list *to, const struct string_list *from);
bool string_list_equal(const struct string_list *a, const struct string_list *b);
void string_list_clear(struct string_list *list);

/* ---- one value ---- */

/* Reads `text` into the field, freeing what it held. False: `reason` says why, and the field is as it was. */
bool setting_parse(const struct setting *setting, const char *text, void *field, char *reason, size_t reason_bytes);
/* A list from its items. */
bool setting_parse_items(const struct setting *setting, const char *const *items, size_t count, void *field,
			 char *reason, size_t reason_bytes);
/* Appends the value as SHOW CONFIG writes it, without a NUL: durations as a number in their unit, lists with commas. */
void setting_format(const struct setting *setting, const void *field, struct pg_buffer *out);
/* Over a field that holds nothing. False: no memory. */
bool setting_copy(const struct setting *setting, void *to, const void *from);
void setting_clear(const struct setting *setting, void *field);
bool setting_equal(const struct setting *setting, const void *a, const void *b);

/* "250ms", "30s", "5min", "1h": the largest unit in which it is whole. */
void duration_print(uint64_t duration_us, char *out, size_t out_bytes);
#define DURATION_PRINT_BYTES 24

/* ---- all global settings ---- */

static inline void *setting_global_field(const struct setting *setting, struct settings *settings)
{
	return (char *)settings + setting->global_offset;
}
static inline const void *setting_global_value(const struct setting *setting, const struct settings *settings)
{
	return (const char *)settings + setting->global_offset;
}

/* Over a structure that holds nothing; after false (no memory) it must be cleared. */
bool settings_init(struct settings *settings);
bool settings_copy(struct settings *to, const struct settings *from);
void settings_clear(struct settings *settings);

/* ---- the reference, from the table ---- */

void settings_print_markdown(FILE *out);
void settings_print_man(FILE *out);

#endif
