/* SHOW POOLS */

#include "pooler/admin_state.h"
#include "pooler/console/pool_sums.h"
#include "pooler/console/tables.h"
#include "pooler/pools.h"

static const struct table_column columns[] = {
	{ "database", TABLE_TEXT },
	{ "user", TABLE_TEXT },
	{ "cl_active", TABLE_INT4 },
	{ "cl_waiting", TABLE_INT4 },
	{ "cl_active_cancel_req", TABLE_INT4 },
	{ "cl_waiting_cancel_req", TABLE_INT4 },
	{ "sv_active", TABLE_INT4 },
	{ "sv_active_cancel", TABLE_INT4 },
	{ "sv_being_canceled", TABLE_INT4 },
	{ "sv_idle", TABLE_INT4 },
	{ "sv_used", TABLE_INT4 },
	{ "sv_tested", TABLE_INT4 },
	{ "sv_login", TABLE_INT4 },
	{ "maxwait", TABLE_INT4 },
	{ "maxwait_us", TABLE_INT4 },
	{ "pool_mode", TABLE_TEXT },
	{ "load_balance_hosts", TABLE_TEXT },
	/* ours */
	{ "pool_size", TABLE_INT4 },
	{ "sv_closing", TABLE_INT4 },
	{ "paused", TABLE_INT4 },
	{ "last_error", TABLE_TEXT },
};

struct walk {
	const struct table_source *source;
	struct table_rows *rows;
	const struct pool_sums *sums;
};

/* The pool knows how many are busy; what they do is known to the servers, looked at a moment earlier. */
static void server_columns(struct table_rows *rows, const struct pool_counts *counts, const struct pool_sum *sum)
{
	uint64_t cleaned = sum->sv_tested + sum->sv_being_canceled;

	row_number(rows, counts->busy > cleaned ? counts->busy - cleaned : 0);
	row_number(rows, sum->cancels);
	row_number(rows, sum->sv_being_canceled);
	row_number(rows, counts->idle);
	row_number(rows, 0); /* none is checked before it is used again */
	row_number(rows, sum->sv_tested);
	row_number(rows, counts->opening);
}

static void mode_columns(struct table_rows *rows, const struct config *config, const struct shared_pool *shared)
{
	const struct database *database = config_find_database(config, shared->database);

	row_text(rows, pool_mode_name(database ? config_pool_mode(config, database, shared->user)
					       : config->settings.pool_mode));
	/* Several hosts are tried in their order. */
	row_text(rows, database && database->conninfo.host_count > 1 ? "disable" : NULL);
}

static void error_column(struct table_rows *rows, struct shared_pool *shared)
{
	struct pool_failure failure;

	pools_get_failure(shared, &failure);
	if (failure.sqlstate[0])
		row_format(rows, "%s: %s", failure.sqlstate, failure.message);
	else
		row_null(rows);
}

static bool pool_row(struct shared_pool *shared, void *context)
{
	const struct walk *walk = context;
	struct table_rows *rows = walk->rows;
	const struct pool_sum *sum = pool_sums_find(walk->sums, shared->id);
	struct pool_counts counts = pool_count(&shared->pool);
	uint64_t now_us = walk->source->now_us;
	uint64_t oldest_us = counts.oldest_wait_us;
	struct pool_policy policy;

	pthread_mutex_lock(&shared->pool.lock);
	policy = shared->pool.policy;
	pthread_mutex_unlock(&shared->pool.lock);
	row_text(rows, shared->database);
	row_text(rows, shared->user);
	row_number(rows, sum->cl_active);
	row_number(rows, sum->cl_waiting);
	row_number(rows, sum->cancels);
	row_number(rows, 0); /* a request is passed on at once */
	server_columns(rows, &counts, sum);
	row_duration(rows, oldest_us && now_us > oldest_us ? now_us - oldest_us : 0);
	mode_columns(rows, walk->source->config, shared);
	row_number(rows, policy.size);
	row_number(rows, counts.closing);
	row_number(rows, admin_database_is_paused(shared->database));
	error_column(rows, shared);
	row_end(rows);
	return true;
}

/* The console counts as a pool without servers. */
static void console_row(const struct table_source *source, struct table_rows *rows)
{
	row_text(rows, CONSOLE_DATABASE);
	row_text(rows, CONSOLE_DATABASE);
	row_number(rows, source->snapshot->client_states[CLIENT_CONSOLE]);
	for (unsigned i = 3; i < 15; i++)
		row_number(rows, 0);
	row_text(rows, pool_mode_name(POOL_MODE_STATEMENT));
	row_null(rows);
	for (unsigned i = 17; i < 20; i++)
		row_number(rows, 0);
	row_null(rows);
	row_end(rows);
}

static void each(const struct table_source *source, struct table_rows *rows)
{
	struct pool_sums *sums = pool_sums_create(source->snapshot);
	struct walk walk = { source, rows, sums };

	if (!sums) {
		row_fail(rows);
		return;
	}
	pools_each(pool_row, &walk);
	console_row(source, rows);
	pool_sums_free(sums);
}

const struct table table_pools = {
	.name = "pools",
	.help = "pools of server connections, one for each database and user",
	TABLE_COLUMNS(columns),
	.needs = SNAPSHOT_CLIENTS | SNAPSHOT_SERVERS,
	.each = each,
};
