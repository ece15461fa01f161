#include "protocol/scram.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define MD5_BYTES 16u

/* "md5" and the hex digits of md5(a b). */
static bool print_md5(const void *a, size_t a_bytes, const void *b, size_t b_bytes, char out[PG_MD5_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[MD5_BYTES];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool hashed = context && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 &&
		      EVP_DigestUpdate(context, a, a_bytes) == 1 && EVP_DigestUpdate(context, b, b_bytes) == 1 &&
		      EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!hashed)
		return false;

	memcpy(out, "md5", 3);
	for (size_t i = 0; i < MD5_BYTES; i++) {
		out[3 + 2 * i] = digits[hash[i] >> 4];
		out[4 + 2 * i] = digits[hash[i] & 15];
	}
	out[PG_MD5_TEXT_BYTES - 1] = '\0';
	OPENSSL_cleanse(hash, sizeof(hash));
	return true;
}

bool pg_md5_secret(const char *password, const char *user, char out[PG_MD5_TEXT_BYTES])
{
	return print_md5(password, strlen(password), user, strlen(user), out);
}

bool pg_md5_response(const char secret[PG_MD5_TEXT_BYTES], const uint8_t salt[4], char out[PG_MD5_TEXT_BYTES])
{
	/* Only the digits are hashed, without "md5" and the NUL. */
	return print_md5(secret + 3, PG_MD5_TEXT_BYTES - 4, salt, 4, out);
}
