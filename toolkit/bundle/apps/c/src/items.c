#define _POSIX_C_SOURCE 200809L

#include "items.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"

/* Cuts a line of comma-separated values in place; a value in double quotes may hold commas, and a
 * quote as two of them (RFC 4180). Returns how many cells there are, at most `most` + 1. */
static size_t split_row(char *line, char **cells, size_t most) {
  size_t count = 0;
  char *read = line;
  for (;;) {
    char *write = read;
    bool quoted = *read == '"';
    if (count < most) cells[count] = write;
    ++count;
    if (quoted) ++read;
    for (; *read != '\0' && (quoted || *read != ','); ++read) {
      if (quoted && *read == '"') {
        if (read[1] != '"') {
          quoted = false;
          continue;
        }
        ++read;
      }
      *write++ = *read;
    }
    bool more = *read == ',';
    if (more) ++read;
    *write = '\0';
    if (!more || count > most) return count;
  }
}

static int encode_row(const char *item, size_t length, struct model_tensor *feeds,
                      char message[MESSAGE_BYTES]) {
  size_t columns = model_data.column_count;
  char *line = malloc(length + 1), **texts = calloc(columns, sizeof *texts);
  struct model_cell *cells = calloc(columns, sizeof *cells);
  int failed = 0;
  if (line == NULL || texts == NULL || cells == NULL) {
    failed = say(message, "no memory");
    goto end;
  }
  memcpy(line, item, length);
  line[length] = '\0';
  size_t found = split_row(line, texts, columns);
  if (found != columns) {
    failed = say(message, "a row has %zu columns, not %s%zu", columns,
                 found > columns ? "more than " : "", found > columns ? columns : found);
    goto end;
  }
  for (size_t i = 0; i < columns && !failed; ++i) {
    char *end = texts[i];
    bool is_empty = *texts[i] == '\0';
    cells[i].text = texts[i];
    cells[i].number = is_empty ? (double)NAN : strtod(texts[i], &end);
    /* strtod takes "nan", which would be a missing number, and hexadecimal ones. */
    if (model_data.columns[i].levels == NULL && !is_empty &&
        (*end != '\0' || end == texts[i] || !isfinite(cells[i].number) ||
         strpbrk(texts[i], "xX") != NULL))
      failed = say(message, "the column %s holds '%s', which is no number",
                   model_data.columns[i].name, texts[i]);
  }
  if (!failed) failed = model_encode_row(cells, feeds, message);
end:
  free(cells);
  free(texts);
  free(line);
  return failed;
}

/* All of a file that has to have `bytes` bytes. */
static void *read_exactly(const char *path, size_t bytes, char message[MESSAGE_BYTES]) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    say(message, "cannot open %s", path);
    return NULL;
  }
  char *data = malloc(bytes + 1);
  size_t found = data == NULL ? 0 : fread(data, 1, bytes + 1, file);
  fclose(file);
  if (data != NULL && found == bytes) return data;
  say(message, "%s does not hold exactly %zu bytes", path, bytes);
  free(data);
  return NULL;
}

static int encode_pixels(const char *path, struct model_tensor *feeds,
                         char message[MESSAGE_BYTES]) {
  const struct image_data *image = model_data.image;
  uint8_t *pixels = read_exactly(path, image->height * image->width * image->channels, message);
  if (pixels == NULL) return -1;
  int failed = model_encode_pixels(pixels, feeds, message);
  free(pixels);
  return failed;
}

/* The inputs of the first reference case give the sizes; their values stand one after another. */
static int encode_tensors(const char *path, struct model_tensor *feeds,
                          char message[MESSAGE_BYTES]) {
  const struct stored_data *shapes = model_data.cases[0].inputs;
  size_t bytes = 0;
  for (size_t i = 0; i < model_data.input_count; ++i) bytes += shapes[i].bytes;
  char *data = read_exactly(path, bytes, message);
  int failed = data == NULL ? -1 : 0;
  const char *next = data;
  memset(feeds, 0, model_data.input_count * sizeof *feeds);
  for (size_t i = 0; i < model_data.input_count && !failed; ++i) {
    feeds[i] = (struct model_tensor){.name = shapes[i].name,
                                     .type = shapes[i].type,
                                     .rank = shapes[i].rank,
                                     .bytes = shapes[i].bytes,
                                     .data = malloc(shapes[i].bytes + 1)};
    memcpy(feeds[i].shape, shapes[i].shape, sizeof feeds[i].shape);
    if (feeds[i].data == NULL) {
      failed = say(message, "no memory");
    } else {
      memcpy(feeds[i].data, next, shapes[i].bytes);
      next += shapes[i].bytes;
    }
  }
  free(data);
  if (failed) free_tensors(feeds, model_data.input_count);
  return failed;
}

int encode_item(const char *item, size_t length, struct model_tensor *feeds,
                char message[MESSAGE_BYTES]) {
  if (model_data.tokenizer != NULL)
    return model_encode_text(item, length, NULL, 0, feeds, message);
  if (model_data.column_count > 0) return encode_row(item, length, feeds, message);
  return model_data.image != NULL ? encode_pixels(item, feeds, message)
                                  : encode_tensors(item, feeds, message);
}

static int answer_feeds(const struct model *model, struct model_tensor *feeds, FILE *to,
                        char message[MESSAGE_BYTES]) {
  struct model_result result;
  if (model_data.task != TASK_TENSORS) {
    if (model_answer(model, feeds, &result, message) != 0) return -1;
    print_result(&result, to);
    free_result(&result);
    return 0;
  }
  struct model_tensor *outputs = calloc(model_data.output_count, sizeof *outputs);
  int failed = outputs == NULL ? say(message, "no memory")
                               : model_run(model, feeds, outputs, message);
  if (!failed) {
    failed = print_outputs(outputs, to, message);
    free_tensors(outputs, model_data.output_count);
  }
  free(outputs);
  free_tensors(feeds, model_data.input_count);
  return failed;
}

int answer(const struct model *model, const char *item, size_t length, FILE *to,
           char message[MESSAGE_BYTES]) {
  struct model_tensor *feeds = calloc(model_data.input_count, sizeof *feeds);
  if (feeds == NULL) return say(message, "no memory");
  int failed = encode_item(item, length, feeds, message) || answer_feeds(model, feeds, to, message);
  free(feeds);
  return failed ? -1 : 0;
}

int answer_pair(const struct model *model, const char *first, const char *second, FILE *to,
                char message[MESSAGE_BYTES]) {
  struct model_tensor *feeds = calloc(model_data.input_count, sizeof *feeds);
  if (feeds == NULL) return say(message, "no memory");
  int failed =
      model_encode_text(first, strlen(first), second, strlen(second), feeds, message) ||
      answer_feeds(model, feeds, to, message);
  free(feeds);
  return failed ? -1 : 0;
}

int answer_lines(const struct model *model, FILE *from, FILE *to, char message[MESSAGE_BYTES]) {
  char *line = NULL;
  size_t room = 0, number = 0;
  ssize_t length;
  int failed = 0;
  while (!failed && (length = getline(&line, &room, from)) >= 0) {
    char problem[MESSAGE_BYTES];
    ++number;
    if (length > 0 && line[length - 1] == '\n') line[--length] = '\0';
    if (length > 0 && line[length - 1] == '\r') line[--length] = '\0';
    failed = answer(model, line, (size_t)length, to, problem);
    if (failed) say(message, "line %zu: %.900s", number, problem);
    fflush(to);
  }
  if (!failed && !feof(from)) failed = say(message, "line %zu cannot be read", number + 1);
  free(line);
  return failed;
}
