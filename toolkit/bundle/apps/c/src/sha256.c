#include "sha256.h"

#include <stdint.h>
#include <string.h>

/* FIPS 180-4, section 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64
 * primes. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

/* Section 6.2.2: one block of 64 bytes. */
static void take_block(uint32_t state[8], const unsigned char block[64]) {
  uint32_t words[64], v[8];
  for (int i = 0; i < 16; ++i)
    words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    uint32_t late = words[i - 2], early = words[i - 15];
    words[i] = (turned(late, 17) ^ turned(late, 19) ^ late >> 10) + words[i - 7] +
               (turned(early, 7) ^ turned(early, 18) ^ early >> 3) + words[i - 16];
  }
  memcpy(v, state, sizeof v);
  for (int i = 0; i < 64; ++i) {
    uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
    uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
    uint32_t first = v[7] + (turned(v[4], 6) ^ turned(v[4], 11) ^ turned(v[4], 25)) + choice +
                     constants[i] + words[i];
    uint32_t second = (turned(v[0], 2) ^ turned(v[0], 13) ^ turned(v[0], 22)) + majority;
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += first;
    v[0] = first + second;
  }
  for (int i = 0; i < 8; ++i) state[i] += v[i];
}

int sha256_file(FILE *file, char digest[65]) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}; /* section 5.3.3 */
  unsigned char buffer[64 * 256], last[128] = {0};
  uint64_t bytes = 0;
  size_t length = 0;
  while ((length = fread(buffer, 1, sizeof buffer, file)) == sizeof buffer) {
    for (size_t at = 0; at < length; at += 64) take_block(state, buffer + at);
    bytes += length;
  }
  if (ferror(file)) return -1;
  bytes += length;
  size_t whole = length / 64 * 64, rest = length - whole;
  for (size_t at = 0; at < whole; at += 64) take_block(state, buffer + at);

  /* Section 5.1.1: a 1 bit, zeros, and the number of bits. */
  memcpy(last, buffer + whole, rest);
  last[rest] = 0x80;
  size_t end = rest < 56 ? 64 : 128;
  for (size_t i = 0; i < 8; ++i) last[end - 1 - i] = (unsigned char)(bytes * 8 >> 8 * i);
  for (size_t at = 0; at < end; at += 64) take_block(state, last + at);
  for (int i = 0; i < 8; ++i) snprintf(digest + 8 * i, 9, "%08x", (unsigned)state[i]);
  return 0;
}
