#include "tests/differential/generate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/differential/random.h"

struct generator {
	struct random random;
	struct pg_buffer text;
	bool session;
	unsigned count; /* of lines */
	bool bound[3];  /* portals that this batch has bound: see put_execute */
};

#define COUNT(array) ((unsigned)(sizeof(array) / sizeof((array)[0])))
#define PICK(generator, array) (array)[random_below(&(generator)->random, COUNT(array))]

static const char *const set_up[] = {
	"CREATE TABLE t (a int PRIMARY KEY, b text)",
	"INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 5) i",
	"CREATE TABLE c (a int REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
	"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$",
	"CREATE TABLE locked (a int)",
	"CREATE TRIGGER refuse BEFORE INSERT ON locked FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
};

static const char *const startup[] = {
	"DateStyle \"German\"",
	"TimeZone \"Asia/Kolkata\"",
	"application_name \"started as 'this'\"",
	"work_mem \"5MB\"",
	"options \"-c IntervalStyle=iso_8601\"",
};

/* ---- lines ---- */

__attribute__((format(printf, 2, 3))) static void put(struct generator *generator, const char *format, ...)
{
	char line[4096];
	va_list arguments;

	va_start(arguments, format);
	int bytes = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	pg_buffer_put_bytes(&generator->text, line, (size_t)bytes);
	pg_buffer_put_u8(&generator->text, '\n');
	generator->count++;
}

static bool percent(struct generator *generator, unsigned chance)
{
	return random_percent(&generator->random, chance);
}

static unsigned below(struct generator *generator, unsigned bound)
{
	return random_below(&generator->random, bound);
}

/* ---- SQL ---- */

static const char *const plain_sql[] = {
	"SELECT 1",
	"SELECT * FROM t ORDER BY a",
	"SELECT generate_series(1, 4)",
	"SELECT repeat('Z', 300) FROM generate_series(1, 60)",
	"SELECT repeat('Z', 70000)",
	"SELECT current_setting('work_mem'), '1 day'::interval",
	"SELECT count(*) FROM c",
	"",
	"INSERT INTO t VALUES (7, 'seven')",
	"INSERT INTO t VALUES (8, 'eight') RETURNING a",
	"UPDATE t SET b = b || '!' WHERE a < 3",
	"DELETE FROM t WHERE a = 2",
	"INSERT INTO c VALUES (3)",
	"INSERT INTO c VALUES (99)",
	"DO $$ BEGIN RAISE NOTICE 'noted'; END $$",
	"SHOW DateStyle",
	"SELECT '2024-12-31'::date, current_setting('TimeZone')",
	"FETCH 2 FROM k",
	"CLOSE k",
	"DECLARE k CURSOR FOR SELECT generate_series(1, 5)",
};

static const char *const failing_sql[] = {
	"SELECT 1 / 0",
	"SELEC",
	"SELECT * FROM nowhere",
	"SELECT 10 / (3 - i) FROM generate_series(1, 5) i",
	"INSERT INTO t VALUES (1, 'again')",
	"DO $$ BEGIN RAISE EXCEPTION '%', repeat('long ', 2000); END $$",
	"SET DateStyle = 'nonsense'",
};

static const char *const transaction_sql[] = {
	"BEGIN",
	"BEGIN",
	"BEGIN",
	"COMMIT",
	"COMMIT",
	"COMMIT",
	"ROLLBACK",
	"SAVEPOINT s",
	"RELEASE s",
	"ROLLBACK TO s",
	"COMMIT AND CHAIN",
	"ROLLBACK AND CHAIN",
	"BEGIN READ ONLY",
	"SET CONSTRAINTS ALL IMMEDIATE",
};

static const char *const parameter_sql[] = {
	"SET DateStyle = 'German'",         "SET DateStyle = 'SQL, DMY'",
	"SET TimeZone = 'Asia/Tokyo'",      "SET LOCAL TimeZone = 'Asia/Kolkata'",
	"SET LOCAL DateStyle = 'Postgres'", "SET application_name = 'it''s me'",
	"SET LOCAL work_mem = '1MB'",       "SELECT set_config('IntervalStyle', 'iso_8601', false)",
};

