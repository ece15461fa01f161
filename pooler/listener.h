/*
 * The sockets that clients connect to: TCP addresses and unix sockets, all on the main thread's loop.
 *
 * Each accepted descriptor (non-blocking, close-on-exec, TCP_NODELAY, keepalive as configured) goes to `accepted`, which
 * takes it. When descriptors run out (EMFILE, ENFILE) accepting pauses for LISTENER_PAUSE_S and says so in the log once
 * per pause, so the loop does not spin.
 *
 * A unix socket PATH/.s.PGSQL.PORT that is left over from a dead process is removed; one on which somebody answers is an
 * error. Sockets whose directory starts with "@" are abstract. The files are removed by listener_close, where they are
 * still ours.
 */
#ifndef POOLER_LISTENER_H
#define POOLER_LISTENER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "pooler/address.h"
#include "pooler/settings.h"

#define LISTENER_PAUSE_S 0.2
#define LISTENER_ERROR_BYTES 512 /* holds every error of listener_open */

struct listener;

/* A client: `fd` is the callee's from now on; the addresses are borrowed for the call. It may call listener_close, but not
 * listener_free. */
typedef void listener_accepted(void *context, int fd, const union address *peer, const union address *local);

/* Opens every socket that the settings name. A name that stands for several addresses ("localhost", "*") needs one of them
 * to be there on this machine. NULL: one could not be opened; `error` then says which and why. Looks names up and waits for
 * it: to be called at start. `settings` is not needed afterwards. */
struct listener *listener_open(struct ev_loop *loop, const struct settings *settings, listener_accepted *accepted,
			       void *context, char *error, size_t error_bytes);
/* After a reload: the TCP options of clients to come. The sockets stay what they are. */
void listener_configure(struct listener *listener, const struct settings *settings);
/* Stops taking new clients and closes the sockets. Safe to call twice. */
void listener_close(struct listener *listener);
/* Closes too. NULL is fine. */
void listener_free(struct listener *listener);
/* Calls `row` with each address as people write it: "127.0.0.1:6432". None once it is closed. */
void listener_each(const struct listener *listener, void (*row)(void *context, const char *address), void *context);
/* TCP options of the settings on a connected socket of either side: TCP_NODELAY, keepalive, user time-out. Harmless on a
 * unix socket. */
void listener_tune_socket(int fd, const struct settings *settings);

#endif
