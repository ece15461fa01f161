/*
 * A TCP man in the middle, in a thread of its own: it takes connections on a port and passes their bytes on to another port
 * of 127.0.0.1, well or badly. Nothing is ever reordered, lost or changed: that TCP does not do either.
 *
 * What it does is set for each direction and may be changed at any time; connections that exist follow at once. May be called
 * from any thread. Chance comes from a seed, so that a run can be had again.
 */
#ifndef TESTS_SUPPORT_MIDDLE_H
#define TESTS_SUPPORT_MIDDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct middle;

/* Up: from the side that connects to us. Down: from the side that we connect to. */
enum middle_direction { MIDDLE_UP, MIDDLE_DOWN, MIDDLE_BOTH };

/* How connections end that do not end by themselves. */
enum middle_end {
	MIDDLE_CUT,   /* both sides see an orderly end, at any place in the conversation */
	MIDDLE_RESET, /* both sides see a reset */
};

/* What new connections meet. */
enum middle_door {
	MIDDLE_OPEN,
	MIDDLE_BLACK_HOLE, /* taken, and nothing is ever said or heard */
	MIDDLE_SLAMMED,    /* taken and reset at once */
};

struct middle_way {
	int64_t delay_ms;   /* each byte arrives so much later; throughput is not bounded by it */
	size_t piece_bytes; /* it goes on in pieces of 1 to so many bytes, by chance; 0: as it came */
	bool stalled;       /* nothing is read: the sender fills the sockets' buffers and then stands still */
};

/* Listens on a free port. Fails the test when there are no descriptors or threads to be had. */
struct middle *middle_open(uint16_t target, uint64_t seed);
uint16_t middle_port(const struct middle *middle);
/* Resets what is left, and frees it. */
void middle_close(struct middle *middle);

/* Zeroed: as well as it can. */
void middle_set(struct middle *middle, enum middle_direction direction, const struct middle_way *way);
void middle_set_door(struct middle *middle, enum middle_door door);
/* From now on each new connection ends, by `how`, when it has passed 1 to `most` bytes of both directions, by chance;
 * 0: they live on. Those that exist draw a lot too. */
void middle_set_life(struct middle *middle, uint64_t most_bytes, enum middle_end how);
/* Ends the connections that exist, each by the chance of one in `one_in`; returns how many. Those in a black hole count. */
int middle_end(struct middle *middle, unsigned one_in, enum middle_end how);

/* How many connections there are now, and how many there have been, and how many ended by middle_end or their life. */
int middle_count(struct middle *middle);
uint64_t middle_count_all(struct middle *middle);
uint64_t middle_count_ended(struct middle *middle);

#endif
