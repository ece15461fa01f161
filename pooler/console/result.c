#include "pooler/console/result.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/build.h"
#include "protocol/frame.h"

#define NUMERIC_BASE 10000
#define NUMERIC_DIGITS_MAX 5 /* of a 64 bit number */
#define NUMERIC_NEGATIVE 0x4000

static const struct {
	uint32_t oid;
	uint16_t bytes; /* UINT16_MAX, -1 on the wire: variable */
} types[] = {
	[TABLE_TEXT] = { PG_OID_TEXT, UINT16_MAX },
	[TABLE_INT4] = { PG_OID_INT4, 4 },
	[TABLE_INT8] = { PG_OID_INT8, 8 },
	[TABLE_NUMERIC] = { PG_OID_NUMERIC, UINT16_MAX },
};

bool result_formats_read(struct result_formats *formats, struct pg_reader *reader)
{
	uint16_t count = pg_reader_u16(reader);

	if (count > TABLE_COLUMNS_MAX)
		return false;
	formats->count = count;
	for (uint16_t i = 0; i < count; i++) {
		uint16_t format = pg_reader_u16(reader);
		if (format > 1)
			return false;
		formats->binary[i] = format == 1;
	}
	return true;
}

bool result_formats_fit(const struct result_formats *formats, const struct table *table)
{
	return formats->count <= 1 || formats->count == table->column_count;
}

static bool is_binary(const struct result *result, unsigned column)
{
	const struct result_formats *formats = result->formats;

	if (!formats || formats->count == 0)
		return false;
	return formats->binary[formats->count == 1 ? 0 : column];
}

void result_describe(const struct result *result, const struct table *table)
{
	struct pg_buffer *out = result->out;
	size_t begin = pg_buffer_begin(out, PG_BACKEND_ROW_DESCRIPTION);

	pg_buffer_put_u16(out, (uint16_t)table->column_count);
	for (unsigned i = 0; i < table->column_count; i++) {
		const struct table_column *column = &table->columns[i];
		pg_buffer_put_string(out, column->name);
		pg_buffer_put_u32(out, 0); /* of no table of the catalogue */
		pg_buffer_put_u16(out, 0);
		pg_buffer_put_u32(out, types[column->type].oid);
		pg_buffer_put_u16(out, types[column->type].bytes);
		pg_buffer_put_u32(out, UINT32_MAX); /* no modifier: -1 */
		pg_buffer_put_u16(out, is_binary(result, i));
	}
	pg_buffer_end(out, begin);
}

static void put_numeric(struct pg_buffer *out, int64_t number)
{
	uint16_t digits[NUMERIC_DIGITS_MAX];
	unsigned count = 0;
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

	for (; rest; rest /= NUMERIC_BASE)
		digits[count++] = (uint16_t)(rest % NUMERIC_BASE);
	pg_buffer_put_u32(out, 8 + 2 * count);
	pg_buffer_put_u16(out, (uint16_t)count);
	pg_buffer_put_u16(out, (uint16_t)(count ? count - 1 : 0)); /* weight of the first digit */
	pg_buffer_put_u16(out, number < 0 ? NUMERIC_NEGATIVE : 0);
	pg_buffer_put_u16(out, 0); /* no digits behind the point */
	while (count > 0)
		pg_buffer_put_u16(out, digits[--count]);
}

static void put_binary(struct pg_buffer *out, enum table_type type, int64_t number)
{
	switch (type) {
	case TABLE_INT4:
		pg_buffer_put_u32(out, 4);
		pg_buffer_put_u32(out, (uint32_t)number);
		break;
	case TABLE_INT8:
		pg_buffer_put_u32(out, 8);
		pg_buffer_put_u32(out, (uint32_t)((uint64_t)number >> 32));
		pg_buffer_put_u32(out, (uint32_t)number);
		break;
	case TABLE_NUMERIC:
	case TABLE_TEXT:
		put_numeric(out, number);
		break;
	}
}

static void put_value(const struct result *result, const struct table *table, unsigned column,
		      const struct table_value *value)
{
	enum table_type type = table->columns[column].type;
	char digits[24];
	const char *text = value->text;

	if (value->is_null) {
		pg_buffer_put_u32(result->out, UINT32_MAX); /* -1 */
		return;
	}
	if (type != TABLE_TEXT && is_binary(result, column)) {
		put_binary(result->out, type, value->number);
		return;
	}
	if (type != TABLE_TEXT) {
		snprintf(digits, sizeof(digits), "%" PRId64, value->number);
		text = digits;
	}
	size_t bytes = strlen(text);
	pg_buffer_put_u32(result->out, (uint32_t)bytes);
	pg_buffer_put_bytes(result->out, text, bytes);
}

void result_row(void *context, const struct table *table, const struct table_value *values)
{
	const struct result *result = context;
	size_t begin = pg_buffer_begin(result->out, PG_BACKEND_DATA_ROW);

	pg_buffer_put_u16(result->out, (uint16_t)table->column_count);
	for (unsigned i = 0; i < table->column_count; i++)
		put_value(result, table, i, &values[i]);
	pg_buffer_end(result->out, begin);
}

size_t result_first_rows(const uint8_t *data, size_t size, uint32_t most, uint32_t *count)
{
	struct pg_frame frame;
	size_t at = 0;

	for (*count = 0; *count < most && pg_frame_parse(data + at, size - at, &frame) == PG_OK; ++*count)
		at += frame.total_bytes;
	return at;
}
