/* The console's parts alone: the words of a command, the averages, the columns of every table. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "pooler/clock.h"
#include "pooler/console/averages.h"
#include "pooler/console/query.h"
#include "pooler/console/result.h"
#include "pooler/console/table.h"
#include "protocol/reader.h"

/* ---- words ---- */

/* All statements as "word word;word", strings in '', quoted names in "", marks bare. */
static const char *words_of(const char *text)
{
	static char all[QUERY_TEXT_BYTES + 64];
	struct query query;
	const char *error = NULL;
	enum query_result result;

	all[0] = '\0';
	while ((result = query_next(&text, &query, &error)) == QUERY_OK) {
		for (unsigned i = 0; i < query.count; i++) {
			const char *quote = query.words[i].kind == QUERY_QUOTED   ? "\""
					    : query.words[i].kind == QUERY_STRING ? "'"
										  : "";
			size_t used = strlen(all);
			snprintf(all + used, sizeof(all) - used, "%s%s%s%s", i ? " " : "", quote, query.words[i].text,
				 quote);
		}
		strcat(all, ";");
	}
	if (result == QUERY_BAD)
		ck_assert_ptr_nonnull(error);
	return result == QUERY_BAD ? error : all;
}

START_TEST(words)
{
	ck_assert_str_eq(words_of("show pools"), "show pools;");
	ck_assert_str_eq(words_of("  show\tpools ;\n"), "show pools;");
	ck_assert_str_eq(words_of("a;;b ; ;c"), "a;b;c;");
	ck_assert_str_eq(words_of(""), "");
	ck_assert_str_eq(words_of(" ; -- x ; y"), "");
	ck_assert_str_eq(words_of("pause \"My \"\"Db\"\"\""), "pause \"My \"Db\"\";");
	ck_assert_str_eq(words_of("pause\"a\""), "pause \"a\";");
	ck_assert_str_eq(words_of("set a='it''s; -- so'"), "set a = 'it's; -- so';");
	ck_assert_str_eq(words_of("set a=''"), "set a = '';");
	ck_assert_str_eq(words_of("set a = -1.5e3"), "set a = -1.5e3;");
	ck_assert_str_eq(words_of("show--pools\npools"), "show pools;");
	ck_assert_str_eq(words_of("show/* a /* b */ c */pools"), "show pools;");
	ck_assert_str_eq(words_of("pause d\xc3\xa9j\xc3\xa0"), "pause d\xc3\xa9j\xc3\xa0;");
	ck_assert_str_eq(words_of("f(1, $2)"), "f ( 1 , $2 );");
}
END_TEST

START_TEST(words_that_do_not_end)
{
	char text[2 * QUERY_TEXT_BYTES];

	ck_assert_str_eq(words_of("pause \"a"), "unterminated quoted identifier");
	ck_assert_str_eq(words_of("pause \"a\"\""), "unterminated quoted identifier");
	ck_assert_str_eq(words_of("set a = 'b"), "unterminated quoted string");
	ck_assert_str_eq(words_of("show /* /* */ pools"), "unterminated /* comment");
	ck_assert_str_eq(words_of("1 2 3 4 5 6 7 8 9 10 11 12 13"), "the statement has too many words");
	memset(text, 'a', sizeof(text));
	text[QUERY_TEXT_BYTES] = '\0';
	ck_assert_str_eq(words_of(text), "the statement is too long");
	text[QUERY_TEXT_BYTES - 1] = '\0';
	ck_assert_uint_eq(strlen(words_of(text)), QUERY_TEXT_BYTES); /* and the semicolon */
}
END_TEST

/* ---- averages ---- */

/* Trap 89. A recorded trace: what a pool had counted at the end of each period of 10 s, and what PgBouncer's formulas, done
 * by hand, make of it. */
