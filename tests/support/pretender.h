/*
 * A server that is none: it takes connections on a port of its own and says what the test tells it to, right or wrong.
 *
 * `behave` runs in a thread for each connection and talks by the functions below; when it returns the connection is closed.
 */
#ifndef TESTS_SUPPORT_PRETENDER_H
#define TESTS_SUPPORT_PRETENDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/build.h"

struct pretender {
	int fd;
	uint16_t port;
	pthread_t thread;
	void (*behave)(struct pretender *pretender, int fd);
	atomic_int connections; /* logins that were tried; cancel requests are not counted */
	atomic_int cancels;
	void *context; /* the test's */
};

void pretender_start(struct pretender *pretender, void (*behave)(struct pretender *pretender, int fd));
/* No new connections; those that are there end with the test. */
void pretender_stop(struct pretender *pretender);

/* Sends all of it, and empties it. False: the other side has gone. */
bool pretend_send(int fd, struct pg_buffer *out);
bool pretend_send_bytes(int fd, const void *data, size_t bytes);
/* Reads one message with a type byte; its body goes to `body` as far as it fits. 0: the other side has gone. */
uint8_t pretend_read(int fd, void *body, size_t body_bytes);
/* AuthenticationOk, some parameters, BackendKeyData of `key_bytes` (0: none), ReadyForQuery. */
bool pretend_login(int fd, size_t key_bytes);
/* Answers every Query with no rows until the client goes. */
void pretend_answer_queries(int fd);

#endif
