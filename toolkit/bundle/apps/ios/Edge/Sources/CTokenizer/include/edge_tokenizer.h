/* The tokenizer for Swift. */
#ifndef EDGE_TOKENIZER_H
#define EDGE_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

/* Writes the ids and types of a text, or of two where `second` is not NULL, which are UTF-8.
 *
 * At most `longest`, 0 or more, for which there is room in both arrays. Returns how many, -1 where
 * memory ran out, -2 where a text is not UTF-8, -3 where the special tokens alone are more. */
int32_t edge_tokens(const char *first, size_t first_length, const char *second,
                    size_t second_length, int32_t longest, int32_t *ids, int32_t *types);

#endif
