/* SHOW STATS, SHOW STATS_TOTALS, SHOW STATS_AVERAGES, SHOW TOTALS */

#include "pooler/console/database_stats.h"
#include "pooler/console/tables.h"

static const struct table_column stats_columns[] = {
	{ "database", TABLE_TEXT },
	{ "total_server_assignment_count", TABLE_NUMERIC },
	{ "total_xact_count", TABLE_NUMERIC },
	{ "total_query_count", TABLE_NUMERIC },
	{ "total_received", TABLE_NUMERIC },
	{ "total_sent", TABLE_NUMERIC },
	{ "total_xact_time", TABLE_NUMERIC },
	{ "total_query_time", TABLE_NUMERIC },
	{ "total_wait_time", TABLE_NUMERIC },
	{ "total_client_parse_count", TABLE_NUMERIC },
	{ "total_server_parse_count", TABLE_NUMERIC },
	{ "total_bind_count", TABLE_NUMERIC },
	{ "total_client_login_count", TABLE_NUMERIC },
	{ "avg_server_assignment_count", TABLE_NUMERIC },
	{ "avg_xact_count", TABLE_NUMERIC },
	{ "avg_query_count", TABLE_NUMERIC },
	{ "avg_recv", TABLE_NUMERIC },
	{ "avg_sent", TABLE_NUMERIC },
	{ "avg_xact_time", TABLE_NUMERIC },
	{ "avg_query_time", TABLE_NUMERIC },
	{ "avg_wait_time", TABLE_NUMERIC },
	{ "avg_client_parse_count", TABLE_NUMERIC },
	{ "avg_server_parse_count", TABLE_NUMERIC },
	{ "avg_bind_count", TABLE_NUMERIC },
	{ "avg_client_login_count", TABLE_NUMERIC },
};

static const struct table_column totals_columns[] = {
	{ "database", TABLE_TEXT },
	{ "server_assignment_count", TABLE_NUMERIC },
	{ "xact_count", TABLE_NUMERIC },
	{ "query_count", TABLE_NUMERIC },
	{ "bytes_received", TABLE_NUMERIC },
	{ "bytes_sent", TABLE_NUMERIC },
	{ "xact_time", TABLE_NUMERIC },
	{ "query_time", TABLE_NUMERIC },
	{ "wait_time", TABLE_NUMERIC },
	{ "client_parse_count", TABLE_NUMERIC },
	{ "server_parse_count", TABLE_NUMERIC },
	{ "bind_count", TABLE_NUMERIC },
	{ "client_login_count", TABLE_NUMERIC },
};

static const struct table_column averages_columns[] = {
	{ "database", TABLE_TEXT },
	{ "server_assignment_count", TABLE_NUMERIC },
	{ "xact_count", TABLE_NUMERIC },
	{ "query_count", TABLE_NUMERIC },
	{ "bytes_received", TABLE_NUMERIC },
	{ "bytes_sent", TABLE_NUMERIC },
	{ "xact_time", TABLE_NUMERIC },
	{ "query_time", TABLE_NUMERIC },
	{ "wait_time", TABLE_NUMERIC },
	{ "avg_client_parse_count", TABLE_NUMERIC },
	{ "avg_server_parse_count", TABLE_NUMERIC },
	{ "avg_bind_count", TABLE_NUMERIC },
	{ "avg_client_login_count", TABLE_NUMERIC },
};

static const struct table_column all_columns[] = {
	{ "name", TABLE_TEXT },
	{ "value", TABLE_NUMERIC },
};

/* The order of all these columns, and what SHOW TOTALS calls them. */
static const struct {
	unsigned stat;
	const char *name;
} order[STATS] = {
	{ STAT_SERVER_ASSIGNMENT_COUNT, "server_assignment_count" },
	{ STAT_XACT_COUNT, "xact_count" },
	{ STAT_QUERY_COUNT, "query_count" },
	{ STAT_RECEIVED, "client_bytes" },
	{ STAT_SENT, "server_bytes" },
	{ STAT_XACT_TIME, "xact_time" },
	{ STAT_QUERY_TIME, "query_time" },
	{ STAT_WAIT_TIME, "wait_time" },
	{ STAT_CLIENT_PARSE_COUNT, "ps_client_parse_count" },
	{ STAT_SERVER_PARSE_COUNT, "ps_server_parse_count" },
	{ STAT_BIND_COUNT, "ps_bind_count" },
	{ STAT_CLIENT_LOGIN_COUNT, "client_login_count" },
};

static void number_columns(struct table_rows *rows, const struct totals *totals)
{
	for (unsigned i = 0; i < STATS; i++)
		row_number(rows, totals->value[order[i].stat]);
}

/* ---- by database ---- */

struct walk {
	struct table_rows *rows;
	bool totals;
	bool averages;
};

static void database_row(void *context, const struct database_stats *stats)
{
	const struct walk *walk = context;

	row_text(walk->rows, stats->database);
	if (walk->totals)
		number_columns(walk->rows, &stats->total);
	if (walk->averages)
		number_columns(walk->rows, &stats->average);
	row_end(walk->rows);
}

static void by_database(const struct table_source *source, struct table_rows *rows, bool totals, bool averages)
{
	struct walk walk = { rows, totals, averages };

	if (!database_stats_each(source->averages, source->console, source->now_us, database_row, &walk))
		row_fail(rows);
}

static void each_stats(const struct table_source *source, struct table_rows *rows)
{
	by_database(source, rows, true, true);
}

static void each_totals(const struct table_source *source, struct table_rows *rows)
{
	by_database(source, rows, true, false);
}

static void each_averages(const struct table_source *source, struct table_rows *rows)
{
	by_database(source, rows, false, true);
}

const struct table table_stats = {
	.name = "stats",
	.help = "what each database has counted, and its averages over the last stats_period",
	TABLE_COLUMNS(stats_columns),
	.each = each_stats,
};

const struct table table_stats_totals = {
	.name = "stats_totals",
	.help = "the totals of SHOW STATS",
	TABLE_COLUMNS(totals_columns),
	.each = each_totals,
};

const struct table table_stats_averages = {
	.name = "stats_averages",
	.help = "the averages of SHOW STATS",
	TABLE_COLUMNS(averages_columns),
	.each = each_averages,
};

/* ---- all together ---- */

static void each_all(const struct table_source *source, struct table_rows *rows)
{
	struct database_stats stats;

	database_stats_all(source->averages, source->console, source->now_us, &stats);
	for (unsigned i = 0; i < STATS; i++) {
		row_format(rows, "total_%s", order[i].name);
		row_number(rows, stats.total.value[order[i].stat]);
		row_end(rows);
	}
	for (unsigned i = 0; i < STATS; i++) {
		row_format(rows, "avg_%s", order[i].name);
		row_number(rows, stats.average.value[order[i].stat]);
		row_end(rows);
	}
}

const struct table table_totals = {
	.name = "totals",
	.help = "SHOW STATS over all databases",
	TABLE_COLUMNS(all_columns),
	.each = each_all,
};
