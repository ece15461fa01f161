/*
 * The tracker against a model of the backend: long random conversations, with random delays in both directions. After every
 * step: free is never said too early, and is said once all is at rest; no answer of the backend is called bad; each
 * answer is attributed to the message that it answers.
 *
 * PGWEIR_SEED repeats a run, PGWEIR_STEPS makes it longer.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/flow.h"
#include "tests/unit/flow_model.h"

#define STEPS 5000000ul
#define TRACE 80u
/* A conversation in which the tracker lost the thread is given up after this many answers. */
#define LOST_ANSWERS_MAX 30u

/* How the client behaves for a while. */
enum habit {
	HABIT_PIPELINES, /* sends whatever it likes */
	HABIT_PLANS,     /* sends what drivers send */
	HABIT_WAITS,     /* sends a bit, and waits until all is quiet */
	HABIT_GONE,      /* the client has vanished; the pooler cleans up */
	HABITS
};

struct run {
	struct model model;
	struct pg_flow flow;
	uint64_t seed;
	unsigned long step;
	enum habit habit;
	const char *plan; /* HABIT_PLANS: what it sends next */
	bool waiting;     /* HABIT_WAITS: nothing is sent until all is at rest */
	bool resyncing;   /* an empty Query was sent, and its answer has not come */
	unsigned statements_open;
	unsigned lost_answers;
	unsigned long noted;
	char trace[TRACE][4]; /* direction, type, status */
	/* How often what is worth testing was seen. */
	unsigned long free_seen, uncertain_seen, settled_seen, lost_seen, resyncs, unwound, ended;
};

static void print_trace(const struct run *run)
{
	fprintf(stderr, "flow model: PGWEIR_SEED=%llu, step %lu; > to the server, < from it:\n",
		(unsigned long long)run->seed, run->step);
	for (unsigned long i = run->noted > TRACE ? run->noted - TRACE : 0; i < run->noted; i++)
		fprintf(stderr, "%s ", run->trace[i % TRACE]);
	fprintf(stderr, "\n");
}

