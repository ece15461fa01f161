#include "tests/unit/flow_model.h"

#include <assert.h>
#include <string.h>

/* ---- chance ---- */

unsigned model_random(struct model *model, unsigned bound)
{
	model->random ^= model->random << 13;
	model->random ^= model->random >> 7;
	model->random ^= model->random << 17;
	return (unsigned)((model->random >> 32) % bound);
}

bool model_chance(struct model *model, unsigned in_1000)
{
	return model_random(model, 1000) < in_1000;
}

/* ---- the two queues ---- */

void model_init(struct model *model, uint64_t random)
{
	memset(model, 0, sizeof(*model));
	model->random = random;
	model->transaction = 'I';
}

bool model_has_room(const struct model *model)
{
	return model->in_count < MODEL_QUEUE_MAX;
}

void model_send(struct model *model, struct model_request request)
{
	assert(model_has_room(model));
	model->in[model->in_count++] = request;
}

static struct model_request read_request(struct model *model)
{
	struct model_request request = model->in[0];

	model->in_count--;
	memmove(model->in, model->in + 1, model->in_count * sizeof(model->in[0]));
	return request;
}

static void emit(struct model *model, struct model_answer answer)
{
	assert(model->out_count < MODEL_QUEUE_MAX);
	model->out[model->out_count++] = answer;
}

struct model_answer model_receive(struct model *model)
{
	assert(model->out_count);
	struct model_answer answer = model->out[0];
	model->out_count--;
	memmove(model->out, model->out + 1, model->out_count * sizeof(model->out[0]));
	return answer;
}

/* An answer to the current request that is not its last. */
static void answer(struct model *model, char type)
{
	emit(model, (struct model_answer){ .type = (uint8_t)type, .ours = model->current.ours });
}

/* The last answer to the current request. */
static void finish(struct model *model, char type)
{
	emit(model, (struct model_answer){
			    .type = (uint8_t)type, .ours = model->current.ours, .completes = model->current.type });
	model->mode = MODEL_READS;
}

/* ---- transactions and errors ---- */

static bool is_extended(uint8_t type)
{
	return strchr("PBDEC", type) != NULL;
}

static void abort_transaction(struct model *model)
{
	if (model->transaction == 'T')
		model->transaction = model->block_is_batch ? 'I' : 'E';
	model->block_is_batch = false;
}

static void die(struct model *model)
{
	emit(model, (struct model_answer){ .type = 'E', .of_nobody = true });
	model->dead = true;
}

/* elog(ERROR) while the current request runs. */
static void fail(struct model *model)
{
	answer(model, 'E');
	abort_transaction(model);
	model->mode = MODEL_READY;
	if (is_extended(model->current.type)) {
		model->skipping = true;
		model->mode = MODEL_READS;
	}
}

/* A statement was executed: some open a transaction, some end it. */
static void statement_done(struct model *model)
{
	answer(model, 'C');
	if (model->transaction == 'E') {
		model->transaction = 'I'; /* nothing else than ROLLBACK gets here */
	} else if (model_chance(model, 200)) {
		model->transaction = model->transaction == 'I' ? 'T' : 'I';
		model->block_is_batch = false;
	}
}

static void execute_done(struct model *model)
{
	statement_done(model);
	model->out[model->out_count - 1].completes = 'E';
	model->mode = MODEL_READS;
	if (model->implicit && model->transaction == 'I') {
		model->transaction = 'T';
		model->block_is_batch = true;
	}
}

/* The current statement has come to its CommandComplete. */
static void command_done(struct model *model)
{
	if (model->current.type == 'E') {
		execute_done(model);
		return;
	}
	statement_done(model);
	model->mode = MODEL_RUNS;
}

/* ---- execution, one answer at a time ---- */

static void begin_copy(struct model *model)
{
	if (model->is_walsender && model->current.type == 'Q' && model_chance(model, 500)) {
		answer(model, 'W');
		model->mode = MODEL_COPY_BOTH;
		model->client_copy_done = false;
		model->server_copy_done = false;
	} else if (model_chance(model, 700)) {
		answer(model, 'G');
		model->mode = MODEL_COPY_IN;
	} else {
		answer(model, 'H');
		model->mode = MODEL_COPY_OUT;
	}
}

static void begin_statement(struct model *model)
{
	bool refused = model->transaction == 'E' && !model_chance(model, 300);

	if (refused || model_chance(model, model->odds.fails))
		fail(model);
	else if (model->transaction != 'E' && model_chance(model, model->odds.copies))
		begin_copy(model);
	else if (model_chance(model, 400))
		command_done(model);
	else
		model->mode = MODEL_ROWS;
}

static void run_query(struct model *model)
{
	if (model->statements == 0) {
		model->mode = MODEL_READY;
		return;
	}
	model->statements--;
	begin_statement(model);
	if (model->mode == MODEL_ROWS)
		answer(model, 'T');
}

static void run_execute(struct model *model)
{
	if (model_chance(model, 50))
		finish(model, 'I');
	else
		begin_statement(model);
}

static void run_describe(struct model *model)
{
	if (model_chance(model, 500))
		answer(model, 't');
	finish(model, model_chance(model, 500) ? 'T' : 'n');
}

static void run(struct model *model)
{
	uint8_t type = model->current.type;

	if (type != 'Q' && type != 'E' && model_chance(model, model->odds.fails)) {
		fail(model);
		return;
	}
	switch (type) {
	case 'Q':
		run_query(model);
		break;
	case 'E':
		run_execute(model);
		break;
	case 'D':
		run_describe(model);
		break;
	case 'F':
		answer(model, 'V');
		model->mode = MODEL_READY;
		break;
	default:
		finish(model, type == 'P' ? '1' : type == 'B' ? '2' : '3');
		break;
	}
}

