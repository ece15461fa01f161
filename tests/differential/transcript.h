/*
 * What a server said to one client, message for message, and the comparison of two of them.
 *
 * Kept as it came, but for what cannot be the same on two connections: the cancel key, the pid in NotificationResponse, and
 * the OIDs of tables and types that users made, which become numbers in the order of their first appearance.
 */
#ifndef TESTS_DIFFERENTIAL_TRANSCRIPT_H
#define TESTS_DIFFERENTIAL_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"

enum compare {
	COMPARE_ALL,
	COMPARE_SQLSTATES, /* errors by severity and SQLSTATE only */
	COMPARE_TYPES,     /* errors not at all */
	COMPARE_FAREWELLS, /* by SQLSTATE; the last error before the end of the connection may be missing */
};

/* The end of the connection stands at the end of a transcript, as a message of this type. */
#define TYPE_CLOSED 0

struct message {
	uint8_t type;
	uint8_t *body; /* owned */
	size_t bytes;
};

struct transcript {
	struct message *messages; /* owned */
	size_t count;
	size_t capacity;
	uint32_t *oids; /* owned */
	size_t oid_count;
};

void transcript_add(struct transcript *transcript, uint8_t type, const uint8_t *body, size_t bytes);
void transcript_clear(struct transcript *transcript);
/* The server has hung up. */
bool transcript_is_closed(const struct transcript *transcript);

/* True when they differ; then from message `at[0]` of the one and `at[1]` of the other. */
bool transcript_differs(const struct transcript *one, const struct transcript *other, enum compare compare,
			size_t at[2]);

/* One message readably, without a line's end. */
void message_print(struct pg_buffer *out, const struct message *message);
/* The SQLSTATE of an ErrorResponse or NoticeResponse, "" when it has none. Valid until the next call. */
const char *message_sqlstate(const struct message *message);

#endif
