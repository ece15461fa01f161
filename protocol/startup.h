/*
 * The first packet of a connection: no type byte, a length and a code.
 *
 *      +------------------+----------------+------------------------------ - -
 *      | length, 4 bytes  | code, 4 bytes  | parameters, or a cancel key
 *      +------------------+----------------+------------------------------ - -
 *
 * Pure: no allocation but where a buffer is handed in, any thread. Source: PostgreSQL manual, "Message Formats":
 * StartupMessage, CancelRequest, SSLRequest, GSSENCRequest; "Start-up" of "Message Flow"; ProcessStartupPacket and
 * pg_split_opts of its source.
 */
#ifndef PROTOCOL_STARTUP_H
#define PROTOCOL_STARTUP_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/frame.h"

/* PostgreSQL's own bound (MAX_STARTUP_PACKET_LENGTH). A longer packet is BAD as soon as its length is seen. */
#define PG_STARTUP_BYTES_MAX 10000u
#define PG_CANCEL_KEY_BYTES_MAX 256u
#define PG_PROTOCOL_MAJOR 3u

enum pg_startup_kind {
	PG_STARTUP_SSL_REQUEST,
	PG_STARTUP_GSSENC_REQUEST,
	PG_STARTUP_CANCEL_REQUEST,
	PG_STARTUP_SESSION,
};

struct pg_startup {
	enum pg_startup_kind kind;
	uint32_t total_bytes; /* of the packet: what follows belongs to the next message */

	/* PG_STARTUP_SESSION. Any version is reported as it came, 2.0 and 4.0 too; the caller judges. */
	uint16_t major;
	uint16_t minor;
	const uint8_t *parameters; /* borrowed: name NUL value NUL ... ; without the last, empty name. NULL unless major
				    * is 3 */
	size_t parameters_bytes;

	/* PG_STARTUP_CANCEL_REQUEST */
	uint32_t process_id;
	const uint8_t *key; /* borrowed */
	size_t key_bytes;   /* 1 .. PG_CANCEL_KEY_BYTES_MAX; 4 in protocol 3.0 */
};

/* Parses the packet at `data`. BAD: a length below 8 or above the bound; for protocol 3 parameters that are not pairs
 * of NUL-terminated strings closed by one empty name; a request packet of the wrong length. Names and values are
 * reported whole, whatever their length and bytes. `startup` is defined only on PG_OK. */
enum pg_result pg_startup_parse(const uint8_t *data, size_t size, struct pg_startup *startup);

/* Walks the pairs: *at starts as 0; PG_OK and a pair, or PG_MORE after the last. Only for a packet that parsed. */
enum pg_result pg_startup_next(const struct pg_startup *startup, size_t *at, const char **name, const char **value);

/* The `options` parameter as the server's command line reads it: words split at white space, a backslash keeps the
 * next character. Each `-c name=value`, `-cname=value` or `--name=value` is appended to `pairs` as name NUL value NUL,
 * with '-' in the name turned into '_'. BAD: anything else, or no memory; `error` then says what (at most error_bytes
 * with its NUL) and `pairs` is as long as before. */
enum pg_result pg_startup_parse_options(const char *options, struct pg_buffer *pairs, char *error, size_t error_bytes);

/* Builders. `pairs` are name NUL value NUL as above. A NULL database is left out. out->failed: a packet longer than
 * PG_STARTUP_BYTES_MAX, or a cancel key that is empty or longer than PG_CANCEL_KEY_BYTES_MAX. */
void pg_startup_put_session(struct pg_buffer *out, const char *user, const char *database, const uint8_t *pairs,
			    size_t pairs_bytes);
void pg_startup_put_cancel(struct pg_buffer *out, uint32_t process_id, const uint8_t *key, size_t key_bytes);
void pg_startup_put_ssl_request(struct pg_buffer *out);

#endif
