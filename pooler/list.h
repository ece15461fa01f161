/*
 * A doubly linked list whose nodes live inside what they link.
 *
 * A head and a node are the same structure; an empty head and a node in no list point to themselves. Nothing is
 * allocated. The caller keeps whatever lock the list needs.
 */
#ifndef POOLER_LIST_H
#define POOLER_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* The structure that holds `node` as its member `member`. */
#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Walks the list; the body may remove `it` but nothing else. `spare` is a second struct list pointer. */
#define list_each(it, spare, head) \
	for ((it) = (head)->next, (spare) = (it)->next; (it) != (head); (it) = (spare), (spare) = (it)->next)

static inline void list_init(struct list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_insert_between(struct list *node, struct list *prev, struct list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}

static inline void list_push(struct list *head, struct list *node)
{
	list_insert_between(node, head, head->next);
}

static inline void list_append(struct list *head, struct list *node)
{
	list_insert_between(node, head->prev, head);
}

/* Takes a node out of its list; harmless for a node that is in none. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* The oldest appended, taken out; NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
	if (list_is_empty(head))
		return NULL;
	struct list *node = head->next;
	list_remove(node);
	return node;
}

#endif
