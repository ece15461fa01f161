/*
 * A table's rows as messages of the protocol: RowDescription and DataRow, each column in text or binary format, as the
 * client asked for it.
 *
 *      type      OID    text      binary
 *      text      25     itself    itself
 *      int4      23     "42"      4 bytes, big endian
 *      int8      20     "42"      8 bytes, big endian
 *      numeric   1700   "42"      digits to the base of 10000
 *
 * Pure but for the buffer. Source: PostgreSQL manual, "Message Formats"; numeric_send of its source.
 */
#ifndef POOLER_CONSOLE_RESULT_H
#define POOLER_CONSOLE_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "pooler/console/table.h"
#include "protocol/buffer.h"
#include "protocol/reader.h"

/* What a Bind asked for. Zeroed: all in text. */
struct result_formats {
	uint16_t count; /* 0: all in text; 1: binary[0] is for all; else one for each column */
	bool binary[TABLE_COLUMNS_MAX];
};

/* Reads the list of formats at the end of a Bind. False: a format that does not exist, or more than there can be columns. */
bool result_formats_read(struct result_formats *formats, struct pg_reader *reader);
/* False: the table has another number of columns than formats were asked for. */
bool result_formats_fit(const struct result_formats *formats, const struct table *table);

struct result {
	struct pg_buffer *out;
	const struct result_formats *formats;
};

void result_describe(const struct result *result, const struct table *table);
/* One row; a table_row whose context is a struct result. */
void result_row(void *context, const struct table *table, const struct table_value *values);

/* How many bytes the first `most` messages at `data`, all DataRow, have; `count` becomes their number, at most `most`. */
size_t result_first_rows(const uint8_t *data, size_t size, uint32_t most, uint32_t *count);

#endif
