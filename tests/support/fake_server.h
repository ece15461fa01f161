/*
 * A server that says what a test wants it to say, in place of PostgreSQL.
 *
 * Each connection has a thread of its own, which runs the test's function; it may use the calls below, and must make no
 * assertion.
 */
#ifndef TESTS_SUPPORT_FAKE_SERVER_H
#define TESTS_SUPPORT_FAKE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_server {
	int listener;
	uint16_t port;
	pthread_t thread;
	void (*serve)(int fd, const void *context); /* the descriptor is closed behind it */
	_Atomic(const void *) context;              /* borrowed; may change from one connection to the next */
	atomic_int connections;                     /* so far */
};

/* Listens on a free port of 127.0.0.1. */
void fake_server_start(struct fake_server *server, void (*serve)(int fd, const void *context), const void *context);
/* Takes no more connections; those that are there end with their peers. */
void fake_server_stop(struct fake_server *server);

/* ---- for the serving function ---- */

bool fake_send(int fd, const void *data, size_t bytes);
/* Reads one message, its type (0 for a startup packet) and its first bytes. False: the end. */
bool fake_read_startup(int fd);
bool fake_read(int fd, uint8_t *type, uint8_t *body, size_t body_bytes);
/* Reads the startup packet and answers with AuthenticationOk, a few parameters, a key and ReadyForQuery. */
bool fake_welcome(int fd);
/* Reads until the other side closes. */
void fake_wait_for_end(int fd);

#endif