#define require(run, condition) \
	do { \
		if (!(condition)) { \
			print_trace(run); \
			ck_abort_msg("PGWEIR_SEED=%llu, step %lu: %s", (unsigned long long)(run)->seed, (run)->step, \
				     #condition); \
		} \
	} while (0)

static void note(struct run *run, char direction, uint8_t type, uint8_t status)
{
	char *trace = run->trace[run->noted++ % TRACE];

	trace[0] = direction;
	trace[1] = (char)type;
	trace[2] = (char)status;
	trace[3] = '\0';
}

static bool is_statement(uint8_t type)
{
	return type == 'P' || type == 'C';
}

/* ---- one connection after the other ---- */

static void begin_connection(struct run *run)
{
	uint64_t random = run->model.random;

	model_init(&run->model, random);
	run->model.loses_sync = model_chance(&run->model, 200);
	run->model.implicit = model_chance(&run->model, 200);
	run->model.is_walsender = model_chance(&run->model, 100);
	run->model.times_out = model_chance(&run->model, 200);
	pg_flow_init(&run->flow);
	run->waiting = false;
	run->resyncing = false;
	run->statements_open = 0;
	run->lost_answers = 0;
}

static void end_connection(struct run *run)
{
	pg_flow_clear(&run->flow);
	run->ended++;
	begin_connection(run);
}

static void begin_habit(struct run *run)
{
	struct model *model = &run->model;

	run->habit = (enum habit)model_random(model, HABITS);
	run->plan = "";
	run->waiting = false;
	model->odds.fails = 20 + model_random(model, 2) * 150;
	model->odds.copies = model_random(model, 4) * 250;
	model->odds.fails_in_copy = model_random(model, 3) * 40;
	model->odds.notices = 20;
}

/* ---- sending ---- */

static void send(struct run *run, uint8_t type, bool ours, bool empty)
{
	bool lost = run->flow.lost;
	enum pg_flow_sent sent = pg_flow_client(&run->flow, type, ours);

	note(run, '>', type, ours ? '*' : ' ');
	require(run, sent == PG_FLOW_SENT || sent == PG_FLOW_SKIPPED);
	require(run, sent == PG_FLOW_SENT || type != 'S');
	if (sent == PG_FLOW_SENT && is_statement(type) && !lost)
		run->statements_open++;
	model_send(&run->model, (struct model_request){ .type = type, .ours = ours, .empty = empty });
}

/* A space waits until all is at rest. */
static uint8_t next_of_plan(struct run *run)
{
	static const char *const plans[] = {
		"PBDES",  "PBDES dcS ", "PBES ddSdcS ", "PBEH dcS ", "PBES fS ",    "Q dc ",   "QdSdc ",
		"QSdSc ", "Qdcdc ",     "PBEPBEPBES ",  "PDS BES ",  "PBEH EH CS ", "QQQ ",    "PBESPBESPBES ",
		"PBEQS ", "F ",         "PBESdcPBES ",  "PBESdSS ",  "QPBES ",      "PBEQ S ",
	};

	if (!*run->plan)
		run->plan = plans[model_random(&run->model, sizeof(plans) / sizeof(plans[0]))];
	return (uint8_t)*run->plan++;
}

static uint8_t next_liked(struct run *run)
{
	static const char liked[] = "QQQQPPPBBDEEEECSSSSSHdddccfF";
	uint8_t type = (uint8_t)liked[model_random(&run->model, sizeof(liked) - 1)];

	run->waiting = run->habit == HABIT_WAITS && model_chance(&run->model, strchr("QSF", type) ? 900 : 100);
	return type;
}

static void client_sends(struct run *run)
{
	static const char refused[] = "Xpr1Z\xff";

	if (!model_has_room(&run->model))
		return;
	if (model_chance(&run->model, 5)) {
		uint8_t type = (uint8_t)refused[model_random(&run->model, sizeof(refused) - 1)];
		require(run, run->flow.lost || pg_flow_client(&run->flow, type, false) == PG_FLOW_BAD);
		return;
	}
	uint8_t type = run->habit == HABIT_PLANS ? next_of_plan(run) : next_liked(run);
	if (type == ' ') {
		run->waiting = true;
		return;
	}
	/* Whether a time-out struck the Flush or the Query behind it, nobody can tell. */
	if (run->model.times_out && strchr("QF", type) && !(pg_flow_is_quiet(&run->flow) && !run->flow.uncertain))
		return;
	send(run, type, model_chance(&run->model, 100), false);
}

static void resync(struct run *run)
{
	note(run, '>', 'Q', '!');
	pg_flow_resync(&run->flow);
	model_send(&run->model, (struct model_request){ .type = 'Q', .ours = true, .empty = true });
	run->resyncing = true;
	run->resyncs++;
}

/* What a pooler does when its client has gone. */
static void cleanup_sends(struct run *run)
{
	if (run->resyncing || run->model.in_count + 3 > MODEL_QUEUE_MAX)
		return;
	for (const char *types = pg_flow_unwind(&run->flow); *types; types++) {
		send(run, (uint8_t)*types, true, false);
		run->unwound++;
	}
	if (!pg_flow_is_quiet(&run->flow) || run->flow.lost)
		return;
	if (run->flow.uncertain)
		resync(run);
	else
		begin_habit(run);
}

static void sends(struct run *run)
{
	if (run->habit == HABIT_GONE)
		cleanup_sends(run);
	else if (run->resyncing)
		return;
	else if (run->flow.uncertain && !run->flow.lost && pg_flow_is_quiet(&run->flow) &&
		 model_chance(&run->model, 300))
		resync(run);
	else if (!run->waiting)
		client_sends(run);
}

/* ---- receiving ---- */

static void judge(struct run *run, const struct model_answer *said, const struct pg_flow_answer *answer, bool certain)
{
	bool error = said->type == 'E';

	require(run, !answer->bad);
	if (certain) {
		require(run, answer->completed == said->completes);
		require(run, answer->ours == said->ours || said->of_nobody);
		require(run, !answer->unsolicited || (error && said->of_nobody));
		require(run, error || answer->statements_dropped == 0);
	}
	if (run->flow.lost)
		return;
	unsigned closed = answer->statements_dropped + is_statement(answer->completed);
	require(run, closed <= run->statements_open);
	run->statements_open -= closed;
}

static void receives(struct run *run)
{
	if (!run->model.out_count)
		return;
	bool uncertain = run->flow.uncertain;
	struct model_answer said = model_receive(&run->model);
	note(run, '<', said.type, said.status ? said.status : ' ');
	struct pg_flow_answer answer = pg_flow_server(&run->flow, said.type, said.status);
	judge(run, &said, &answer, !uncertain);
	run->uncertain_seen += !uncertain && run->flow.uncertain;
	run->settled_seen += uncertain && !run->flow.uncertain && !run->resyncing;
	if (run->resyncing && said.type == 'Z') {
		/* What completes nothing answers a Sync of the client's that the COPY had left unread. */
		require(run, answer.ours == (answer.completed != 0));
		run->resyncing = answer.completed == 0;
		require(run, run->resyncing || !run->flow.uncertain);
	}
	if (run->flow.lost && ++run->lost_answers > LOST_ANSWERS_MAX) {
		run->lost_seen++;
		end_connection(run);
	}
}

/* ---- what must hold ---- */

static uint32_t queue_owes(const struct pg_flow *flow)
{
	uint32_t owed = 0;

	for (uint32_t i = 0; i < flow->count; i++)
		owed += strchr("QFS", flow->queue[(flow->head + i) % flow->capacity] & 0x7f) != NULL;
	return owed;
}

static void check_rest(struct run *run)
{
	const struct pg_flow *flow = &run->flow;
	const struct model *model = &run->model;

	require(run, pg_flow_is_free(flow) == model_is_free(model));
	require(run, (flow->copy == PG_FLOW_COPY_IN) == (model->mode == MODEL_COPY_IN));
	require(run, flow->skipping == model->skipping);
	require(run, flow->batch_open == model->batch || model->mode == MODEL_COPY_IN);
	require(run, flow->status == model->transaction || model->skipping || model->batch || flow->count);
	require(run, run->statements_open == 0);
	require(run, flow->count == (model->mode == MODEL_COPY_IN ? 1 : 0));
}

static void check(struct run *run)
{
	const struct pg_flow *flow = &run->flow;
	const struct model *model = &run->model;

	if (pg_flow_is_free(flow)) {
		require(run, model_is_free(model));
		run->free_seen++;
	}
	require(run, flow->ready_owed == queue_owes(flow));
	require(run, flow->doubtful <= flow->count);
	if (model->mode == MODEL_COPY_BOTH || model->dead || flow->uncertain)
		return;
	if (!model->out_count && !flow->eaten)
		require(run, flow->ready_owed == model_ready_owed(model));
	if (model_is_at_rest(model))
		check_rest(run);
}

/* With all delivered and the client gone, what the pooler sends must have brought the server back. */
static void check_waits(struct run *run)
{
	struct model *model = &run->model;

	if (model->dead && !model->out_count)
		end_connection(run);
	if (!model_is_at_rest(model) || run->flow.lost)
		return;
	run->waiting = false;
	require(run, !run->resyncing);
	if (run->habit == HABIT_GONE && !*pg_flow_unwind(&run->flow))
		require(run, pg_flow_is_quiet(&run->flow));
}

static void take_step(struct run *run)
{
	struct model *model = &run->model;

	if (run->step % 512 == 0)
		begin_habit(run);
	switch (model_random(model, 4)) {
	case 0:
		sends(run);
		break;
	case 1:
		receives(run);
		break;
	default:
		model_step(model);
		break;
	}
	check(run);
	check_waits(run);
}

static unsigned long long from_environment(const char *name, unsigned long long otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 10) : otherwise;
}

