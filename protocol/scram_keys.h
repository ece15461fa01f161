/*
 * The hashes of SCRAM-SHA-256, shared by its two sides.
 *
 * Inside protocol/scram*.c only. Pure, any thread. Source: RFC 5802 section 3.
 */
#ifndef PROTOCOL_SCRAM_KEYS_H
#define PROTOCOL_SCRAM_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buffer.h"
#include "protocol/scram.h"

/* False only when OpenSSL fails, for lack of memory or of the algorithm. */
bool scram_hash(const uint8_t *data, size_t bytes, uint8_t out[PG_SCRAM_KEY_BYTES]);
bool scram_hmac(const uint8_t key[PG_SCRAM_KEY_BYTES], const void *data, size_t bytes, uint8_t out[PG_SCRAM_KEY_BYTES]);

/* Appends client-first-bare "," server-first "," client-final-without-proof: what both signatures sign. */
void scram_put_auth_message(struct pg_buffer *out, const uint8_t *first_bare, size_t first_bare_bytes,
			    const struct pg_buffer *server_first, const uint8_t *without_proof,
			    size_t without_proof_bytes);

/* out = a xor b. */
void scram_xor(uint8_t out[PG_SCRAM_KEY_BYTES], const uint8_t a[PG_SCRAM_KEY_BYTES],
	       const uint8_t b[PG_SCRAM_KEY_BYTES]);

#endif
