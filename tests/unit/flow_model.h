/*
 * A small PostgreSQL backend, for the model test of protocol/flow.
 *
 * It does what PostgresMain, exec_* and CopyGetData do with the types of messages: reads the client's messages from a queue
 * one after the other, emits answers into another, fails, copies and skips at random. It knows nothing of the tracker.
 * Time is steps: one step reads one message, or emits one answer, or finds nothing to do.
 */
#ifndef TESTS_UNIT_FLOW_MODEL_H
#define TESTS_UNIT_FLOW_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_QUEUE_MAX 64u

struct model_request {
	uint8_t type;
	bool ours;
	bool empty; /* a Query without a statement */
};

struct model_answer {
	uint8_t type;
	uint8_t status;    /* of ReadyForQuery */
	bool ours;         /* of the request that it answers */
	uint8_t completes; /* the type of that request when this is its last answer; 0 at an ErrorResponse */
	bool of_nobody;    /* asynchronous, or an error that answers no request */
};

enum model_mode {
	MODEL_READS,    /* waits for the next message */
	MODEL_RUNS,     /* executes `current` */
	MODEL_ROWS,     /* in the middle of a result of `current` */
	MODEL_COPY_IN,  /* reads in copy mode */
	MODEL_COPIED,   /* copy mode was ended by CopyDone */
	MODEL_COPY_OUT, /* sends CopyData */
	MODEL_COPY_BOTH,
	MODEL_READY, /* only ReadyForQuery is left of `current` */
};

/* How likely things are, in 1000. */
struct model_odds {
	unsigned fails;
	unsigned copies;
	unsigned fails_in_copy; /* by itself, before it reads the next message */
	unsigned notices;
};

struct model {
	uint64_t random; /* state of the generator; not 0 */
	struct model_odds odds;
	bool loses_sync;   /* as PostgreSQL since 14: a message that is not of COPY's ends the connection */
	bool implicit;     /* as PostgreSQL since 18: a batch is a transaction block that shows in the status */
	bool is_walsender; /* COPY BOTH may happen */
	bool times_out;    /* statement_timeout may strike between two messages of a batch */
	struct model_request in[MODEL_QUEUE_MAX];
	unsigned in_count;
	struct model_answer out[MODEL_QUEUE_MAX];
	unsigned out_count;
	enum model_mode mode;
	struct model_request current;
	unsigned statements; /* of the Query, not begun yet */
	uint8_t transaction; /* as in ReadyForQuery */
	bool block_is_batch; /* the transaction is the batch's own */
	bool batch;          /* an extended message was read, and no Sync, Query or FunctionCall after it */
	bool skipping;       /* to the next Sync */
	bool client_copy_done;
	bool server_copy_done;
	bool dead; /* it closed the connection */
};

void model_init(struct model *model, uint64_t random);
/* A number below `bound`. */
unsigned model_random(struct model *model, unsigned bound);
bool model_chance(struct model *model, unsigned in_1000);

/* There is room for one more request. */
bool model_has_room(const struct model *model);
void model_send(struct model *model, struct model_request request);
/* False: it had nothing to do, or no room for an answer. */
bool model_step(struct model *model);
/* Takes the oldest answer. out_count must not be 0. */
struct model_answer model_receive(struct model *model);

/* Nothing is unread or to be sent, and what is to come depends on the client alone. (In COPY it may still fail.) */
bool model_is_at_rest(const struct model *model);
/* Somebody else could have this connection: nothing is under way, unread or not received, and no transaction is open. */
bool model_is_free(const struct model *model);
/* How many ReadyForQuery will come if nothing fails from now on. Only when out_count is 0. */
unsigned model_ready_owed(const struct model *model);

#endif
