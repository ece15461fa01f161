/*
 * What the fuzz targets share. A target is one file fuzz_X.c that defines LLVMFuzzerTestOneInput; it is linked with
 * libFuzzer by `make fuzz`, and with replay.c, which runs it over the committed corpus, by `make test`.
 *
 * A target must not depend on anything but its input, keeps nothing from one input to the next (but what costs to make and
 * never changes), and ends the process by a failed assert when something is wrong.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#undef NDEBUG
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as a row of choices. Behind its end every choice is 0. */
struct choices {
	const uint8_t *at;
	const uint8_t *end;
};

static inline size_t choices_left(const struct choices *choices)
{
	return (size_t)(choices->end - choices->at);
}

static inline uint8_t choose_byte(struct choices *choices)
{
	return choices->at < choices->end ? *choices->at++ : 0;
}

/* A number below `bound`, which is at most 256. */
static inline unsigned choose(struct choices *choices, unsigned bound)
{
	return choose_byte(choices) % bound;
}

static inline uint32_t choose_u32(struct choices *choices)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | choose_byte(choices);
	return value;
}

/* Up to `most` bytes where they stand. */
static inline const uint8_t *choose_bytes(struct choices *choices, size_t most, size_t *bytes)
{
	const uint8_t *at = choices->at;

	*bytes = most < choices_left(choices) ? most : choices_left(choices);
	choices->at += *bytes;
	return at;
}

/* A copy in memory of just that size, so that a read past its end is seen. The caller frees it. */
static inline uint8_t *fuzz_copy(const void *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	assert(copy);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* The same as a string: it ends at its first NUL. */
static inline char *fuzz_string(const void *data, size_t size)
{
	char *copy = malloc(size + 1);

	assert(copy);
	if (size)
		memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

/* A string of at most 255 bytes: a length, and its bytes. */
static inline char *choose_string(struct choices *choices)
{
	size_t bytes;
	uint8_t most = choose_byte(choices);
	const uint8_t *at = choose_bytes(choices, most, &bytes);

	return fuzz_string(at, bytes);
}

#endif
