/*
 * Hash tables: uthash, to be included through this header only, because it sets uthash up:
 *
 * - its own hash function does not compile with clang's -Wimplicit-fallthrough; ours is seeded for each process as well, so
 *   that nobody from outside can choose names that fall into one bucket;
 * - where memory is missing, adding leaves the table as it was (uthash would end the process). The element is then in no
 *   table: HASH_ADDED tells.
 *
 * Any thread; each table's owner keeps whatever lock it needs.
 */
#ifndef POOLER_HASH_H
#define POOLER_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uint64_t hash_seed; /* chosen once, before main */

#define HASH_MULTIPLIER 0x9e3779b97f4a7c15ull

static inline uint64_t hash_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * HASH_MULTIPLIER;
	return hash ^ (hash >> 32);
}

static inline uint32_t hash_bytes(const void *data, size_t bytes)
{
	const char *at = data;
	uint64_t hash = hash_mix(hash_seed, bytes);
	uint64_t word = 0;

	for (; bytes >= sizeof(word); bytes -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = hash_mix(hash, word);
	}
	word = 0;
	if (bytes)
		memcpy(&word, at, bytes);
	return (uint32_t)hash_mix(hash_mix(hash, word), hash_seed);
}

#define HASH_FUNCTION(key, key_bytes, result) ((result) = hash_bytes((key), (size_t)(key_bytes)))
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((void)(element))
#include <uthash.h>

/* Right after HASH_ADD and its kin. False: no memory. */
#define HASH_ADDED(element) ((element)->hh.tbl != NULL)

#endif
