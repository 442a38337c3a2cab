/* Code points: UTF-8, and normalization by the tables of the model's tokenizer. */
#ifndef CHARACTERS_H
#define CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model_data.h"

/* Code points, growing; release `items` with free. */
struct points {
  uint32_t *items;
  size_t count, room;
};

/* Whether these bytes are UTF-8 without surrogates and overlong forms (RFC 3629). */
bool is_utf8(const char *text, size_t length);

/* Writes one code point as one to four bytes, and returns how many. */
size_t write_utf8(uint32_t point, char *bytes);

/* The value of a code point in a table; `otherwise` where it has none. */
uint32_t value_of(const struct marked_table *table, uint32_t point, uint32_t otherwise);

/* Adds the code points of normalized UTF-8; false where memory ran out. */
bool normalize(const struct tokenizer_data *tokenizer, const char *text, size_t length,
               struct points *normalized);

#endif