static const char *const copy_sql[] = {
	"COPY (SELECT * FROM t ORDER BY a) TO STDOUT",
	"COPY (SELECT 10 / (3 - i) FROM generate_series(1, 5) i) TO STDOUT",
	"COPY (SELECT repeat('c', 500) FROM generate_series(1, 40)) TO STDOUT",
	"COPY nowhere TO STDOUT",
};

static const char *const session_sql[] = {
	"PREPARE p AS SELECT 'prepared'",
	"EXECUTE p",
	"EXECUTE one",
	"DEALLOCATE p",
	"DEALLOCATE ALL",
	"DISCARD ALL",
	"DISCARD TEMP",
	"CREATE TEMP TABLE tt (x int)",
	"INSERT INTO tt VALUES (1)",
	"SELECT count(*) FROM tt",
	"SET work_mem = '3MB'",
	"RESET ALL",
	"BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 5); COMMIT",
	"FETCH 1 FROM h",
	"SELECT pg_advisory_lock(1)",
	"SELECT pg_advisory_unlock_all()",
};

/* Anything but a COPY from the client. */
static const char *pick_sql(struct generator *generator)
{
	unsigned kind = below(generator, 100);

	if (generator->session && kind < 12)
		return PICK(generator, session_sql);
	if (kind < 45)
		return PICK(generator, plain_sql);
	if (kind < 60)
		return PICK(generator, failing_sql);
	if (kind < 85)
		return PICK(generator, transaction_sql);
	return kind < 93 ? PICK(generator, parameter_sql) : PICK(generator, copy_sql);
}

/* ---- single messages ---- */

static const char *statement_name(struct generator *generator)
{
	static const char *const names[] = { "", "", "one", "two" };

	return generator->session ? PICK(generator, names) : "";
}

static const char *const portals[] = { "", "p", "q" };

static unsigned pick_portal(struct generator *generator)
{
	return percent(generator, 60) ? 0 : below(generator, COUNT(portals));
}

/* Behind this a portal may be of a transaction that has failed. */
static void forget_portals(struct generator *generator)
{
	memset(generator->bound, 0, sizeof(generator->bound));
}

static void put_sync(struct generator *generator)
{
	put(generator, "Sync");
	forget_portals(generator);
}

static void put_parse(struct generator *generator)
{
	static const char *const with_parameters[] = {
		"SELECT $1::int + 1",
		"SELECT $1::text, $2::int",
		"INSERT INTO t VALUES ($1, 'bound')",
		"SELECT generate_series(1, $1::int)",
	};

	const char *sql = percent(generator, 35) ? PICK(generator, with_parameters) : pick_sql(generator);
	put(generator, "Parse \"%s\" \"%s\"", statement_name(generator), sql);
}

static void put_bind(struct generator *generator)
{
	static const char *const values[] = { "", "", "", " \"3\"", " \"0\"", " \"x\"", " \"5\" \"6\"", " NULL" };

	unsigned portal = pick_portal(generator);
	put(generator, "Bind \"%s\" \"%s\"%s%s", portals[portal], statement_name(generator), PICK(generator, values),
	    percent(generator, 10) ? " -> 1" : "");
	generator->bound[portal] = true;
}

/* Only a portal that was bound in the same batch: to execute an older one in a transaction that has failed may kill
 * PostgreSQL 15. */
static void put_execute(struct generator *generator)
{
	static const unsigned limits[] = { 0, 0, 0, 1, 2, 3 };
	unsigned portal = pick_portal(generator);

	if (generator->bound[portal])
		put(generator, "Execute \"%s\" %u", portals[portal], PICK(generator, limits));
	else
		put(generator, "Execute \"nowhere\" 0");
}

static void put_target(struct generator *generator, const char *verb)
{
	if (percent(generator, 50))
		put(generator, "%s S \"%s\"", verb, statement_name(generator));
	else
		put(generator, "%s P \"%s\"", verb, percent(generator, 10) ? "k" : portals[pick_portal(generator)]);
}

