#define _GNU_SOURCE 1 /* pthread_cond_clockwait */

#include "pooler/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pooler/clock.h"
#include "pooler/thread.h"

/* What goes out in one write. A pipe that poll calls writable takes so much without blocking, and whole. */
#define LOG_CHUNK_BYTES ((size_t)PIPE_BUF)
/* How long lines gather after the first one. */
#define LOG_GATHER_NS 5000000
/* How often a writer in front of a full pipe looks whether it has been told to end. */
#define LOG_POLL_MS 50
/* How long log_close waits beyond its time before it leaves a writer behind that hangs in write (a dead file server). */
#define LOG_GRACE_US (4u * LOG_POLL_MS * USEC_PER_MS)

_Static_assert(2 * LOG_LINE_BYTES <= LOG_CHUNK_BYTES, "a chunk must hold a whole line wherever it begins");

/* Whole lines, in a ring. */
static struct {
	pthread_mutex_t lock;   /* held to copy a few KB at most, never across a system call on stderr */
	pthread_cond_t filled;  /* or closing: a resting writer has work */
	pthread_cond_t hurried; /* half full, or closing: a gathering writer has waited long enough */
	pthread_cond_t ended;   /* open is false */
	pthread_t writer;
	/* shared: lock, all of these */
	bool resting; /* the writer waits for the next line */
	bool open;    /* lines are queued, and the writer runs */
	bool closing;
	uint64_t close_by_us;
	uint64_t dropped;
	uint64_t dropped_told; /* as far as a line of the log has said it */
	size_t start;
	size_t length;
	char bytes[LOG_QUEUE_BYTES];
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
	    .filled = PTHREAD_COND_INITIALIZER,
	    .hurried = PTHREAD_COND_INITIALIZER,
	    .ended = PTHREAD_COND_INITIALIZER };

int log_threshold = LOG_LEVEL_LOG;

/* ---- one line ---- */

static const char *const level_names[] = {
	[LOG_LEVEL_FATAL] = "FATAL", [LOG_LEVEL_ERROR] = "ERROR", [LOG_LEVEL_WARNING] = "WARNING",
	[LOG_LEVEL_LOG] = "LOG",     [LOG_LEVEL_DEBUG] = "DEBUG", [LOG_LEVEL_NOISE] = "NOISE",
};

static size_t log_print_head(enum log_level level, char line[LOG_LINE_BYTES])
{
	uint64_t now_us = clock_wall_us();
	time_t seconds = (time_t)(now_us / USEC_PER_SEC);
	unsigned milliseconds = (unsigned)(now_us % USEC_PER_SEC / USEC_PER_MS);
	struct tm utc;

	gmtime_r(&seconds, &utc);
	size_t bytes = strftime(line, LOG_LINE_BYTES, "%Y-%m-%d %H:%M:%S", &utc);
	return bytes + (size_t)snprintf(line + bytes, LOG_LINE_BYTES - bytes, ".%03u UTC [%ld] %s ", milliseconds,
					(long)getpid(), level_names[level]);
}

/* Names and messages of peers stand in lines: they must not forge lines nor speak to a terminal. C2 80 to C2 9F are the
 * terminal controls that UTF-8 has beyond ASCII's. */
static void log_defuse(char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == 0x7f)
			text[i] = '?';
		else if (c == 0xc2 && i + 1 < bytes && ((unsigned char)text[i + 1] & 0xe0) == 0x80)
			text[i] = text[i + 1] = '?';
	}
}

/* Returns the length, with the newline that ends the line in place of a NUL. */
static size_t log_print(enum log_level level, char line[LOG_LINE_BYTES], const char *format, va_list arguments)
{
	size_t head = log_print_head(level, line);
	size_t room = LOG_LINE_BYTES - head;
	int wanted = vsnprintf(line + head, room, format, arguments);
	size_t bytes = wanted < 0 ? 0 : (size_t)wanted;

	if (bytes >= room) {
		bytes = room - 1;
		memcpy(line + LOG_LINE_BYTES - 4, "...", 3);
	}
	log_defuse(line + head, bytes);
	line[head + bytes] = '\n';
	return head + bytes + 1;
}

__attribute__((format(printf, 3, 4))) static size_t log_format(enum log_level level, char line[LOG_LINE_BYTES],
							       const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	size_t bytes = log_print(level, line, format, arguments);
	va_end(arguments);
	return bytes;
}

/* ---- the queue; all under its lock ---- */

