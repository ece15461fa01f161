/*
 * Many clients at the door at the same time: each connects, logs in and stays, all driven by one thread.
 */
#ifndef TESTS_FAULTS_THRONG_H
#define TESTS_FAULTS_THRONG_H

#include <stddef.h>
#include <stdint.h>

enum throng_state {
	THRONG_CONNECTING,
	THRONG_LOGGING_IN,
	THRONG_SERVED, /* has got its ReadyForQuery */
	THRONG_REFUSED,
};

struct throng_client {
	int fd; /* -1: refused */
	enum throng_state state;
	uint8_t tail[6]; /* the last bytes that have come */
};

struct throng {
	struct throng_client *clients; /* owned */
	size_t count;
	uint16_t port;
};

/* Raises the limit of this process for descriptors where that is needed. */
void throng_open(struct throng *throng, uint16_t port, size_t count);
/* Lets them go on until each is served or refused, or the time is over. */
void throng_run(struct throng *throng, int64_t timeout_ms);
/* The same, but who is not served within `patience_ms` goes away and comes again. */
void throng_insist(struct throng *throng, int64_t timeout_ms, int64_t patience_ms);
size_t throng_count(const struct throng *throng, enum throng_state state);
void throng_close(struct throng *throng);

#endif
