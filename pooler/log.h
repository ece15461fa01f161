/*
 * The log: lines on stderr, written by a thread of its own, so that a full pipe behind stderr never stops a loop.
 *
 *      2026-01-31 12:00:00.123 UTC [4711] LOG listening on 127.0.0.1:6432
 *
 * A line is written within some milliseconds: the writer lets a burst gather.
 *
 * Callers put lines into a bounded queue (LOG_QUEUE_BYTES). When it is full a line is dropped and counted; the next line
 * that fits says how many were lost, or the writer does when it has caught up. Lines that stderr refuses (closed, no
 * reader, disk full) are dropped and counted too.
 *
 * Before log_open and after log_close lines are written directly; then a full pipe holds the caller for at most
 * LOG_DIRECT_WAIT_MS a line. Lines are cut at LOG_LINE_BYTES, "..." marks it; control characters are shown as '?'.
 *
 * Never log passwords, keys, bind values; query text only where a setting asks for it. Any thread; not in a signal handler.
 */
#ifndef POOLER_LOG_H
#define POOLER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_BYTES 2048u /* with the line's head and its newline */
#define LOG_QUEUE_BYTES (256u * 1024u)
#define LOG_DIRECT_WAIT_MS 1000

enum log_level { LOG_LEVEL_FATAL, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_LOG, LOG_LEVEL_DEBUG, LOG_LEVEL_NOISE };

/* Starts the writer. False (errno set) when the thread cannot be made. Call it once, after daemonizing. */
bool log_open(void);
/* Writes what is queued, for at most about `wait_us`, and ends the writer. Harmless when it is not open. */
void log_close(uint64_t wait_us);
/* -1: only warnings and worse; 0: LOG; 1: DEBUG; 2 and more: NOISE. */
void log_set_verbosity(int verbosity);
/* Lines lost since the start. */
uint64_t log_dropped(void);

/* Writes whatever the verbosity; log_at and its kin ask first. Leaves errno alone. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* shared: changed by log_set_verbosity only; read without a lock so that a debug line that is off costs one load. */
extern int log_threshold;

#define log_at(level, ...) \
	do { \
		if (__builtin_expect((int)(level) <= __atomic_load_n(&log_threshold, __ATOMIC_RELAXED), \
				     (level) <= LOG_LEVEL_LOG)) \
			log_write((level), __VA_ARGS__); \
	} while (0)
#define log_fatal(...) log_at(LOG_LEVEL_FATAL, __VA_ARGS__)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_LOG, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_noise(...) log_at(LOG_LEVEL_NOISE, __VA_ARGS__)

#endif