static bool queue_append(const char *line, size_t bytes)
{
	if (bytes > sizeof(queue.bytes) - queue.length)
		return false;
	size_t end = (queue.start + queue.length) % sizeof(queue.bytes);
	size_t first = sizeof(queue.bytes) - end < bytes ? sizeof(queue.bytes) - end : bytes;
	memcpy(queue.bytes + end, line, first);
	memcpy(queue.bytes, line + first, bytes - first);
	queue.length += bytes;
	return true;
}

static void queue_peek(char *out, size_t bytes)
{
	size_t first = sizeof(queue.bytes) - queue.start < bytes ? sizeof(queue.bytes) - queue.start : bytes;

	memcpy(out, queue.bytes + queue.start, first);
	memcpy(out + first, queue.bytes, bytes - first);
}

/* Moves whole lines out. */
static size_t queue_take(char chunk[LOG_CHUNK_BYTES])
{
	size_t bytes = queue.length < LOG_CHUNK_BYTES ? queue.length : LOG_CHUNK_BYTES;

	queue_peek(chunk, bytes);
	while (bytes > 0 && chunk[bytes - 1] != '\n')
		bytes--;
	queue.start = (queue.start + bytes) % sizeof(queue.bytes);
	queue.length -= bytes;
	return bytes;
}

/* Tells of lost lines, where it is due. False: there is no room for it. */
static bool queue_tell_dropped(void)
{
	char line[LOG_LINE_BYTES];
	uint64_t lost = queue.dropped - queue.dropped_told;

	if (!lost)
		return true;
	if (sizeof(queue.bytes) - queue.length < LOG_LINE_BYTES)
		return false; /* before the work of printing it: so it is for every line while stderr stands still */
	size_t bytes = log_format(LOG_LEVEL_WARNING, line, "the log lost %llu lines here, %llu since the start",
				  (unsigned long long)lost, (unsigned long long)queue.dropped);
	queue.dropped_told = queue.dropped;
	return queue_append(line, bytes);
}

static uint64_t count_lines(const char *text, size_t bytes)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n';
	return lines;
}

/* ---- writing ---- */

/* True: stderr is writable, or has an error that write will tell. False: not within `wait_ms`. */
static bool stderr_is_ready(int wait_ms)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&out, 1, wait_ms) != 0;
}

static bool log_is_out_of_time(void)
{
	pthread_mutex_lock(&queue.lock);
	bool out_of_time = queue.closing && clock_now_us() >= queue.close_by_us;
	pthread_mutex_unlock(&queue.lock);
	return out_of_time;
}

static void log_count_dropped(uint64_t lines)
{
	pthread_mutex_lock(&queue.lock);
	queue.dropped += lines;
	pthread_mutex_unlock(&queue.lock);
}

/* False: stderr refused it or the time is over; what is left of the chunk is counted as lost. */
static bool log_put_out(const char *chunk, size_t bytes)
{
	size_t at = 0;

	while (at < bytes) {
		if (!stderr_is_ready(LOG_POLL_MS)) {
			if (log_is_out_of_time())
				break;
			continue;
		}
		ssize_t count = write(STDERR_FILENO, chunk + at, bytes - at);
		if (count > 0)
			at += (size_t)count;
		else if (count < 0 && errno != EINTR && errno != EAGAIN)
			break;
	}
	if (at == bytes)
		return true;
	log_count_dropped(count_lines(chunk + at, bytes - at));
	return false;
}

/* Until there is something to write. Lines come in bursts: the writer lets a few gather, so that a thousand logins a second do
 * not wake it a thousand times. With queue.lock held. */
static void log_rest(void)
{
	struct timespec until;

	queue.resting = true;
	while (!queue.length && !queue.closing)
		pthread_cond_wait(&queue.filled, &queue.lock);
	queue.resting = false;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOG_GATHER_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (queue.length < LOG_QUEUE_BYTES / 2 && !queue.closing)
		if (pthread_cond_clockwait(&queue.hurried, &queue.lock, CLOCK_MONOTONIC, &until) != 0)
			break;
}

/* The next chunk, when there is one. 0: the log is closed, and nothing is queued any more. `healthy`: the last chunk went
 * out. While stderr refuses lines the writer must not add its own about lost ones: it would never come to rest. */
