#define _GNU_SOURCE 1 /* environ, memmem */

#include "tests/support/child.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/clock.h"

/* ---- between fork and exec ---- */

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void redirect(const char *output)
{
	int null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	if (!output)
		return;
	int file = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	dup2(file, STDOUT_FILENO);
	dup2(file, STDERR_FILENO);
}

static void become(const char *const *argv, const struct child_options *options, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, options->parent_gone ? options->parent_gone : SIGKILL);
	if (getppid() != parent) /* it was quicker */
		_exit(127);
	setsid();
	reset_signals();
	redirect(options->output);
	for (const char *const *it = options->extra; it && *it; it++)
		putenv((char *)(uintptr_t)*it);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* ---- the test's side ---- */

void child_start(struct child *child, const char *const *argv, const struct child_options *options)
{
	static const struct child_options none = { NULL, NULL, 0 };
	pid_t parent = getpid();

	fflush(NULL);
	child->status = 0;
	child->pid = fork();
	if (child->pid == 0)
		become(argv, options ? options : &none, parent);
	ck_assert_msg(child->pid > 0, "fork: %s", strerror(errno));
}

bool child_is_running(struct child *child)
{
	if (child->pid && waitpid(child->pid, &child->status, WNOHANG) == child->pid)
		child->pid = 0;
	return child->pid != 0;
}

bool child_wait(struct child *child, int64_t timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (child_is_running(child)) {
		if (now_ms() >= deadline)
			return false;
		pause_ms(2);
	}
	return true;
}

void child_signal(const struct child *child, int signal)
{
	ck_assert_int_gt(child->pid, 0);
	ck_assert_int_eq(kill(child->pid, signal), 0);
}

void child_kill(struct child *child)
{
	if (!child_is_running(child))
		return;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, &child->status, 0);
	child->pid = 0;
}

bool child_succeeded(const struct child *child)
{
	return child->pid == 0 && WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0;
}

int child_run(const char *const *argv, const char *const *extra, const char *output, int64_t timeout_ms)
{
	struct child child;

	child_start(&child, argv, &(struct child_options){ output, extra, 0 });
	bool ended = child_wait(&child, timeout_ms);
	child_kill(&child);
	ck_assert_msg(ended, "%s did not end within %lld ms", argv[0], (long long)timeout_ms);
	return child.status;
}

/* ---- ports, files, /proc ---- */

static bool port_is_free(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	close(fd);
	return bound;
}

uint16_t free_port(void)
{
	/* Tests run side by side, each a process: the pid sets them apart. */
	static unsigned state;
	if (!state)
		state = (unsigned)getpid() * 2654435761u ^ (unsigned)now_ms();

	for (int i = 0; i < 1000; i++) {
		state = state * 1103515245u + 12345u;
		uint16_t port = (uint16_t)(20000u + (state >> 8) % 12768u);
		if (port_is_free(port))
			return port;
	}
	ck_abort_msg("no free port");
}

char *file_text(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t capacity = 0;

	if (!file || getdelim(&text, &capacity, '\0', file) < 0) {
		free(text);
		text = strdup("");
	}
	if (file)
		fclose(file);
	return text;
}

bool file_contains(const char *path, const char *text)
{
	char *all = file_text(path);
	bool found = strstr(all, text) != NULL;

	free(all);
	return found;
}

void file_write(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
}

int64_t process_status(pid_t pid, const char *name)
{
	char path[64], wanted[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	snprintf(wanted, sizeof(wanted), "\n%s:", name);
	char *text = file_text(path);
	const char *found = strstr(text, wanted);
	int64_t value = found ? strtoll(found + strlen(wanted), NULL, 10) : -1;
	free(text);
	return value;
}

int process_descriptors(pid_t pid)
{
	char path[64];
	int count = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *directory = opendir(path);
	ck_assert_msg(directory != NULL, "%s: %s", path, strerror(errno));
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

bool built_with_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}
