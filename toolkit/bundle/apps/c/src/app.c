/* The model as a command. Change it into your program, or take model.h into it.
 *
 *   app [options] TEXT ...      an answer a line, as JSON; lines of stdin without TEXT
 *   app --pair FIRST SECOND     two texts that belong together
 *   app --self-test             compares this machine with the one that made the bundle
 *   app --bench RUNS [TEXT]     how long a run takes
 *
 * Of a table's model, TEXT is a row: its columns in order, with commas between them. Of a model
 * of images or tensors, it is the name of a file with the raw values, in C order.
 *
 * --model FOLDER    where model.onnx is; `model` beside the program, or here
 * --package PKG     an .ortpackage for ONNX Runtime to open in place of model.onnx
 * --library FILE    libonnxruntime.so
 * --threads N       of one run; one a core when not given
 */
#define _POSIX_C_SOURCE 200809L

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "items.h"
#include "self_test.h"

struct asked {
  struct model_options options;
  const char *folder;
  char **texts;
  int count, runs;
  bool self_test, pair, help;
};

static int usage(FILE *to, int code) {
  fputs("usage: app [--model FOLDER] [--package PKG] [--library FILE] [--threads N]\n"
        "           TEXT ... | --pair FIRST SECOND | --self-test | --bench RUNS [TEXT]\n",
        to);
  return code;
}

/* An option's value, as the next argument. */
static const char *value_after(int argc, char **argv, int *at) {
  return *at + 1 < argc ? argv[++*at] : NULL;
}

/* A whole number from 1 on; 0 for anything else. */
static int count_of(const char *text) {
  char *end;
  long value = text == NULL ? 0 : strtol(text, &end, 10);
  return value > 0 && value <= INT_MAX && *end == '\0' ? (int)value : 0;
}

static int read_arguments(int argc, char **argv, struct asked *asked) {
  int at = 1;
  for (; at < argc && strncmp(argv[at], "--", 2) == 0; ++at) {
    const char *name = argv[at];
    const char **text = strcmp(name, "--model") == 0     ? &asked->folder
                        : strcmp(name, "--package") == 0 ? &asked->options.package
                        : strcmp(name, "--library") == 0 ? &asked->options.library
                                                         : NULL;
    int *number = strcmp(name, "--threads") == 0 ? &asked->options.threads
                  : strcmp(name, "--bench") == 0 ? &asked->runs
                                                 : NULL;
    if (strcmp(name, "--self-test") == 0) {
      asked->self_test = true;
    } else if (strcmp(name, "--help") == 0) {
      asked->help = true;
      return 0;
    } else if (strcmp(name, "--pair") == 0) {
      asked->pair = true;
    } else if (text != NULL) {
      *text = value_after(argc, argv, &at);
      if (*text == NULL) return -1;
    } else if (number != NULL) {
      *number = count_of(value_after(argc, argv, &at));
      if (*number == 0) return -1;
    } else if (strcmp(name, "--") == 0) {
      ++at;
      break;
    } else {
      return -1;
    }
  }
  asked->texts = argv + at;
  asked->count = argc - at;
  return asked->pair && asked->count != 2 ? -1 : 0;
}

/* `model` beside the program where there is one, else here. */
static const char *default_folder(char folder[4096]) {
  program_folder(folder, 4096 - sizeof "model");
  strcat(folder, "model");
  return access(folder, R_OK) == 0 ? folder : "model";
}

static int answer_all(const struct model *model, const struct asked *asked,
                      char message[MESSAGE_BYTES]) {
  if (asked->pair)
    return answer_pair(model, asked->texts[0], asked->texts[1], stdout, message);
  if (asked->count == 0) return answer_lines(model, stdin, stdout, message);
  for (int i = 0; i < asked->count; ++i)
    if (answer(model, asked->texts[i], strlen(asked->texts[i]), stdout, message) != 0) return -1;
  return 0;
}

int main(int argc, char **argv) {
  double started_ms = model_clock_ms(false);
  struct asked asked = {.folder = NULL};
  struct model *model = NULL;
  char message[MESSAGE_BYTES] = "", folder[4096];
  if (read_arguments(argc, argv, &asked) != 0) return usage(stderr, 2);
  if (asked.help) return usage(stdout, 0);
  if (asked.folder == NULL) asked.folder = default_folder(folder);
  if (model_open(asked.folder, &asked.options, &model, message) != 0) {
    fprintf(stderr, "error: %s\n", message);
    return 4;
  }
  if (asked.options.package != NULL) fprintf(stderr, "variant %s\n", model_variant(model));
  int code = 0;
  if (asked.self_test) {
    code = self_test(model, asked.folder);
  } else if ((asked.runs > 0 ? bench(model, asked.runs, asked.count > 0 ? asked.texts[0] : NULL,
                                     started_ms, message)
                             : answer_all(model, &asked, message)) != 0) {
    fprintf(stderr, "error: %s\n", message);
    code = 3;
  }
  if (fflush(stdout) != 0 || ferror(stdout)) {
    fputs("error: the answers cannot be written\n", stderr);
    code = 3;
  }
  model_close(model);
  return code;
}
