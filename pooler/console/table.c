#include "pooler/console/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "pooler/clock.h"

const struct table *table_find(const char *name)
{
	for (const struct table *const *it = tables; *it; it++)
		if (strcasecmp((*it)->name, name) == 0)
			return *it;
	return NULL;
}

struct table_source table_source_now(struct process *process, const struct snapshot *snapshot,
				     const struct averages *averages, const struct totals *console)
{
	return (struct table_source){
		.process = process,
		.config = process->config,
		.snapshot = snapshot,
		.averages = averages,
		.console = console,
		.now_us = clock_now_us(),
		.wall_us = clock_wall_us(),
	};
}

bool table_each(const struct table *table, const struct table_source *source, table_row *row, void *context)
{
	struct table_rows rows;

	assert(table->column_count <= TABLE_COLUMNS_MAX);
	rows.table = table;
	rows.row = row;
	rows.context = context;
	rows.count = 0;
	rows.failed = false;
	rows.scratch_used = 0;
	table->each(source, &rows);
	assert(rows.count == 0);
	return !rows.failed;
}

static enum table_type next_type(const struct table_rows *rows)
{
	assert(rows->count < rows->table->column_count);
	return rows->table->columns[rows->count].type;
}

void row_null(struct table_rows *rows)
{
	next_type(rows);
	rows->values[rows->count++] = (struct table_value){ .is_null = true };
}

void row_text(struct table_rows *rows, const char *text)
{
	assert(next_type(rows) == TABLE_TEXT);
	rows->values[rows->count++] = (struct table_value){ .is_null = !text, .text = text };
}

void row_format(struct table_rows *rows, const char *format, ...)
{
	size_t room = sizeof(rows->scratch) - rows->scratch_used;
	char *text = rows->scratch + rows->scratch_used;
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(text, room, format, arguments);
	va_end(arguments);
	row_text(rows, length < 0 ? "" : text);
	rows->scratch_used += length < 0 ? 0 : (size_t)length < room ? (size_t)length + 1 : room;
	if (rows->scratch_used == sizeof(rows->scratch))
		rows->scratch_used--; /* room for the empty string */
}

void row_number(struct table_rows *rows, uint64_t number)
{
	enum table_type type = next_type(rows);
	uint64_t most = type == TABLE_INT4 ? INT32_MAX : INT64_MAX;

	assert(type != TABLE_TEXT);
	rows->values[rows->count++] = (struct table_value){ .number = (int64_t)(number < most ? number : most) };
}

void row_duration(struct table_rows *rows, uint64_t duration_us)
{
	row_number(rows, duration_us / USEC_PER_SEC);
	row_number(rows, duration_us % USEC_PER_SEC);
}

void row_time(struct table_rows *rows, const struct table_source *source, uint64_t monotonic_us)
{
	uint64_t ago_us = source->now_us > monotonic_us ? source->now_us - monotonic_us : 0;
	time_t seconds = (time_t)((source->wall_us - ago_us) / USEC_PER_SEC);
	struct tm parts;
	char text[64];

	if (!gmtime_r(&seconds, &parts) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts) == 0) {
		row_text(rows, NULL);
		return;
	}
	row_format(rows, "%s", text);
}

void row_end(struct table_rows *rows)
{
	assert(rows->count == rows->table->column_count);
	rows->row(rows->context, rows->table, rows->values);
	rows->count = 0;
	rows->scratch_used = 0;
}

void row_fail(struct table_rows *rows)
{
	rows->failed = true;
}
