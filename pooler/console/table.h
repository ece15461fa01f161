/*
 * The console's tables. Each is one descriptor: its name, its columns with types, what it needs to be looked up first, and a
 * function that hands out its rows. SHOW reads them; so can any other front end.
 *
 * To add a table: describe it in a table_*.c of this folder, and put it into the list in tables.c.
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_TABLE_H
#define POOLER_CONSOLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pooler/console/averages.h"
#include "pooler/process.h"
#include "pooler/snapshot.h"

#define TABLE_COLUMNS_MAX 48
#define TABLE_SCRATCH_BYTES 4096

enum table_type {
	TABLE_TEXT,
	TABLE_INT4, /* a larger value is shown as the largest */
	TABLE_INT8,
	TABLE_NUMERIC, /* here always a whole number */
};

struct table_column {
	const char *name;
	enum table_type type;
};

/* What rows are made from. Nothing in it changes while rows are handed out. */
struct table_source {
	struct process *process;
	const struct config *config;
	const struct snapshot *snapshot; /* NULL unless the table needs one */
	const struct averages *averages;
	const struct totals *console; /* what the console itself has answered */
	uint64_t now_us;              /* monotonic */
	uint64_t wall_us;             /* since 1970, the same moment */
};

/* The source as it is at this moment. */
struct table_source table_source_now(struct process *process, const struct snapshot *snapshot,
				     const struct averages *averages, const struct totals *console);

struct table_value {
	bool is_null;
	int64_t number;   /* of the number types */
	const char *text; /* of TABLE_TEXT; until the row function returns */
};

struct table_rows;

struct table {
	const char *name; /* lower case, as all names here */
	const char *help; /* one line */
	const struct table_column *columns;
	unsigned column_count;
	unsigned needs; /* SNAPSHOT_..., 0: nothing */
	/* Hands out all rows through the row_... functions below. */
	void (*each)(const struct table_source *source, struct table_rows *rows);
};

/* `columns` is an array, not a pointer. */
#define TABLE_COLUMNS(array) .columns = (array), .column_count = sizeof(array) / sizeof((array)[0])

/* ---- all tables ---- */

/* NULL behind the last. */
extern const struct table *const tables[];
/* By name, whatever the case; NULL: there is none. */
const struct table *table_find(const char *name);

/* ---- reading ---- */

typedef void table_row(void *context, const struct table *table, const struct table_value *values);

/* Calls `row` for each row, in the order of the table. False: memory was short and rows are missing or wrong. */
bool table_each(const struct table *table, const struct table_source *source, table_row *row, void *context);

/* ---- writing, for `each` ---- */

/* One row is begun by its first value and ended by row_end; the values must be the columns, in order and of their types. */
struct table_rows {
	const struct table *table;
	table_row *row;
	void *context;
	unsigned count;
	bool failed;
	size_t scratch_used;
	struct table_value values[TABLE_COLUMNS_MAX];
	char scratch[TABLE_SCRATCH_BYTES]; /* texts that were made for this row */
};

void row_null(struct table_rows *rows);
/* NULL is SQL's NULL. The text must live until row_end. */
void row_text(struct table_rows *rows, const char *text);
/* The text is made for the row; what does not fit is cut. */
void row_format(struct table_rows *rows, const char *format, ...) __attribute__((format(printf, 2, 3)));
void row_number(struct table_rows *rows, uint64_t number);
/* Seconds, and the microseconds besides: two columns. */
void row_duration(struct table_rows *rows, uint64_t duration_us);
/* A moment on the monotonic clock as "2026-01-31 12:00:00 UTC". */
void row_time(struct table_rows *rows, const struct table_source *source, uint64_t monotonic_us);
void row_end(struct table_rows *rows);
/* No memory: the reader learns that this is not the whole truth. */
void row_fail(struct table_rows *rows);

#endif