START_TEST(averages_of_a_recorded_trace)
{
	struct averages averages;
	struct totals now = { { 0 } }, grown, average;
	uint64_t start_us = 1000000000;

	averages_init(&averages, start_us);

	/* 4 s after the start: 80 queries in 40 transactions, 2 s of waiting for 40 servers. */
	now.value[STAT_QUERY_COUNT] = 80;
	now.value[STAT_QUERY_TIME] = 1600000;
	now.value[STAT_XACT_COUNT] = 40;
	now.value[STAT_XACT_TIME] = 2400000;
	now.value[STAT_SERVER_ASSIGNMENT_COUNT] = 40;
	now.value[STAT_WAIT_TIME] = 2000000;
	now.value[STAT_RECEIVED] = 4096;
	now.value[STAT_CLIENT_LOGIN_COUNT] = 3;
	memset(&grown, 0, sizeof(grown));
	averages_add_growth(&averages, 7, &now, &grown);
	averages_of(&averages, &grown, start_us + 4 * USEC_PER_SEC, &average);
	ck_assert_uint_eq(average.value[STAT_QUERY_COUNT], 20); /* a second */
	ck_assert_uint_eq(average.value[STAT_XACT_COUNT], 10);
	ck_assert_uint_eq(average.value[STAT_QUERY_TIME], 20000); /* a query */
	ck_assert_uint_eq(average.value[STAT_XACT_TIME], 60000);  /* a transaction */
	ck_assert_uint_eq(average.value[STAT_WAIT_TIME], 50000);  /* a server that was assigned */
	ck_assert_uint_eq(average.value[STAT_RECEIVED], 1024);
	ck_assert_uint_eq(average.value[STAT_CLIENT_LOGIN_COUNT], 0); /* 3 in 4 s: whole numbers */

	/* 10 s: the period ends with the same counters; the average now runs from the start. */
	averages_turn(&averages, start_us + 10 * USEC_PER_SEC);
	averages_note(&averages, 7, &now);
	averages_forget_missing(&averages);
	memset(&grown, 0, sizeof(grown));
	averages_add_growth(&averages, 7, &now, &grown);
	averages_of(&averages, &grown, start_us + 10 * USEC_PER_SEC, &average);
	ck_assert_uint_eq(average.value[STAT_QUERY_COUNT], 8);
	ck_assert_uint_eq(average.value[STAT_QUERY_TIME], 20000);

	/* 20 s: 20 more queries of 1 s in all. From now on the first period is forgotten. */
	now.value[STAT_QUERY_COUNT] += 20;
	now.value[STAT_QUERY_TIME] += 1000000;
	averages_turn(&averages, start_us + 20 * USEC_PER_SEC);
	averages_note(&averages, 7, &now);
	averages_forget_missing(&averages);
	memset(&grown, 0, sizeof(grown));
	averages_add_growth(&averages, 7, &now, &grown);
	averages_of(&averages, &grown, start_us + 20 * USEC_PER_SEC, &average);
	ck_assert_uint_eq(average.value[STAT_QUERY_COUNT], 2);
	ck_assert_uint_eq(average.value[STAT_QUERY_TIME], 50000);
	ck_assert_uint_eq(average.value[STAT_WAIT_TIME], 0); /* nobody waited */

	/* 25 s: half a period later 10 more, and the average covers 15 s. */
	now.value[STAT_QUERY_COUNT] += 10;
	memset(&grown, 0, sizeof(grown));
	averages_add_growth(&averages, 7, &now, &grown);
	averages_of(&averages, &grown, start_us + 25 * USEC_PER_SEC, &average);
	ck_assert_uint_eq(average.value[STAT_QUERY_COUNT], 2);
	ck_assert_uint_eq(average.value[STAT_QUERY_TIME], 33333);
	averages_clear(&averages);
}
END_TEST

START_TEST(averages_do_not_overflow)
{
	struct averages averages;
	struct totals now = { { 0 } }, grown = { { 0 } }, average;

	averages_init(&averages, 0);
	now.value[STAT_SENT] = 1ull << 62;
	averages_add_growth(&averages, 1, &now, &grown);
	averages_of(&averages, &grown, 1024 * USEC_PER_SEC, &average);
	ck_assert_uint_eq(average.value[STAT_SENT], 1ull << 52);
	averages_of(&averages, &grown, 0, &average); /* no time has passed */
	ck_assert_uint_eq(average.value[STAT_SENT], 0);
	averages_clear(&averages);
}
END_TEST

START_TEST(pools_that_go_are_forgotten)
{
	struct averages averages;
	struct totals now = { { 0 } }, grown = { { 0 } };

	averages_init(&averages, 0);
	now.value[STAT_XACT_COUNT] = 5;
	averages_turn(&averages, 1);
	averages_note(&averages, 1, &now);
	averages_note(&averages, 2, &now);
	averages_forget_missing(&averages);
	averages_turn(&averages, 2);
	averages_note(&averages, 1, &now);
	averages_forget_missing(&averages);
	averages_add_growth(&averages, 1, &now, &grown);
	ck_assert_uint_eq(grown.value[STAT_XACT_COUNT], 0);
	/* Another pool of that number would be a new one; one that comes back begins anew. */
	averages_add_growth(&averages, 2, &now, &grown);
	ck_assert_uint_eq(grown.value[STAT_XACT_COUNT], 5);
	averages_clear(&averages);
}
END_TEST

/* ---- tables ---- */

