/*
 * Threads of the process. Signals belong to the main thread: every other one is started with all of them blocked, so that
 * a signal reaches the main loop and a broken pipe is an errno.
 */
#ifndef POOLER_THREAD_H
#define POOLER_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Starts `run(argument)`; `name` (at most 15 bytes) is what ps and the debugger show. False: errno says why. */
bool thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument, const char *name);

#endif
