#define _GNU_SOURCE 1 /* asprintf */

#include "tests/bench/load/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/build.h"

#define PLACE ":id"
#define STATEMENT "bench"

static char *copy(const char *from, size_t bytes)
{
	char *to = strndup(from, bytes);

	if (!to)
		abort();
	return to;
}

void script_init(struct script *script, enum script_protocol protocol, const char *query, uint64_t range)
{
	const char *place = strstr(query, PLACE);
	size_t before = place ? (size_t)(place - query) : strlen(query);
	const char *behind = place ? place + strlen(PLACE) : "";

	script->protocol = protocol;
	script->range = place ? range : 0;
	script->text[0] = copy(query, before);
	script->text[1] = copy(behind, strlen(behind));
	script->query = NULL;
	if (asprintf(&script->query, "%s%s%s", script->text[0], place ? "$1" : "", behind) < 0)
		abort();
}

void script_clear(struct script *script)
{
	free(script->text[0]);
	free(script->text[1]);
	free(script->query);
}

static void put_number(const struct script *script, struct pg_buffer *out, uint64_t random)
{
	char digits[24];
	int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)(random % script->range + 1));

	pg_buffer_put_bytes(out, digits, (size_t)count);
}

static void put_query(const struct script *script, struct pg_buffer *out, uint64_t random)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_QUERY);

	pg_buffer_put_bytes(out, script->text[0], strlen(script->text[0]));
	if (script->range > 0)
		put_number(script, out, random);
	pg_buffer_put_string(out, script->text[1]);
	pg_buffer_end(out, begin);
}

static void put_parse(const struct script *script, struct pg_buffer *out, const char *name)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_PARSE);

	pg_buffer_put_string(out, name);
	pg_buffer_put_string(out, script->query);
	pg_buffer_put_u16(out, 0);
	pg_buffer_end(out, begin);
}

/* Text format both ways, as libpq asks for it. */
static void put_bind(const struct script *script, struct pg_buffer *out, const char *name, uint64_t random)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_BIND);

	pg_buffer_put_string(out, "");
	pg_buffer_put_string(out, name);
	pg_buffer_put_u16(out, 0);
	pg_buffer_put_u16(out, script->range > 0);
	if (script->range > 0) {
		size_t length_at = out->length;
		pg_buffer_put_u32(out, 0);
		put_number(script, out, random);
		pg_buffer_set_u32(out, length_at, (uint32_t)(out->length - length_at - 4));
	}
	pg_buffer_put_u16(out, 1);
	pg_buffer_put_u16(out, 0);
	pg_buffer_end(out, begin);
}

static void put_describe_and_execute(struct pg_buffer *out)
{
	size_t begin = pg_buffer_begin(out, PG_FRONTEND_DESCRIBE);
	pg_buffer_put_u8(out, 'P');
	pg_buffer_put_string(out, "");
	pg_buffer_end(out, begin);

	begin = pg_buffer_begin(out, PG_FRONTEND_EXECUTE);
	pg_buffer_put_string(out, "");
	pg_buffer_put_u32(out, 0);
	pg_buffer_end(out, begin);
}

void script_put_prepare(const struct script *script, struct pg_buffer *out)
{
	put_parse(script, out, STATEMENT);
	pg_build_sync(out);
}

void script_put_transaction(const struct script *script, struct pg_buffer *out, uint64_t random)
{
	if (script->protocol == SCRIPT_SIMPLE) {
		put_query(script, out, random);
		return;
	}
	if (script->protocol == SCRIPT_EXTENDED)
		put_parse(script, out, "");
	put_bind(script, out, script->protocol == SCRIPT_PREPARED ? STATEMENT : "", random);
	put_describe_and_execute(out);
	pg_build_sync(out);
}

void script_put_leak(struct pg_buffer *out)
{
	pg_build_query(out, "BEGIN; SELECT 1");
}