/* PgBouncer 1.25.2's columns, as it sends them. t text, i int4, q int8, n numeric. Tools rely on names, order and types. */
#define SOCKET \
	"type:t user:t database:t replication:t state:t addr:t port:i local_addr:t local_port:i connect_time:t " \
	"request_time:t wait:i wait_us:i close_needed:i ptr:t link:t remote_pid:i tls:t application_name:t " \
	"prepared_statements:i id:i"
#define SOCKET_BUFFERS " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i"
static const struct {
	const char *table, *columns;
} pgbouncer[] = {
	{ "clients", SOCKET },
	{ "servers", SOCKET },
	{ "sockets", SOCKET SOCKET_BUFFERS },
	{ "active_sockets", SOCKET SOCKET_BUFFERS },
	{ "config", "key:t value:t default:t changeable:t" },
	{ "databases", "name:t host:t port:i database:t force_user:t pool_size:i min_pool_size:i reserve_pool_size:i "
		       "server_lifetime:i pool_mode:t load_balance_hosts:t max_connections:i current_connections:i "
		       "max_client_connections:i current_client_connections:i paused:i disabled:i" },
	{ "lists", "list:t items:i" },
	{ "pools",
	  "database:t user:t cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active:i "
	  "sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i "
	  "pool_mode:t load_balance_hosts:t" },
	{ "state", "key:t value:t" },
	{ "stats",
	  "database:t total_server_assignment_count:n total_xact_count:n total_query_count:n total_received:n "
	  "total_sent:n total_xact_time:n total_query_time:n total_wait_time:n total_client_parse_count:n "
	  "total_server_parse_count:n total_bind_count:n total_client_login_count:n avg_server_assignment_count:n "
	  "avg_xact_count:n avg_query_count:n avg_recv:n avg_sent:n avg_xact_time:n avg_query_time:n "
	  "avg_wait_time:n avg_client_parse_count:n avg_server_parse_count:n avg_bind_count:n "
	  "avg_client_login_count:n" },
	{ "stats_totals",
	  "database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n bytes_sent:n "
	  "xact_time:n query_time:n wait_time:n client_parse_count:n server_parse_count:n bind_count:n "
	  "client_login_count:n" },
	{ "stats_averages", "database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n "
			    "bytes_sent:n xact_time:n query_time:n wait_time:n avg_client_parse_count:n "
			    "avg_server_parse_count:n avg_bind_count:n avg_client_login_count:n" },
	{ "users", "name:t pool_size:t reserve_pool_size:t pool_mode:t max_user_connections:i current_connections:i "
		   "max_user_client_connections:i current_client_connections:i" },
	{ "totals", "name:t value:n" },
	{ "mem", "name:t size:i used:i free:i memtotal:i" },
	{ "dns_hosts", "hostname:t ttl:q addrs:t" },
	{ "version", "version:t" },
};

START_TEST(columns_are_pgbouncers_and_then_ours)
{
	static const char letters[] = {
		[TABLE_TEXT] = 't', [TABLE_INT4] = 'i', [TABLE_INT8] = 'q', [TABLE_NUMERIC] = 'n'
	};
	char columns[2048] = "";
	const struct table *table = table_find(pgbouncer[_i].table);

	ck_assert_ptr_nonnull(table);
	ck_assert_uint_le(table->column_count, TABLE_COLUMNS_MAX);
	for (unsigned i = 0; i < table->column_count; i++) {
		size_t used = strlen(columns);
		snprintf(columns + used, sizeof(columns) - used, "%s%s:%c", i ? " " : "", table->columns[i].name,
			 letters[table->columns[i].type]);
	}
	size_t expected = strlen(pgbouncer[_i].columns);
	ck_assert_msg(strncmp(columns, pgbouncer[_i].columns, expected) == 0, "%s: %s", table->name, columns);
	ck_assert(columns[expected] == '\0' || columns[expected] == ' ');
}
END_TEST

START_TEST(tables_are_found_in_any_case)
{
	unsigned count = 0;

	for (const struct table *const *it = tables; *it; it++, count++) {
		ck_assert_ptr_eq(table_find((*it)->name), *it);
		ck_assert_str_ne((*it)->help, "");
		ck_assert(!it[1] || strcmp((*it)->name, it[1]->name) < 0);
	}
	ck_assert_uint_gt(count, sizeof(pgbouncer) / sizeof(pgbouncer[0]));
	ck_assert_ptr_eq(table_find("POOLS"), table_find("pools"));
	ck_assert_ptr_null(table_find("pool"));
}
END_TEST

/* ---- results ---- */