static void put_function_call(struct generator *generator)
{
	static const char *const calls[] = { "177 \"1\" \"2\"", "154 \"1\" \"0\"", "177 \"x\" \"2\"", "177 \"1\"" };

	put(generator, "FunctionCall %s", PICK(generator, calls));
	forget_portals(generator);
}

static void put_message(struct generator *generator)
{
	switch (below(generator, 16)) {
	case 0:
	case 1:
	case 2:
		put_parse(generator);
		break;
	case 3:
	case 4:
	case 5:
		put_bind(generator);
		break;
	case 6:
	case 7:
	case 8:
		put_execute(generator);
		break;
	case 9:
		put_target(generator, "Describe");
		break;
	case 10:
		put_target(generator, "Close");
		break;
	case 11:
		put_function_call(generator);
		break;
	case 12:
		put(generator, "Flush");
		break;
	case 13:
		put(generator, percent(generator, 50) ? "CopyData \"late\\n\"" : "CopyDone");
		break;
	default:
		put_sync(generator);
		break;
	}
}

/* ---- pieces ---- */

static void put_query(struct generator *generator)
{
	const char *first = pick_sql(generator);

	forget_portals(generator);
	if (percent(generator, 75))
		put(generator, "Query \"%s\"", first);
	else
		put(generator, "Query \"%s; %s; %s\"", first, pick_sql(generator), pick_sql(generator));
}

static void put_statement(struct generator *generator)
{
	const char *name = statement_name(generator), *portal = percent(generator, 80) ? "" : "p";

	put(generator, "Parse \"%s\" \"%s\"", name, pick_sql(generator));
	if (percent(generator, 20))
		put(generator, "Describe S \"%s\"", name);
	put(generator, "Bind \"%s\" \"%s\"", portal, name);
	if (percent(generator, 40))
		put(generator, "Describe P \"%s\"", portal);
	put(generator, "Execute \"%s\" 0", portal);
	if (name[0])
		put(generator, "Close S \"%s\"", name);
}

static void put_batch(struct generator *generator)
{
	for (unsigned left = 1 + (percent(generator, 30) ? below(generator, 4) : 0); left > 0; left--)
		put_statement(generator);
	if (percent(generator, 85))
		put_sync(generator);
}

/* What was prepared without a name before, once more. */
static void put_again(struct generator *generator)
{
	put_bind(generator);
	put_execute(generator);
	put_sync(generator);
}

/* A portal of its own, which nothing makes fail. */
static void put_portal(struct generator *generator)
{
	unsigned number = generator->count;

	if (percent(generator, 30))
		put(generator, "Query \"BEGIN\"");
	put(generator, "Parse \"\" \"SELECT generate_series(1, %u)\"", below(generator, 8));
	put(generator, "Bind \"p%u\" \"\"", number);
	for (unsigned left = 1 + below(generator, 4); left > 0; left--) {
		put(generator, "Execute \"p%u\" %u", number, below(generator, 4));
		if (percent(generator, 30))
			put(generator, percent(generator, 60) ? "Flush" : "Sync");
		if (percent(generator, 20))
			put(generator, "read");
	}
	forget_portals(generator);
	if (percent(generator, 70))
		put_sync(generator);
}

static void put_copy_data(struct generator *generator)
{
	static const char *const data[] = {
		"CopyData \"10\\tten\\n\"",
		"CopyData \"11\\televen\\n12\\ttwelve\\n\"",
		"CopyData \"13\\t\"",
		"CopyData \"thirteen\\n\"",
		"CopyData \"\"",
		"CopyData \"x\\n\"",
		"CopyData \"1\\ttwice\\n\"",
		"CopyData \"14\\t\" + 3000*\"long\" + \"\\n\"",
		"CopyData \"\\\\.\\n\"",
		"CopyData \"%u\\tn\\n\"",
	};
	unsigned nth = below(generator, COUNT(data));

	if (nth < COUNT(data) - 1)
		put(generator, "%s", data[nth]);
	else
		put(generator, "CopyData \"%u\\tn\\n\"", 100 + generator->count);
}