static size_t log_next_chunk(char chunk[LOG_CHUNK_BYTES], bool healthy)
{
	pthread_mutex_lock(&queue.lock);
	if (healthy && !queue.length)
		queue_tell_dropped();
	if (!queue.length && !queue.closing)
		log_rest();
	if (queue.closing && clock_now_us() >= queue.close_by_us) {
		for (size_t bytes; (bytes = queue_take(chunk)) > 0;)
			queue.dropped += count_lines(chunk, bytes);
	}
	size_t bytes = queue_take(chunk);
	if (!bytes) {
		queue.open = false; /* in one breath with finding it empty: no line is left behind */
		pthread_cond_signal(&queue.ended);
	}
	pthread_mutex_unlock(&queue.lock);
	return bytes;
}

static void *log_run(void *unused)
{
	char chunk[LOG_CHUNK_BYTES];
	bool healthy = true;
	size_t bytes;

	(void)unused;
	while ((bytes = log_next_chunk(chunk, healthy)) > 0)
		healthy = log_put_out(chunk, bytes);
	return NULL;
}

/* Without the writer. This may be a thread that has SIGPIPE unblocked, and nobody promises that it is ignored. */
static void log_write_direct(const char *line, size_t bytes)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t broken_pipe;
	sigset_t before;

	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
	ssize_t count = stderr_is_ready(LOG_DIRECT_WAIT_MS) ? write(STDERR_FILENO, line, bytes) : 0;
	if (count < 0 && errno == EPIPE && !sigismember(&before, SIGPIPE))
		sigtimedwait(&broken_pipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (count <= 0)
		log_count_dropped(1);
}

/* True: the line was queued or dropped. False: the log is not open. */
static bool log_enqueue(const char *line, size_t bytes)
{
	pthread_mutex_lock(&queue.lock);
	bool open = queue.open;
	if (open && !(queue_tell_dropped() && queue_append(line, bytes)))
		queue.dropped++;
	bool wake = open && queue.resting;
	bool hurry = open && queue.length >= LOG_QUEUE_BYTES / 2;
	pthread_mutex_unlock(&queue.lock);
	if (wake)
		pthread_cond_signal(&queue.filled);
	if (hurry)
		pthread_cond_signal(&queue.hurried);
	return open;
}

void log_write(enum log_level level, const char *format, ...)
{
	int error = errno; /* a %m in the format, and the caller's own use of it afterwards */
	char line[LOG_LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	size_t bytes = log_print(level, line, format, arguments);
	va_end(arguments);
	if (!log_enqueue(line, bytes))
		log_write_direct(line, bytes);
	errno = error;
}

bool log_open(void)
{
	pthread_mutex_lock(&queue.lock);
	queue.open = true;
	queue.closing = false;
	pthread_mutex_unlock(&queue.lock);
	if (thread_start(&queue.writer, log_run, NULL, "log"))
		return true;
	int error = errno;
	pthread_mutex_lock(&queue.lock);
	queue.open = false;
	pthread_mutex_unlock(&queue.lock);
	errno = error;
	return false;
}

/* Tells the writer to end. True: it has. False: it hangs in write. */
static bool log_end_writer(uint64_t wait_us)
{
	queue.close_by_us = clock_now_us() + wait_us;
	queue.closing = true;
	pthread_cond_signal(&queue.hurried);
	pthread_cond_signal(&queue.filled);
	uint64_t until_us = queue.close_by_us + LOG_GRACE_US;
	struct timespec until = { (time_t)(until_us / USEC_PER_SEC), (long)(until_us % USEC_PER_SEC * 1000) };
	while (queue.open) {
		if (pthread_cond_clockwait(&queue.ended, &queue.lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT)
			break;
	}
	bool ended = !queue.open;
	queue.open = false; /* a hanging writer has the queue until the process ends; the others write directly */
	return ended;
}

void log_close(uint64_t wait_us)
{
	pthread_mutex_lock(&queue.lock);
	bool was_open = queue.open && !queue.closing;
	bool ended = was_open && log_end_writer(wait_us);
	pthread_mutex_unlock(&queue.lock);
	if (ended)
		pthread_join(queue.writer, NULL);
	else if (was_open)
		pthread_detach(queue.writer);
}

void log_set_verbosity(int verbosity)
{
	int threshold = LOG_LEVEL_LOG + (verbosity < -1 ? -1 : verbosity > 2 ? 2 : verbosity);

	__atomic_store_n(&log_threshold, threshold, __ATOMIC_RELAXED);
}

uint64_t log_dropped(void)
{
	pthread_mutex_lock(&queue.lock);
	uint64_t dropped = queue.dropped;
	pthread_mutex_unlock(&queue.lock);
	return dropped;
}