static const struct table_column odd_columns[] = {
	{ "t", TABLE_TEXT },
	{ "i", TABLE_INT4 },
	{ "q", TABLE_INT8 },
	{ "n", TABLE_NUMERIC },
};

static void each_odd(const struct table_source *source, struct table_rows *rows)
{
	(void)source;
	row_format(rows, "%s-%d", "a", 1);
	row_number(rows, 1ull << 40); /* more than fits */
	row_number(rows, 1ull << 40);
	row_number(rows, 1234567890123ull);
	row_end(rows);
	row_text(rows, NULL);
	row_number(rows, 258);
	row_null(rows);
	row_number(rows, 0);
	row_end(rows);
}

static const struct table odd = { .name = "odd", .help = "odd", TABLE_COLUMNS(odd_columns), .each = each_odd };

static void expect_rows(const struct result_formats *formats, const char *bytes, size_t size)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;
	struct result result = { &out, formats };
	uint32_t count;

	ck_assert(table_each(&odd, &(struct table_source){ .now_us = 0 }, result_row, &result));
	ck_assert(!out.failed);
	ck_assert_uint_eq(out.length, size);
	ck_assert_mem_eq(out.data, bytes, size);
	ck_assert_uint_eq(result_first_rows(out.data, out.length, 5, &count), size);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_lt(result_first_rows(out.data, out.length, 1, &count), size);
	ck_assert_uint_eq(count, 1);
	pg_buffer_clear(&out);
}

START_TEST(values_in_text_and_binary)
{
	static const char text[] = "D\0\0\0\x3d\0\4\0\0\0\3a-1\0\0\0\12"
				   "2147483647\0\0\0\15"
				   "1099511627776\0\0\0\15"
				   "1234567890123"
				   "D\0\0\0\x1a\0\4\xff\xff\xff\xff\0\0\0\3"
				   "258\xff\xff\xff\xff\0\0\0\1"
				   "0";
	static const char binary[] =
		"D\0\0\0\x35\0\4\0\0\0\3a-1\0\0\0\4\x7f\xff\xff\xff\0\0\0\10\0\0\1\0\0\0\0\0"
		/* 1 2345 6789 0123 to the base of 10000 */
		"\0\0\0\20\0\4\0\3\0\0\0\0\0\1\x09\x29\x1a\x85\0\x7b"
		"D\0\0\0\x22\0\4\xff\xff\xff\xff\0\0\0\4\0\0\1\2\xff\xff\xff\xff\0\0\0\10\0\0\0\0\0\0\0\0";
	const struct result_formats all = { .count = 1, .binary = { true } };
	const struct result_formats each = { .count = 4, .binary = { true, true, true, true } };
	const struct result_formats none = { .count = 4 };

	expect_rows(NULL, text, sizeof(text) - 1);
	expect_rows(&none, text, sizeof(text) - 1);
	expect_rows(&all, binary, sizeof(binary) - 1);
	expect_rows(&each, binary, sizeof(binary) - 1);
	ck_assert(result_formats_fit(&all, &odd));
	ck_assert(result_formats_fit(&each, &odd));
	ck_assert(!result_formats_fit(&(struct result_formats){ .count = 3 }, &odd));
}
END_TEST

START_TEST(formats_of_a_bind)
{
	struct result_formats formats = { 0 };
	struct pg_reader reader;

	pg_reader_init(&reader, "\0\2\0\1\0\0", 6);
	ck_assert(result_formats_read(&formats, &reader));
	ck_assert(pg_reader_done(&reader) && formats.binary[0] && !formats.binary[1]);
	pg_reader_init(&reader, "\0\1\0\2", 4);
	ck_assert(!result_formats_read(&formats, &reader));
	pg_reader_init(&reader, "\xff\xff", 2);
	ck_assert(!result_formats_read(&formats, &reader));
}
END_TEST

Suite *console_parts_suite(void);
Suite *console_parts_suite(void)
{
	Suite *suite = suite_create("console_parts");
	TCase *parts = tcase_create("parts");

	tcase_add_test(parts, words);
	tcase_add_test(parts, words_that_do_not_end);
	tcase_add_test(parts, averages_of_a_recorded_trace);
	tcase_add_test(parts, averages_do_not_overflow);
	tcase_add_test(parts, pools_that_go_are_forgotten);
	tcase_add_loop_test(parts, columns_are_pgbouncers_and_then_ours, 0,
			    (int)(sizeof(pgbouncer) / sizeof(pgbouncer[0])));
	tcase_add_test(parts, tables_are_found_in_any_case);
	tcase_add_test(parts, values_in_text_and_binary);
	tcase_add_test(parts, formats_of_a_bind);
	suite_add_tcase(suite, parts);
	return suite;
}
