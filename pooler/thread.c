#define _GNU_SOURCE 1 /* pthread_setname_np */

#include "pooler/thread.h"

#include <errno.h>
#include <signal.h>

bool thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument, const char *name)
{
	sigset_t all;
	sigset_t before;

	/* The new thread inherits the mask: set before it runs, there is no moment in which a signal can hit it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, NULL, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		errno = error;
		return false;
	}
	pthread_setname_np(*thread, name);
	return true;
}
