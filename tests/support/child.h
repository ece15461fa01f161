/*
 * Processes that a test starts. Each dies with the test, whatever becomes of it: the kernel kills it when the thread that
 * started it ends, so start children from a test's main thread.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;  /* 0: none, or ended */
	int status; /* as waitpid says, once it has ended */
};

struct child_options {
	const char *output;       /* file that stdout and stderr are appended to; NULL: the test's own */
	const char *const *extra; /* "NAME=value" added to the environment; ends with NULL; NULL: nothing */
	int parent_gone;          /* the signal that it gets when the test ends; 0: SIGKILL */
};

/* Starts argv[0], looked up in PATH, with all signals as they are by default, stdin from /dev/null and in a session of its
 * own. Fails the test when there is no process to be had; a program that cannot be executed ends with status 127. */
void child_start(struct child *child, const char *const *argv, const struct child_options *options);
/* True when it has ended by then; then pid is 0 and status is set. */
bool child_wait(struct child *child, int64_t timeout_ms);
bool child_is_running(struct child *child);
void child_signal(const struct child *child, int signal);
/* SIGKILL, and waits. Harmless when it has ended. */
void child_kill(struct child *child);
/* Ended by exit(0). */
bool child_succeeded(const struct child *child);

/* Runs a program to its end; what it wrote is appended to `output` (NULL: the test's own). Its wait status. Fails the test
 * when it takes longer than `timeout_ms`. */
int child_run(const char *const *argv, const char *const *extra, const char *output, int64_t timeout_ms);

/* A TCP port of 127.0.0.1 that is free now, below those that the kernel gives to outgoing connections. */
uint16_t free_port(void);

/* The whole of a text file, which the caller frees; "" when it cannot be read. */
char *file_text(const char *path);
/* True when the file has that text somewhere. */
bool file_contains(const char *path, const char *text);
void file_write(const char *path, const char *text);

/* A number out of /proc/PID/status, like "VmHWM" in kB; -1 when there is none. */
int64_t process_status(pid_t pid, const char *name);
/* How many descriptors it has open. */
int process_descriptors(pid_t pid);
/* True when the tests were built with a sanitizer: memory and time are then not what they are for users. */
bool built_with_sanitizer(void);

#endif
