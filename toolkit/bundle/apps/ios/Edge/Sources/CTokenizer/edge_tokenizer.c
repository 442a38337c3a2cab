#include "edge_tokenizer.h"

#include <string.h>

#include "tokenizer.h"

extern const struct tokenizer_data tokenizer_data;

int32_t edge_tokens(const char *first, size_t first_length, const char *second,
                    size_t second_length, int32_t longest, int32_t *ids, int32_t *types) {
  struct tokens made;
  switch (make_tokens(&tokenizer_data, first, first_length, second, second_length, (size_t)longest,
                      &made)) {
    case TOKENS_NOT_UTF8:
      return -2;
    case TOKENS_NO_MEMORY:
      return -1;
    case TOKENS_MADE:
      break;
  }
  int32_t count = made.count > (size_t)longest ? -3 : (int32_t)made.count;
  if (count > 0) {
    memcpy(ids, made.ids, made.count * sizeof *ids);
    memcpy(types, made.types, made.count * sizeof *types);
  }
  free_tokens(&made);
  return count;
}