/* It may come to it, or not: in a failed transaction the data come for nothing. */
static void put_copy_in(struct generator *generator)
{
	static const char *const sql[] = { "COPY t FROM STDIN",           "COPY t FROM STDIN",
					   "COPY t FROM STDIN",           "COPY c FROM STDIN",
					   "COPY nowhere FROM STDIN",     "COPY locked FROM STDIN",
					   "COPY t FROM STDIN; SELECT 1", "SELECT 1; COPY t FROM STDIN" };
	bool extended = percent(generator, 50);

	if (extended) {
		put(generator, "Parse \"\" \"%s\"", sql[below(generator, 6)]);
		put(generator, "Bind \"\" \"\"");
		put(generator, "Execute \"\" 0");
	} else {
		put(generator, "Query \"%s\"", PICK(generator, sql));
	}
	if (extended && percent(generator, 50))
		put(generator, percent(generator, 60) ? "Sync" : "Flush");
	if (percent(generator, 40))
		put(generator, "read");
	for (unsigned left = below(generator, 6); left > 0; left--) {
		put_copy_data(generator);
		if (percent(generator, 8))
			put(generator, percent(generator, 50) ? "Sync" : "Flush");
		if (percent(generator, 10))
			put(generator, "read");
	}
	/* Anything else than an end is the end of the connection. */
	if (percent(generator, 97))
		put(generator, percent(generator, 75) ? "CopyDone" : "CopyFail \"no more\"");
	forget_portals(generator);
	if (extended && percent(generator, 90))
		put_sync(generator);
}

/* What is too long for buffers, and a statement that is too long to be kept. */
static void put_large(struct generator *generator)
{
	static const unsigned sizes[] = { 9000, 17000, 40000, 66000, 150000 };
	unsigned size = PICK(generator, sizes);

	switch (below(generator, 3)) {
	case 0:
		put(generator, "Query \"SELECT length('\" + %u*\"Z\" + \"')\"", size);
		break;
	case 1:
		put(generator, "Parse \"\" \"SELECT length('\" + %u*\"E\" + \"')\"", size);
		break;
	default:
		put(generator, "CopyData %u*\"late\"", size / 4);
		break;
	}
}

/* Only when all has been answered it is certain what has been done. */
static void put_leave(struct generator *generator)
{
	put(generator, "read");
	put(generator, "leave");
}

static void put_piece(struct generator *generator)
{
	unsigned kind = below(generator, 100);

	if (kind < 30)
		put_query(generator);
	else if (kind < 32)
		put_large(generator);
	else if (kind < 55)
		put_batch(generator);
	else if (kind < 62)
		put_again(generator);
	else if (kind < 70)
		put_portal(generator);
	else if (kind < 82)
		put_copy_in(generator);
	else if (kind < 84)
		put_leave(generator);
	else
		for (unsigned left = 1 + below(generator, 8); left > 0; left--)
			put_message(generator);
}

void generate_script(struct script *script, uint64_t seed, bool session)
{
	struct generator generator = { .random = { seed }, .session = session };
	char name[64];

	if (session)
		put(&generator, "modes session");
	for (unsigned i = 0; i < COUNT(set_up); i++)
		put(&generator, "setup \"%s\"", set_up[i]);
	/* Not in session mode: there DISCARD ALL would bring them back with PostgreSQL, and the server's own with pgweir. */
	for (unsigned i = 0; !session && i < COUNT(startup); i++)
		if (random_percent(&generator.random, 10))
			put(&generator, "startup %s", startup[i]);
	unsigned reads = below(&generator, 4) * 25;
	for (unsigned pieces = 1 + below(&generator, percent(&generator, 10) ? 60 : 12); pieces > 0; pieces--) {
		put_piece(&generator);
		if (percent(&generator, reads))
			put(&generator, "read");
	}
	pg_buffer_put_u8(&generator.text, '\0');
	snprintf(name, sizeof(name), "random conversation %" PRIu64, seed);
	script_parse(script, name, (const char *)generator.text.data);
	pg_buffer_clear(&generator.text);
}
