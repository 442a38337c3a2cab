/* Prints the SHA-256 of stdin as the C program of a bundle computes it, for tests. */
#include "sha256.h"

int main(void) {
  char digest[65];
  if (sha256_file(stdin, digest) != 0) return 1;
  puts(digest);
  return 0;
}
