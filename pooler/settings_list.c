#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pooler/settings_table.h"

bool string_list_contains(const struct string_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcasecmp(list->items[i], name) == 0)
			return true;
	}
	return false;
}

void string_list_clear(struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){ NULL, 0 };
}

bool string_list_append(struct string_list *list, const char *item, size_t bytes)
{
	char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
	char *copy = strndup(item, bytes);

	if (items)
		list->items = items;
	if (!items || !copy) {
		free(copy);
		return false;
	}
	items[list->count++] = copy;
	return true;
}

bool string_list_split(const char *text, struct string_list *list)
{
	const char *at = text;

	while (*at) {
		size_t bytes = strcspn(at, ",");
		const char *first = at, *last = at + bytes;
		while (first < last && isspace((unsigned char)*first))
			first++;
		while (last > first && isspace((unsigned char)last[-1]))
			last--;
		if ((last > first || at[bytes] == ',') && !string_list_append(list, first, (size_t)(last - first)))
			return false;
		at += bytes + (at[bytes] == ',' ? 1 : 0);
	}
	return true;
}

bool string_list_copy(struct string_list *to, const struct string_list *from)
{
	for (size_t i = 0; i < from->count; i++) {
		if (!string_list_append(to, from->items[i], strlen(from->items[i])))
			return false;
	}
	return true;
}

bool string_list_equal(const struct string_list *a, const struct string_list *b)
{
	bool equal = a->count == b->count;

	for (size_t i = 0; equal && i < a->count; i++)
		equal = strcmp(a->items[i], b->items[i]) == 0;
	return equal;
}
