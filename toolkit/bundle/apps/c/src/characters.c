#include "characters.h"

#include <stdlib.h>
#include <string.h>

/* The code point that starts at `text`, and its bytes; 0 bytes where it is no UTF-8. The ranges
 * are those of RFC 3629, section 4. */
static size_t read_utf8(const char *text, size_t length, uint32_t *point) {
  const unsigned char *bytes = (const unsigned char *)text;
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (bytes[0] < 0x80) {
    *point = bytes[0];
    return 1;
  }
  size_t size = bytes[0] >= 0xF0 ? 4 : bytes[0] >= 0xE0 ? 3 : 2;
  if (bytes[0] < 0xC2 || bytes[0] > 0xF4 || size > length) return 0;
  uint32_t made = bytes[0] & (0x7FU >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((bytes[i] & 0xC0) != 0x80) return 0;
    made = made << 6 | (bytes[i] & 0x3FU);
  }
  if (made < least[size] || made > 0x10FFFF || (made >= 0xD800 && made <= 0xDFFF)) return 0;
  *point = made;
  return size;
}

bool is_utf8(const char *text, size_t length) {
  uint32_t point = 0;
  for (size_t at = 0; at < length;) {
    size_t size = read_utf8(text + at, length - at, &point);
    if (size == 0) return false;
    at += size;
  }
  return true;
}

size_t write_utf8(uint32_t point, char *bytes) {
  if (point < 0x80) {
    bytes[0] = (char)point;
    return 1;
  }
  size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = size - 1; i > 0; --i) {
    bytes[i] = (char)(0x80 | (point & 0x3F));
    point >>= 6;
  }
  bytes[0] = (char)(lead[size] | point);
  return size;
}

uint32_t value_of(const struct marked_table *table, uint32_t point, uint32_t otherwise) {
  size_t low = 0, high = table->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct marked *range = &table->ranges[middle];
    if (point < range->first)
      high = middle;
    else if (point > range->last)
      low = middle + 1;
    else
      return range->value;
  }
  return otherwise;
}

static bool add_point(struct points *points, uint32_t point) {
  if (points->count == points->room) {
    size_t room = points->room == 0 ? 256 : points->room * 2;
    uint32_t *items = realloc(points->items, room * sizeof *items);
    if (items == NULL) return false;
    points->items = items;
    points->room = room;
  }
  points->items[points->count++] = point;
  return true;
}

static bool add_changed(const struct change_table *table, uint32_t point, struct points *points) {
  size_t low = 0, high = table->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct change *change = &table->changes[middle];
    if (point < change->first) {
      high = middle;
    } else if (point > change->last) {
      low = middle + 1;
    } else if (change->count == 1) {
      return add_point(points, (uint32_t)((int64_t)point + change->shift));
    } else {
      for (size_t i = 0; i < change->count; ++i) {
        uint32_t made = table->pool[change->start + i];
        if (!add_point(points, made == CODE_POINT_ITSELF ? point : made)) return false;
      }
      return true;
    }
  }
  return add_point(points, point);
}

/* Unicode 15, section 3.12: a Hangul syllable is its leading consonant, its vowel and perhaps a
 * trailing consonant. */
static bool add_decomposed(const struct tokenizer_data *tokenizer, uint32_t point,
                           struct points *points) {
  if (point < 0xAC00 || point > 0xD7A3)
    return add_changed(&tokenizer->decomposition, point, points);
  uint32_t index = point - 0xAC00;
  return add_point(points, 0x1100 + index / 588) &&
         add_point(points, 0x1161 + index % 588 / 28) &&
         (index % 28 == 0 || add_point(points, 0x11A7 + index % 28));
}

/* Sorts marks in a row by their combining class and leaves those of one class in their order
 * (Unicode 15, section 3.11); by counting, so that a text of nothing but marks takes no longer. */
static bool sort_marks(const struct marked_table *classes, struct points *points) {
  uint32_t *copy = NULL;
  for (size_t start = 0; start < points->count; ++start) {
    if (value_of(classes, points->items[start], 0) == 0) continue;
    size_t end = start + 1;
    while (end < points->count && value_of(classes, points->items[end], 0) != 0) ++end;
    if (end - start > 1) {
      size_t places[257] = {0};
      if (copy == NULL) copy = malloc(points->count * sizeof *copy);
      if (copy == NULL) return false;
      for (size_t i = start; i < end; ++i) ++places[value_of(classes, points->items[i], 0) + 1];
      for (size_t i = 1; i < 257; ++i) places[i] += places[i - 1];
      for (size_t i = start; i < end; ++i)
        copy[places[value_of(classes, points->items[i], 0)]++] = points->items[i];
      memcpy(points->items + start, copy, (end - start) * sizeof *copy);
    }
    start = end; /* which is no mark */
  }
  free(copy);
  return true;
}

bool normalize(const struct tokenizer_data *tokenizer, const char *text, size_t length,
               struct points *normalized) {
  struct points cleaned = {NULL, 0, 0}, decomposed = {NULL, 0, 0};
  bool done = false;
  uint32_t point = 0;
  for (size_t at = 0; at < length;) {
    size_t size = read_utf8(text + at, length - at, &point);
    if (size == 0 || !add_changed(&tokenizer->before, point, &cleaned)) goto end;
    at += size;
  }
  for (size_t i = 0; i < cleaned.count; ++i) {
    bool added = tokenizer->decomposes ? add_decomposed(tokenizer, cleaned.items[i], &decomposed)
                                       : add_point(&decomposed, cleaned.items[i]);
    if (!added) goto end;
  }
  if (!sort_marks(&tokenizer->classes, &decomposed)) goto end;
  for (size_t i = 0; i < decomposed.count; ++i)
    if (!add_changed(&tokenizer->after, decomposed.items[i], normalized)) goto end;
  done = true;
end:
  free(cleaned.items);
  free(decomposed.items);
  return done;
}
