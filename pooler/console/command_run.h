/*
 * What the commands do: the functions that the table in command.c names. Each answers the call in session->out.
 *
 * Only in the main thread.
 */
#ifndef POOLER_CONSOLE_COMMAND_RUN_H
#define POOLER_CONSOLE_COMMAND_RUN_H

#include "pooler/console/command.h"

/* The modes of SHUTDOWN, in call->number: enum worker_stop. */

enum command_outcome run_show(struct call *call, struct session *session);
enum command_outcome run_set(struct call *call, struct session *session);
enum command_outcome run_reload(struct call *call, struct session *session);
enum command_outcome run_pause(struct call *call, struct session *session);
enum command_outcome run_resume(struct call *call, struct session *session);
enum command_outcome run_disable(struct call *call, struct session *session);
enum command_outcome run_enable(struct call *call, struct session *session);
enum command_outcome run_reconnect(struct call *call, struct session *session);
enum command_outcome run_wait_close(struct call *call, struct session *session);
enum command_outcome run_kill(struct call *call, struct session *session);
enum command_outcome run_kill_client(struct call *call, struct session *session);
enum command_outcome run_shutdown(struct call *call, struct session *session);
/* BEGIN and its kin. */
enum command_outcome run_transaction(struct call *call, struct session *session);
/* DISCARD ALL, RESET ALL. */
enum command_outcome run_reset(struct call *call, struct session *session);
enum command_outcome run_deallocate(struct call *call, struct session *session);

/* A CancelRequest came while the call waits: what it had begun is taken back, and the answer says so. */
void call_cancel(struct call *call, struct session *session);

#endif
