#define _GNU_SOURCE 1 /* asprintf */

#include "tests/differential/differ.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many messages are shown in front of and behind the first that differs. */
#define SHOWN_BEFORE 6
#define SHOWN_BEHIND 4
/* Pieces on the server's side. */
#define RANDOM_PIECES 60
#define LONG_TALK_BYTES 40000
#define LONG_TALK_PIECES 900

bool differ_reference(struct place *place, const struct script *script, struct talk *reference, int64_t patience_ms)
{
	struct talk_options options = { .endpoint = place_direct(place),
					.super = place->super,
					.patience_ms = patience_ms };

	if (place_reset(place, script))
		return talk_run(reference, script, &options);
	memset(reference, 0, sizeof(*reference));
	snprintf(reference->failure, sizeof(reference->failure), "the schema is still locked");
	return false;
}

/* ---- telling ---- */

__attribute__((format(printf, 2, 3))) static void tell(struct pg_buffer *out, const char *format, ...)
{
	char *text;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) >= 0) {
		pg_buffer_put_bytes(out, text, strlen(text));
		free(text);
	}
	va_end(arguments);
}

static void tell_messages(struct pg_buffer *out, const char *who, const struct transcript *transcript, size_t around)
{
	size_t from = around > SHOWN_BEFORE ? around - SHOWN_BEFORE : 0;

	tell(out, "  %s (%zu messages):\n", who, transcript->count);
	for (size_t i = from; i < transcript->count && i < around + SHOWN_BEHIND; i++) {
		tell(out, "    %c %3zu ", i == around ? '>' : ' ', i);
		message_print(out, &transcript->messages[i]);
		tell(out, "\n");
	}
}

static void tell_differences(struct pg_buffer *out, const struct script *script, const struct talk *reference,
			     const struct talk *talk)
{
	for (unsigned i = 0; i < script->clients; i++) {
		size_t at[2];
		if (!transcript_differs(&reference->transcripts[i], &talk->transcripts[i], script->compare, at))
			continue;
		tell(out, "client %u got something else:\n", i + 1);
		tell_messages(out, "PostgreSQL", &reference->transcripts[i], at[0]);
		tell_messages(out, "pgweir", &talk->transcripts[i], at[1]);
	}
}

const char *cut_name(enum cut cut)
{
	static const char *const names[] = { "whole", "cut at random", "cut into bytes" };

	return names[cut];
}

/* ---- one trial ---- */

static void tell_neighbour(struct pg_buffer *out, const struct neighbour *neighbour, const char *who)
{
	if (neighbour->failure[0])
		tell(out, "%s: %s", who, neighbour->failure);
}

/* What the script has left behind it: a clean session for the next one, and nobody busy. Scripts for several clients run
 * where the pool has several servers, each of which cannot be asked: there only the counters are looked at. */
static void check_afterwards(struct place *place, const struct trial *trial, struct pg_buffer *out)
{
	struct endpoint endpoint = place_pooled(place, &trial->way);
	struct neighbour visitor;

	if (!place_is_alive(place)) {
		tell(out, "pgweir has died: %s\n", place->weirs[trial->way.workers].log);
		return;
	}
	if (!trial->way.wide && !neighbour_visit(&visitor, &endpoint, trial->patience_ms))
		tell_neighbour(out, &visitor, "afterwards");
	if (!place_is_quiet(place, &trial->way, trial->patience_ms))
		tell(out, "afterwards SHOW POOLS does not come to rest\n");
}

/* Single bytes take their time: only where there are not too many of them. */
static size_t piece_bytes(const struct talk *reference, enum cut cut)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		for (size_t k = 0; k < reference->transcripts[i].count; k++)
			bytes += reference->transcripts[i].messages[k].bytes;
	if (bytes > LONG_TALK_BYTES)
		return LONG_TALK_PIECES;
	return cut == CUT_BYTES ? 1 : RANDOM_PIECES;
}

static void talk_and_check(struct place *place, const struct script *script, const struct talk *reference,
			   const struct trial *trial, struct pg_buffer *out)
{
	struct neighbour neighbour;
	struct talk talk;
	struct talk_options options = { .endpoint = place_pooled(place, &trial->way),
					.super = place->super,
					.reference = reference,
					.neighbour = trial->neighbour ? &neighbour : NULL,
					.cutter = { trial->cut, { trial->seed } },
					.patience_ms = trial->patience_ms };

	if (trial->neighbour && !neighbour_open(&neighbour, &options.endpoint, trial->patience_ms)) {
		tell_neighbour(out, &neighbour, "before");
		neighbour_close(&neighbour, 0);
		return;
	}
	/* Of a session's pool it would take the only server. */
	if (trial->neighbour && !trial->way.session)
		neighbour_begin(&neighbour);
	if (!talk_run(&talk, script, &options))
		tell(out, "%s\n", talk.failure);
	tell_differences(out, script, reference, &talk);
	talk_clear(&talk);
	if (trial->neighbour && !neighbour_close(&neighbour, trial->patience_ms))
		tell_neighbour(out, &neighbour, "meanwhile");
}

char *differ_trial(struct place *place, const struct script *script, const struct talk *reference,
		   const struct trial *trial)
{
	struct pg_buffer out = PG_BUFFER_EMPTY;

	place_split(place, trial->cut == CUT_WHOLE ? 0 : piece_bytes(reference, trial->cut));
	if (!place_reset(place, script))
		tell(&out, "the schema is still locked\n");
	else
		talk_and_check(place, script, reference, trial, &out);
	check_afterwards(place, trial, &out);
	if (out.length == 0)
		return NULL;
	char *text;
	if (asprintf(&text, "%s: %s, %s, seed %" PRIu64 "%s\n%.*s", script->name, way_name(&trial->way),
		     cut_name(trial->cut), trial->seed, trial->neighbour ? ", with another client" : "",
		     (int)out.length, (const char *)out.data) < 0)
		abort();
	pg_buffer_clear(&out);
	return text;
}
