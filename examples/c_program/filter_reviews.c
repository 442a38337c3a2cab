/* Prints the lines of stdin that a classifier gives one label: a C program that embeds a model.
 *
 * usage: filter_reviews FOLDER LABEL LEAST < LINES
 *
 * FOLDER is the bundle's `model`. A line that has LABEL with a probability of LEAST or more is
 * printed behind it. A line that is no UTF-8 is reported and left out.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* The place of a label among the model's; their number where it is none. */
static size_t find_label(const char *name) {
  size_t place = 0;
  while (place < model_data.label_count && strcmp(model_data.labels[place], name) != 0) ++place;
  return place;
}

/* Returns how many lines could not be answered. */
static int filter(const struct model *model, size_t label, double least) {
  char message[MESSAGE_BYTES], *line = NULL;
  size_t room = 0;
  ssize_t length;
  int unanswered = 0;
  while ((length = getline(&line, &room, stdin)) >= 0) {
    struct model_result result;
    if (length > 0 && line[length - 1] == '\n') line[--length] = '\0';
    if (length == 0) continue;
    if (model_text(model, line, (size_t)length, &result, message) != 0) {
      fprintf(stderr, "left out: %s\n", message);
      ++unanswered;
      continue;
    }
    if (result.values[label] >= least) printf("%.2f %s\n", result.values[label], line);
    free_result(&result);
  }
  free(line);
  return unanswered;
}

int main(int argc, char **argv) {
  struct model *model = NULL;
  char message[MESSAGE_BYTES], *end = NULL;
  double least = argc == 4 ? strtod(argv[3], &end) : 0;
  if (argc != 4 || *end != '\0') {
    fputs("usage: filter_reviews FOLDER LABEL LEAST < LINES\n", stderr);
    return 2;
  }
  size_t label = find_label(argv[2]);
  if (label == model_data.label_count) {
    fprintf(stderr, "error: %s has no label %s\n", model_data.name, argv[2]);
    return 3;
  }
  if (model_open(argv[1], NULL, &model, message) != 0) {
    fprintf(stderr, "error: %s\n", message);
    return 4;
  }
  int unanswered = filter(model, label, least);
  model_close(model);
  return unanswered == 0 ? 0 : 3;
}
