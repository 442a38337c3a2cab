#include "tokenizer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "characters.h"

/* Token ids of one text, growing. */
struct id_list {
  int32_t *ids;
  size_t count, room;
};

static bool add_id(struct id_list *list, int32_t id) {
  if (list->count == list->room) {
    size_t room = list->room == 0 ? 64 : list->room * 2;
    int32_t *ids = realloc(list->ids, room * sizeof *ids);
    if (ids == NULL) return false;
    list->ids = ids;
    list->room = room;
  }
  list->ids[list->count++] = id;
  return true;
}

static int compare(const char *text, size_t length, const char *other, size_t other_length) {
  int order = memcmp(text, other, length < other_length ? length : other_length);
  return order != 0 ? order : (length > other_length) - (length < other_length);
}

/* The token that reads `text` behind `skip` bytes, among `count` tokens; NULL where none does. */
static const struct token *find(const struct token *tokens, size_t count, size_t skip,
                                const char *text, size_t length) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct token *token = &tokens[middle];
    int order = compare(text, length, token->text + skip, token->length - skip);
    if (order == 0) return token;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

/* The longest token of the vocabulary that `text` begins with. */
static const struct token *longest(const struct tokenizer_data *tokenizer, const char *text,
                                   size_t length, bool inside) {
  const struct token *tokens = tokenizer->vocabulary + (inside ? tokenizer->inside_first : 0);
  size_t count = inside ? tokenizer->inside_count : tokenizer->vocabulary_count;
  size_t skip = inside ? tokenizer->prefix_length : 0;
  if (length > tokenizer->longest_token) length = tokenizer->longest_token;
  for (; length > 0; --length) {
    const struct token *token = find(tokens, count, skip, text, length);
    if (token != NULL) return token;
  }
  return NULL;
}

/* WordPiece: the longest token that the word begins with, then the longest that goes on; unknown
 * as a whole where that leads nowhere. */
static bool add_word_pieces(const struct tokenizer_data *tokenizer, const char *word,
                            size_t length, size_t characters, struct id_list *list) {
  size_t before = list->count;
  if (characters > tokenizer->longest_word) return add_id(list, tokenizer->unknown);
  for (size_t start = 0; start < length;) {
    const struct token *token = longest(tokenizer, word + start, length - start, start > 0);
    if (token == NULL) {
      list->count = before;
      return add_id(list, tokenizer->unknown);
    }
    if (!add_id(list, token->id)) return false;
    start += token->length - (start > 0 ? tokenizer->prefix_length : 0);
  }
  return true;
}

static bool add_word(const struct tokenizer_data *tokenizer, const char *word, size_t length,
                     size_t characters, struct id_list *list) {
  if (length == 0) return true;
  if (tokenizer->longest_word > 0)
    return add_word_pieces(tokenizer, word, length, characters, list);
  const struct token *token =
      find(tokenizer->vocabulary, tokenizer->vocabulary_count, 0, word, length);
  return add_id(list, token == NULL ? tokenizer->unknown : token->id);
}

/* Normalizes a stretch of text, splits it into words and adds their tokens. */
static bool add_stretch(const struct tokenizer_data *tokenizer, const char *text, size_t length,
                        struct id_list *list) {
  struct points points = {NULL, 0, 0};
  char *words = NULL;
  bool done = false;
  if (!normalize(tokenizer, text, length, &points)) goto end;
  words = malloc(points.count * 4 + 1);
  if (words == NULL) goto end;

  enum character_kind running = KIND_SPACE; /* what the word that is being read is made of */
  size_t bytes = 0, characters = 0;
  for (size_t i = 0; i < points.count; ++i) {
    enum character_kind kind =
        (enum character_kind)value_of(&tokenizer->kinds, points.items[i], KIND_WORD);
    if (kind != running || kind == KIND_ALONE) {
      if (!add_word(tokenizer, words, bytes, characters, list)) goto end;
      bytes = characters = 0;
      running = kind;
    }
    if (kind == KIND_SPACE) continue;
    bytes += write_utf8(points.items[i], words + bytes);
    ++characters;
  }
  done = add_word(tokenizer, words, bytes, characters, list);
end:
  free(words);
  free(points.items);
  return done;
}

