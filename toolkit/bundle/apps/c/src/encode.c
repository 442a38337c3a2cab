/* Texts, rows and pixels to the graph's inputs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tokenizer.h"

/* Makes a feed of `elements` elements that are all 0. */
static int make_feed(const struct tensor_data *input, const int64_t *shape, size_t rank,
                     struct model_tensor *feed, char message[MESSAGE_BYTES]) {
  size_t elements = 1;
  *feed = (struct model_tensor){.name = input->name, .type = input->type, .rank = rank};
  for (size_t i = 0; i < rank; ++i) {
    feed->shape[i] = shape[i];
    elements *= (size_t)shape[i];
  }
  feed->bytes = elements * element_bytes(input->type);
  feed->data = calloc(1, feed->bytes + 1);
  return feed->data == NULL ? say(message, "no memory") : 0;
}

static int set_whole_number(struct model_tensor *feed, size_t place, int64_t value,
                            char message[MESSAGE_BYTES]) {
  if (feed->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64)
    ((int64_t *)feed->data)[place] = value;
  else if (feed->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32)
    ((int32_t *)feed->data)[place] = (int32_t)value;
  else
    return say(message, "the input %s takes neither int64 nor int32", feed->name);
  return 0;
}

static int feed_tokens(const struct tokens *tokens, struct model_tensor *feeds,
                       char message[MESSAGE_BYTES]) {
  size_t length = model_data.length > 0 ? model_data.length : tokens->count;
  if (length == 0) length = 1; /* no graph takes a sequence of length 0 */
  const int64_t shape[] = {1, (int64_t)length};
  for (size_t i = 0; i < model_data.input_count; ++i) {
    const struct tensor_data *input = &model_data.inputs[i];
    if (make_feed(input, shape, 2, &feeds[i], message) != 0) return -1;
    for (size_t place = 0; place < length; ++place) {
      int64_t value = input->field == FIELD_IDS ? model_data.pad_id : 0;
      if (place < tokens->count)
        value = input->field == FIELD_IDS    ? tokens->ids[place]
                : input->field == FIELD_MASK ? 1
                                             : tokens->types[place];
      if (set_whole_number(&feeds[i], place, value, message) != 0) return -1;
    }
  }
  return 0;
}

static int finish(int failed, struct model_tensor *feeds) {
  if (failed) free_tensors(feeds, model_data.input_count);
  return failed ? -1 : 0;
}

static void clear(struct model_tensor *feeds) {
  memset(feeds, 0, model_data.input_count * sizeof *feeds);
}

int model_encode_text(const char *text, size_t length, const char *second, size_t second_length,
                      struct model_tensor *feeds, char message[MESSAGE_BYTES]) {
  struct tokens tokens;
  clear(feeds);
  if (model_data.tokenizer == NULL) return say(message, "this model takes no text");
  switch (make_tokens(model_data.tokenizer, text, length, second, second_length,
                      model_data.max_length, &tokens)) {
    case TOKENS_NOT_UTF8:
      return say(message, "the text is not UTF-8");
    case TOKENS_NO_MEMORY:
      return say(message, "no memory");
    case TOKENS_MADE:
      break;
  }
  int failed = feed_tokens(&tokens, feeds, message);
  free_tokens(&tokens);
  return finish(failed, feeds);
}

/* The place of a level; the number of levels where others are taken. */
static int level_of(const struct column_data *column, const char *text, int64_t *level,
                    char message[MESSAGE_BYTES]) {
  for (size_t i = 0; text != NULL && i < column->level_count; ++i) {
    if (strcmp(column->levels[i], text) == 0) {
      *level = (int64_t)i;
      return 0;
    }
  }
  if (text == NULL || !column->takes_others)
    return say(message, "the column %s holds %s, which is none of its %zu levels", column->name,
               text == NULL ? "nothing" : text, column->level_count);
  *level = (int64_t)column->level_count;
  return 0;
}

static int feed_row(const struct model_cell *cells, struct model_tensor *feed, bool categorical,
                    char message[MESSAGE_BYTES]) {
  size_t place = 0;
  for (size_t i = 0; i < model_data.column_count; ++i) {
    const struct column_data *column = &model_data.columns[i];
    if ((column->levels != NULL) != categorical) continue;
    if (categorical) {
      int64_t level = 0;
      if (level_of(column, cells[i].text, &level, message) != 0 ||
          set_whole_number(feed, place, level, message) != 0)
        return -1;
    } else {
      double number = isnan(cells[i].number) ? column->fill : cells[i].number;
      if (!isfinite(number)) return say(message, "the column %s holds no number", column->name);
      ((float *)feed->data)[place] = (float)number;
    }
    ++place;
  }
  return 0;
}

int model_encode_row(const struct model_cell *cells, struct model_tensor *feeds,
                     char message[MESSAGE_BYTES]) {
  int failed = 0;
  clear(feeds);
  if (model_data.column_count == 0) return say(message, "this model takes no rows");
  for (size_t i = 0; i < model_data.input_count && !failed; ++i) {
    bool categorical = strcmp(model_data.inputs[i].name, "categorical") == 0;
    int64_t shape[] = {1, 0};
    for (size_t j = 0; j < model_data.column_count; ++j)
      shape[1] += (model_data.columns[j].levels != NULL) == categorical;
    failed = make_feed(&model_data.inputs[i], shape, 2, &feeds[i], message) ||
             feed_row(cells, &feeds[i], categorical, message);
  }
  return finish(failed, feeds);
}

int model_encode_pixels(const uint8_t *pixels, struct model_tensor *feeds,
                        char message[MESSAGE_BYTES]) {
  const struct image_data *image = model_data.image;
  clear(feeds);
  if (image == NULL) return say(message, "this model takes no images");
  size_t plane = image->height * image->width;
  const int64_t shape[] = {1, (int64_t)image->channels, (int64_t)image->height,
                           (int64_t)image->width};
  if (make_feed(&model_data.inputs[0], shape, 4, &feeds[0], message) != 0) return finish(-1, feeds);
  float *values = feeds[0].data; /* [1, channels, height, width] */
  for (size_t channel = 0; channel < image->channels; ++channel) {
    for (size_t i = 0; i < plane; ++i) {
      float value = (float)pixels[i * image->channels + channel] * image->scale;
      if (image->mean != NULL) value -= image->mean[channel];
      if (image->deviation != NULL) value /= image->deviation[channel];
      values[channel * plane + i] = value;
    }
  }
  return 0;
}
