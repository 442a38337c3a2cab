/* Texts to token ids, as the `tokenizers` library makes them from the same tokenizer.json. */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "model_data.h"

/* Token ids with their types; release with free_tokens. */
struct tokens {
  int32_t *ids, *types;
  size_t count;
};

enum tokenizer_status { TOKENS_MADE, TOKENS_NO_MEMORY, TOKENS_NOT_UTF8 };

/* Makes the tokens of a text, or of two where `second` is not NULL, special tokens included, and
 * cuts the longer text first until they are at most `max_length`. */
enum tokenizer_status make_tokens(const struct tokenizer_data *tokenizer, const char *text,
                                  size_t length, const char *second, size_t second_length,
                                  size_t max_length, struct tokens *made);

void free_tokens(struct tokens *tokens);

#endif