/* The longest special token that stands at the beginning of `text`. */
static const struct token *special_at(const struct tokenizer_data *tokenizer, const char *text,
                                      size_t length) {
  const struct token *found = NULL;
  for (size_t i = 0; i < tokenizer->special_count; ++i) {
    const struct token *token = &tokenizer->special[i];
    if (token->length <= length && memcmp(token->text, text, token->length) == 0 &&
        (found == NULL || token->length > found->length))
      found = token;
  }
  return found;
}

static enum tokenizer_status add_text(const struct tokenizer_data *tokenizer, const char *text,
                                      size_t length, struct id_list *list) {
  if (!is_utf8(text, length)) return TOKENS_NOT_UTF8;
  size_t start = 0, at = 0;
  while (at < length) {
    const struct token *special = special_at(tokenizer, text + at, length - at);
    if (special == NULL) {
      ++at;
      continue;
    }
    if (!add_stretch(tokenizer, text + start, at - start, list) || !add_id(list, special->id))
      return TOKENS_NO_MEMORY;
    at += special->length;
    start = at;
  }
  return add_stretch(tokenizer, text + start, length - start, list) ? TOKENS_MADE
                                                                    : TOKENS_NO_MEMORY;
}

/* How many tokens two texts keep of `room`: the longer one loses first. */
static void cut(size_t *first, size_t *second, size_t room) {
  if (*first + *second <= room) return;
  size_t *shorter = *first <= *second ? first : second;
  size_t *longer = shorter == first ? second : first;
  if (*shorter > room / 2) {
    *shorter = room / 2;
    *longer = room - room / 2;
  } else {
    *longer = room - *shorter;
  }
}

static bool lay_out(const struct place *places, size_t count, const struct id_list texts[2],
                    struct tokens *made) {
  size_t total = 0;
  for (size_t i = 0; i < count; ++i)
    total += places[i].kind == PLACE_TOKEN ? 1 : texts[places[i].kind == PLACE_SECOND].count;
  made->ids = malloc((total + 1) * sizeof *made->ids);
  made->types = malloc((total + 1) * sizeof *made->types);
  if (made->ids == NULL || made->types == NULL) return false;
  for (size_t i = 0; i < count; ++i) {
    const struct place *place = &places[i];
    const struct id_list *text = &texts[place->kind == PLACE_SECOND];
    const int32_t *ids = place->kind == PLACE_TOKEN ? &place->token : text->ids;
    size_t length = place->kind == PLACE_TOKEN ? 1 : text->count;
    for (size_t j = 0; j < length; ++j) {
      made->ids[made->count] = ids[j];
      made->types[made->count++] = place->type;
    }
  }
  return true;
}

enum tokenizer_status make_tokens(const struct tokenizer_data *tokenizer, const char *text,
                                  size_t length, const char *second, size_t second_length,
                                  size_t max_length, struct tokens *made) {
  const struct place *places = second == NULL ? tokenizer->single : tokenizer->pair;
  size_t count = second == NULL ? tokenizer->single_count : tokenizer->pair_count;
  struct id_list texts[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
  *made = (struct tokens){NULL, NULL, 0};

  enum tokenizer_status status = add_text(tokenizer, text, length, &texts[0]);
  if (status == TOKENS_MADE && second != NULL)
    status = add_text(tokenizer, second, second_length, &texts[1]);
  if (status == TOKENS_MADE) {
    size_t special = 0;
    for (size_t i = 0; i < count; ++i) special += places[i].kind == PLACE_TOKEN;
    cut(&texts[0].count, &texts[1].count, max_length > special ? max_length - special : 0);
    if (!lay_out(places, count, texts, made)) status = TOKENS_NO_MEMORY;
  }
  free(texts[0].ids);
  free(texts[1].ids);
  if (status != TOKENS_MADE) free_tokens(made);
  return status;
}

void free_tokens(struct tokens *tokens) {
  free(tokens->ids);
  free(tokens->types);
  *tokens = (struct tokens){NULL, NULL, 0};
}
