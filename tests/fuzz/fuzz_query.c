/* The words of console commands. */
#include "pooler/console/query.h"
#include "tests/fuzz/fuzz.h"

static void expect_word(const struct query *query, unsigned index)
{
	const struct query_word *word = &query->words[index];
	const char *end = query->text + query->used;

	assert(word->text >= query->text && word->text + strlen(word->text) < end);
	assert(word->kind != QUERY_PLAIN || *word->text);
	assert(word->kind != QUERY_MARK || word->text[1] == '\0');
	assert(!query_name(query, index) || query_value(query, index) == query_name(query, index));
	assert(query_is_mark(query, index, word->text[0]) == (word->kind == QUERY_MARK));
	assert(query_is(query, index, word->text) == (word->kind == QUERY_PLAIN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size);
	const char *at = text;
	const char *end = text + strlen(text);
	struct query query;
	enum query_result result;

	for (;;) {
		const char *before = at;
		const char *error = NULL;
		result = query_next(&at, &query, &error);
		if (result != QUERY_OK)
			break;
		assert(at > before && at <= end && !error);
		assert(query.count >= 1 && query.count <= QUERY_WORDS_MAX && query.used <= sizeof(query.text));
		for (unsigned i = 0; i < query.count; i++)
			expect_word(&query, i);
		assert(!query_name(&query, query.count) && !query_value(&query, query.count));
	}
	free(text);
	return 0;
}
