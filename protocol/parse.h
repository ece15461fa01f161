/*
 * Reading the messages that a pooler must understand; all others it passes on unread.
 *
 * Each function gets the body of one whole message (after type and length). What they return points into that body
 * and may be used only on PG_OK, but for pg_parse_error. They answer PG_OK or, when the body is not exactly what the
 * message is defined as, PG_BAD.
 *
 * Pure: no allocation, any thread. Source: PostgreSQL manual, "Message Formats", "Error and Notice Message Fields".
 */
#ifndef PROTOCOL_PARSE_H
#define PROTOCOL_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/frame.h"

/* ErrorResponse and NoticeResponse. A field that is absent is "" (never NULL): servers exist that send none at all.
 * On PG_BAD the fields hold what could be read. */
struct pg_error_fields {
	const char *severity; /* V where it is sent, else S: never localised when V is there */
	const char *sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
};
enum pg_result pg_parse_error(const uint8_t *body, size_t size, struct pg_error_fields *fields);

struct pg_parameter_status {
	const char *name;
	const char *value;
};
enum pg_result pg_parse_parameter_status(const uint8_t *body, size_t size, struct pg_parameter_status *status);

/* PG_BAD when the status is not I, T or E, or the body is not one byte. */
enum pg_result pg_parse_ready(const uint8_t *body, size_t size, enum pg_transaction_status *status);

struct pg_cancel_key {
	uint32_t process_id;
	const uint8_t *key;
	size_t key_bytes; /* 1 .. 256 */
};
enum pg_result pg_parse_cancel_key(const uint8_t *body, size_t size, struct pg_cancel_key *key);

struct pg_authentication_request {
	uint32_t code;          /* enum pg_authentication, or one unknown to us */
	const uint8_t *payload; /* md5: the 4 bytes of salt; SASL: mechanisms, each with its NUL (the list's own, empty
				 * end is not counted), or the SASL data */
	size_t payload_bytes;
};
enum pg_result pg_parse_authentication(const uint8_t *body, size_t size, struct pg_authentication_request *request);

/* A client's PasswordMessage: one string. */
enum pg_result pg_parse_password(const uint8_t *body, size_t size, const char **password);

struct pg_sasl_initial {
	const char *mechanism;
	const uint8_t *data; /* NULL when none was sent (length -1) */
	size_t data_bytes;
};
enum pg_result pg_parse_sasl_initial(const uint8_t *body, size_t size, struct pg_sasl_initial *initial);

struct pg_parse_message {
	const char *name; /* "" is the unnamed statement */
	const char *query;
	uint16_t type_count;
	const uint8_t *types; /* 4 bytes each, big endian */
};
enum pg_result pg_parse_parse(const uint8_t *body, size_t size, struct pg_parse_message *message);

/* The head of a Bind: its two names. What follows the names is not read, so a prefix of the body will do: PG_MORE when
 * a name is not complete within `size`. */
struct pg_bind_head {
	const char *portal;
	const char *statement;
	size_t head_bytes; /* both names with their NULs */
};
enum pg_result pg_parse_bind_head(const uint8_t *body, size_t size, struct pg_bind_head *head);

/* Describe and Close: 'S' for a statement, 'P' for a portal, and its name. */
struct pg_named_target {
	uint8_t kind;
	const char *name;
};
enum pg_result pg_parse_named_target(const uint8_t *body, size_t size, struct pg_named_target *target);

/* Query: one string. */
enum pg_result pg_parse_query(const uint8_t *body, size_t size, const char **query);

#endif