static void send_row(struct model *model)
{
	if (model_chance(model, model->odds.fails))
		fail(model);
	else if (model_chance(model, 600))
		answer(model, 'D');
	else if (model->current.type == 'E' && model_chance(model, 300))
		finish(model, 's');
	else
		command_done(model);
}

static void send_copy(struct model *model)
{
	if (model_chance(model, model->odds.fails_in_copy)) {
		fail(model);
	} else if (model_chance(model, 600)) {
		answer(model, 'd');
	} else {
		answer(model, 'c');
		command_done(model);
	}
}

static void be_ready(struct model *model)
{
	if (model->current.type != 'S')
		model->batch = false;
	finish(model, 'Z');
	model->out[model->out_count - 1].status = model->transaction;
}

/* ---- reading ---- */

/* CopyGetData. */
static bool read_copy(struct model *model)
{
	if (model_chance(model, model->odds.fails_in_copy)) {
		fail(model);
		return true;
	}
	if (!model->in_count)
		return false;
	switch (read_request(model).type) {
	case 'd':
	case 'H':
	case 'S':
		break;
	case 'c':
		model->mode = MODEL_COPIED;
		break;
	case 'f':
		fail(model);
		break;
	default:
		fail(model);
		if (model->loses_sync)
			die(model);
		break;
	}
	return true;
}

/* WalSndLoop and ProcessRepliesIfAny. */
static bool stream_both(struct model *model)
{
	if (model->client_copy_done && model->server_copy_done) {
		command_done(model);
		return true;
	}
	if (!model->server_copy_done && model_chance(model, 200)) {
		model->server_copy_done = model->client_copy_done || model_chance(model, 200);
		answer(model, model->server_copy_done ? 'c' : 'd');
		return true;
	}
	if (!model->in_count || model->client_copy_done)
		return !model->server_copy_done;
	uint8_t type = read_request(model).type;
	if (type == 'c')
		model->client_copy_done = true;
	else if (type != 'd')
		die(model);
	return true;
}

static void read_sync(struct model *model)
{
	bool commits = model->batch && !model->skipping && model->transaction != 'E';

	model->skipping = false;
	model->batch = false;
	if (commits && model_chance(model, model->odds.fails)) {
		answer(model, 'E');
		abort_transaction(model);
	}
	if (model->block_is_batch)
		model->transaction = 'I';
	model->block_is_batch = false;
	model->mode = MODEL_READY;
}

/* statement_timeout strikes when an open batch waits, and is noticed at the next message: a Flush fails. */
static void read_flush(struct model *model)
{
	if (!model->batch || !model->times_out || !model_chance(model, model->odds.fails))
		return;
	emit(model, (struct model_answer){ .type = 'E', .of_nobody = true });
	abort_transaction(model);
	model->skipping = true;
}

/* PostgresMain. */
static bool read_next(struct model *model)
{
	if (!model->in_count)
		return false;
	struct model_request request = read_request(model);
	if (request.type == 'S') {
		model->current = request;
		read_sync(model);
		return true;
	}
	if (model->skipping || strchr("dcf", request.type))
		return true;
	if (request.type == 'H') {
		read_flush(model);
		return true;
	}
	model->current = request;
	model->mode = MODEL_RUNS;
	if (is_extended(request.type)) {
		model->batch = true;
	} else if (request.type == 'Q') {
		model->statements = request.empty || model_chance(model, 50) ? 0 : 1 + model_random(model, 3);
		if (model->statements == 0) {
			answer(model, 'I');
			model->mode = MODEL_READY;
		}
	}
	return true;
}

bool model_step(struct model *model)
{
	if (model->dead || model->out_count + 4 > MODEL_QUEUE_MAX)
		return false;
	if (model_chance(model, model->odds.notices)) {
		static const char types[] = "NSA";
		emit(model, (struct model_answer){ .type = (uint8_t)types[model_random(model, 3)], .of_nobody = true });
	}
	switch (model->mode) {
	case MODEL_READS:
		return read_next(model);
	case MODEL_COPY_IN:
		return read_copy(model);
	case MODEL_COPY_BOTH:
		return stream_both(model);
	case MODEL_RUNS:
		run(model);
		break;
	case MODEL_ROWS:
		send_row(model);
		break;
	case MODEL_COPIED:
		if (model_chance(model, model->odds.fails_in_copy))
			fail(model);
		else
			command_done(model);
		break;
	case MODEL_COPY_OUT:
		send_copy(model);
		break;
	case MODEL_READY:
		be_ready(model);
		break;
	}
	return true;
}

/* ---- what is true of it ---- */

bool model_is_at_rest(const struct model *model)
{
	return !model->in_count && !model->out_count && (model->mode == MODEL_READS || model->mode == MODEL_COPY_IN);
}

bool model_is_free(const struct model *model)
{
	if (model->mode != MODEL_READS || model->skipping || model->batch || model->transaction != 'I' || model->dead)
		return false;
	/* What never has an answer may be on the way. */
	for (unsigned i = 0; i < model->in_count; i++)
		if (!strchr("dcfH", model->in[i].type))
			return false;
	for (unsigned i = 0; i < model->out_count; i++)
		if (!strchr("NSA", model->out[i].type))
			return false;
	return true;
}

unsigned model_ready_owed(const struct model *model)
{
	bool copies = model->mode == MODEL_COPY_IN;
	bool skips = model->skipping;
	unsigned owed = model->mode != MODEL_READS && strchr("QFS", model->current.type);

	for (unsigned i = 0; i < model->in_count; i++) {
		uint8_t type = model->in[i].type;
		if (copies) {
			copies = strchr("dHS", type) != NULL;
		} else {
			skips &= type != 'S';
			owed += !skips && strchr("QFS", type);
		}
	}
	return owed;
}
