/*
 * Bytes that end where memory ends: one byte read past them is a segmentation fault, which Check reports as a failure.
 */
#ifndef TESTS_UNIT_GUARDED_H
#define TESTS_UNIT_GUARDED_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUARDED_CAPACITY (1u << 18)

struct guarded {
	uint8_t *map; /* owned: the room, and behind it one page that nobody may touch */
	uint8_t *end; /* of the room */
};

static inline void guarded_init(struct guarded *guarded)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *map = mmap(NULL, GUARDED_CAPACITY + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	guarded->map = map;
	guarded->end = guarded->map + GUARDED_CAPACITY;
	ck_assert_int_eq(mprotect(guarded->end, page, PROT_NONE), 0);
}

static inline void guarded_clear(struct guarded *guarded)
{
	munmap(guarded->map, GUARDED_CAPACITY + (size_t)sysconf(_SC_PAGESIZE));
}

/* Copies the bytes to just before the guard page; what was put before them is gone. */
static inline uint8_t *guarded_put(struct guarded *guarded, const void *bytes, size_t size)
{
	ck_assert_uint_le(size, GUARDED_CAPACITY);
	uint8_t *at = guarded->end - size;
	if (size > 0)
		memcpy(at, bytes, size);
	return at;
}

#endif
