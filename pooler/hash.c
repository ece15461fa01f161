#include "pooler/hash.h"

#include <sys/random.h>

uint64_t hash_seed = 0x2545f4914f6cdd1dull;

/* Before main, so that no table can be older than the seed. Without randomness (a kernel that has none yet) the constant
 * serves. */
__attribute__((constructor)) static void hash_choose_seed(void)
{
	uint64_t chosen;

	if (getrandom(&chosen, sizeof(chosen), GRND_NONBLOCK) == (ssize_t)sizeof(chosen))
		hash_seed = chosen;
}
