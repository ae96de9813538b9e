#include <openssl/crypto.h>

// OpenSSL frees its tables in an exit handler. A program that ends while another thread still uses
// OpenSSL, or is just ending itself and giving back what OpenSSL keeps for each thread, then frees
// the same memory twice. The process is going away: nothing has to be freed. This must come before
// the first use of OpenSSL, libpq's included; see OPENSSL_init_crypto(3), OPENSSL_INIT_NO_ATEXIT.
__attribute__((constructor)) static void keep_openssl_at_exit(void) {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}
