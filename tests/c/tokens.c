/* Prints the token ids and types that the C program of a bundle makes, for tests.
 *
 * usage: tokens MAX_LENGTH < RECORDS
 *
 * A record is two lengths, native int32, and that many bytes of a text and of a second text; a
 * second length of -1 means that there is none. Each gives a line "ID:TYPE ID:TYPE ...", or
 * "not UTF-8".
 */
#include <stdio.h>
#include <stdlib.h>

#include "tokenizer.h"

static char *read_text(int32_t length) {
  char *text = malloc(length > 0 ? (size_t)length : 1);
  size_t wanted = length > 0 ? (size_t)length : 0;
  if (text == NULL || fread(text, 1, wanted, stdin) != wanted) exit(1);
  return text;
}

int main(int argc, char **argv) {
  int32_t lengths[2];
  size_t most = argc == 2 ? (size_t)strtoul(argv[1], NULL, 10) : 0;
  while (fread(lengths, sizeof lengths, 1, stdin) == 1) {
    char *text = read_text(lengths[0]), *second = lengths[1] < 0 ? NULL : read_text(lengths[1]);
    struct tokens made;
    switch (make_tokens(model_data.tokenizer, text, (size_t)lengths[0], second,
                        second == NULL ? 0 : (size_t)lengths[1], most, &made)) {
      case TOKENS_MADE:
        for (size_t i = 0; i < made.count; ++i)
          printf("%s%d:%d", i == 0 ? "" : " ", (int)made.ids[i], (int)made.types[i]);
        putchar('\n');
        free_tokens(&made);
        break;
      case TOKENS_NOT_UTF8:
        puts("not UTF-8");
        break;
      case TOKENS_NO_MEMORY:
        return 1;
    }
    free(text);
    free(second);
  }
  return 0;
}