START_TEST(random_conversations)
{
	static struct run run;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	unsigned long long clock = (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
	unsigned long steps = (unsigned long)from_environment("PGWEIR_STEPS", STEPS);
	run.seed = from_environment("PGWEIR_SEED", clock);
	run.model.random = run.seed ? run.seed : 1;
	for (unsigned i = 0; i < 8; i++)
		model_random(&run.model, 2);
	begin_connection(&run);
	for (run.step = 0; run.step < steps; run.step++)
		take_step(&run);
	pg_flow_clear(&run.flow);
	/* A run that never came by the hard places proves nothing. */
	if (steps < STEPS)
		return;
	require(&run, run.free_seen > steps / 100);
	require(&run, run.uncertain_seen > 1000);
	require(&run, run.settled_seen > 500);
	require(&run, run.resyncs > 50);
	require(&run, run.unwound > 300);
	require(&run, run.ended > 100);
	require(&run, run.lost_seen > 0 && run.lost_seen < run.uncertain_seen / 2);
}
END_TEST

Suite *flow_model_suite(void)
{
	Suite *suite = suite_create("flow_model");
	TCase *model = tcase_create("model");

	tcase_set_timeout(model, 0);
	tcase_add_test(model, random_conversations);
	suite_add_tcase(suite, model);
	return suite;
}
