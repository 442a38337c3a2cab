#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "items.h"

enum { WARM_UP = 10 };

static int by_size(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* The percentile by nearest rank, so that it is a run that happened. */
static double percentile(double *sorted, int count, double share) {
  int rank = (int)ceil(share * count);
  return sorted[rank > 0 ? rank - 1 : 0];
}

static int encode(const char *item, struct model_tensor *feeds, char message[MESSAGE_BYTES]) {
  const struct case_data *one = &model_data.cases[0];
  if (item != NULL) return encode_item(item, strlen(item), feeds, message);
  if (one->text != NULL)
    return model_encode_text(one->text, one->text_length, one->second, one->second_length, feeds,
                             message);
  if (one->row != NULL) return model_encode_row(one->row, feeds, message);
  if (one->pixels != NULL) return model_encode_pixels(one->pixels, feeds, message);
  return say(message, "--bench needs a file with tensors");
}

/* One answer; adds what all of it and the run alone took. */
static int once(const struct model *model, const char *item, struct model_tensor *feeds,
                struct model_tensor *outputs, double *all_ms, double *run_ms,
                char message[MESSAGE_BYTES]) {
  struct model_result result;
  double start = model_clock_ms(false);
  if (encode(item, feeds, message) != 0) return -1;
  double encoded = model_clock_ms(false);
  int failed = model_run(model, feeds, outputs, message);
  double ran = model_clock_ms(false);
  if (!failed) {
    failed = model_decode(outputs, feeds, &result, message);
    if (!failed) free_result(&result);
    free_tensors(outputs, model_data.output_count);
  }
  free_tensors(feeds, model_data.input_count);
  *run_ms = ran - encoded;
  *all_ms = model_clock_ms(false) - start;
  return failed;
}

int bench(const struct model *model, int runs, const char *item, double started_ms,
          char message[MESSAGE_BYTES]) {
  struct model_tensor *feeds = calloc(model_data.input_count, sizeof *feeds);
  struct model_tensor *outputs = calloc(model_data.output_count, sizeof *outputs);
  double *all = calloc((size_t)runs, sizeof *all), *run = calloc((size_t)runs, sizeof *run);
  double first_ms = 0, unused = 0;
  int failed = feeds == NULL || outputs == NULL || all == NULL || run == NULL
                   ? say(message, "no memory")
                   : once(model, item, feeds, outputs, &first_ms, &unused, message);
  double first_at = model_clock_ms(false), first_cpu = model_clock_ms(true);
  for (int i = 0; !failed && i < WARM_UP; ++i)
    failed = once(model, item, feeds, outputs, &unused, &unused, message);
  double cpu_before = model_clock_ms(true);
  for (int i = 0; !failed && i < runs; ++i)
    failed = once(model, item, feeds, outputs, &all[i], &run[i], message);
  double cpu = (model_clock_ms(true) - cpu_before) / runs;
  if (!failed) {
    qsort(all, (size_t)runs, sizeof *all, by_size);
    qsort(run, (size_t)runs, sizeof *run, by_size);
    struct session_time session = model_session_time(model);
    printf("{\"runs\": %d, \"warm_up\": %d, \"p50_ms\": %.6f, \"p90_ms\": %.6f, "
           "\"run_p50_ms\": %.6f, \"cpu_ms\": %.6f, \"first_answer_ms\": %.6f, "
           "\"session_creation_ms\": %.6f, \"session_creation_cpu_ms\": %.6f, "
           "\"start_to_first_answer_ms\": %.6f, \"first_answer_cpu_ms\": %.6f, "
           "\"clock_at_first_answer_ms\": %.6f, \"runtime\": \"%s\"}\n",
           runs, WARM_UP, percentile(all, runs, 0.5), percentile(all, runs, 0.9),
           percentile(run, runs, 0.5), cpu, first_ms, session.wall_ms, session.cpu_ms,
           first_at - started_ms, first_cpu, first_at, model_release(model));
  }
  free(feeds);
  free(outputs);
  free(all);
  free(run);
  return failed ? -1 : 0;
}
