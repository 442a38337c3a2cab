/* SHA-256, FIPS 180-4. */
#ifndef SHA256_H
#define SHA256_H

#include <stdio.h>

/* Writes the digest of what is left of `file` as 64 hexadecimal digits and a NUL. Returns 0, or -1
 * where the file cannot be read. */
int sha256_file(FILE *file, char digest[65]);

#endif
