/*
 * A file that is only in memory, for what reads files by name.
 */
#ifndef TESTS_FUZZ_MEMORY_FILE_H
#define TESTS_FUZZ_MEMORY_FILE_H

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

struct memory_file {
	int fd;
	char path[40];
};

static inline void memory_file_open(struct memory_file *file, const void *data, size_t size)
{
	/* memfd_create, without asking for all of GNU's names. */
	int memfd_create(const char *name, unsigned int flags);

	file->fd = memfd_create("fuzz", 0);
	assert(file->fd >= 0);
	assert(write(file->fd, data, size) == (ssize_t)size);
	snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

static inline void memory_file_close(struct memory_file *file)
{
	close(file->fd);
}

#endif
