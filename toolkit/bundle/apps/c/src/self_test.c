#include "self_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sha256.h"

/* Between float32 and double, times the number but at least 1; half of float16's last digit. */
#define ANSWER_LIMIT 1e-3

/* What JSON can hold, and larger than any limit: for answers that are not finite. */
#define NOT_FINITE 1e300

static FILE *open_in(const char *folder, const char *name) {
  char path[4096];
  if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path) return NULL;
  return fopen(path, "rb");
}

static int check_files(const char *folder) {
  int problems = 0;
  for (size_t i = 0; i < model_data.file_count; ++i) {
    const struct file_data *wanted = &model_data.files[i];
    char digest[65] = "";
    FILE *file = open_in(folder, wanted->name);
    if (file == NULL || sha256_file(file, digest) != 0 || strcmp(digest, wanted->sha256) != 0) {
      fprintf(stderr, "%s %s\n", wanted->name, file == NULL ? "cannot be read" : "was changed");
      ++problems;
    }
    if (file != NULL) fclose(file);
  }
  return problems;
}

/* Reads a stored tensor; the file is little-endian, as are the machines that this is built for. */
static int read_tensor(FILE *file, const struct stored_data *stored, struct model_tensor *tensor) {
  *tensor = (struct model_tensor){.name = stored->name,
                                  .type = stored->type,
                                  .rank = stored->rank,
                                  .bytes = stored->bytes,
                                  .data = malloc(stored->bytes + 1)};
  memcpy(tensor->shape, stored->shape, sizeof tensor->shape);
  return tensor->data != NULL && fseek(file, (long)stored->offset, SEEK_SET) == 0 &&
                 fread(tensor->data, 1, stored->bytes, file) == stored->bytes
             ? 0
             : -1;
}

static int read_tensors(FILE *file, const struct stored_data *stored, size_t count,
                        struct model_tensor *tensors) {
  for (size_t i = 0; i < count; ++i)
    if (read_tensor(file, &stored[i], &tensors[i]) != 0) return -1;
  return 0;
}

static int same(const struct model_tensor *tensor, const struct model_tensor *other) {
  return tensor->type == other->type && tensor->rank == other->rank &&
         tensor->bytes == other->bytes &&
         memcmp(tensor->shape, other->shape, tensor->rank * sizeof *tensor->shape) == 0 &&
         memcmp(tensor->data, other->data, tensor->bytes) == 0;
}

/* Whether preprocessing makes exactly these inputs of the case's item, where it has one. */
static int check_encoding(const struct case_data *one, const struct model_tensor *inputs,
                          struct model_tensor *made, char message[MESSAGE_BYTES]) {
  int failed = one->text != NULL   ? model_encode_text(one->text, one->text_length, one->second,
                                                       one->second_length, made, message)
               : one->row != NULL    ? model_encode_row(one->row, made, message)
               : one->pixels != NULL ? model_encode_pixels(one->pixels, made, message)
                                     : 0;
  bool has_item = one->text != NULL || one->row != NULL || one->pixels != NULL;
  for (size_t i = 0; !failed && has_item && i < model_data.input_count; ++i)
    if (!same(&made[i], &inputs[i])) failed = say(message, "%s differs", made[i].name);
  return failed;
}

static bool is_near(double value, double expected) {
  return isnan(expected) || fabs(value - expected) <= ANSWER_LIMIT * fmax(1, fabs(expected));
}

static int compare_answers(const struct model_result *result, const struct answer_data *expected,
                           char message[MESSAGE_BYTES]) {
  if (result->rank != expected->rank || result->count < expected->count ||
      memcmp(result->shape, expected->shape, result->rank * sizeof *result->shape) != 0)
    return say(message, "postprocessing makes an answer of another size");
  for (size_t i = 0; i < expected->count; ++i)
    if (!is_near(result->values[i], expected->values[i]))
      return say(message, "postprocessing makes %.9g where %.9g was", result->values[i],
                 expected->values[i]);
  if (model_data.task != TASK_CLASSES) return 0;
  /* Of two labels that are as good as each other, either may come first. */
  if (!is_near(result->values[result->best], result->values[expected->best]))
    return say(message, "postprocessing makes %s where %s was", result->label,
               model_data.labels[expected->best]);
  for (size_t i = 0; expected->chosen != NULL && i < result->count; ++i)
    if (model_has_label(result, i) != expected->chosen[i] && !is_near(result->values[i], 0.5))
      return say(message, "postprocessing takes the label %s otherwise", model_data.labels[i]);
  return 0;
}

/* Whether postprocessing makes the stored answer of the stored outputs. */
static int check_decoding(const struct case_data *one, const struct model_tensor *outputs,
                          const struct model_tensor *inputs, char message[MESSAGE_BYTES]) {
  struct model_result result;
  if (one->answer == NULL) return 0;
  if (model_decode(outputs, inputs, &result, message) != 0) return -1;
  int failed = compare_answers(&result, one->answer, message);
  free_result(&result);
  return failed;
}

static double largest_difference(const struct model_tensor *output,
                                 const struct model_tensor *expected) {
  double largest = 0;
  if (output->type != expected->type || output->bytes != expected->bytes) return NOT_FINITE;
  for (size_t i = 0; i < tensor_elements(output); ++i) {
    double difference = fabs(tensor_element(output, i) - tensor_element(expected, i));
    largest = fmax(largest, isfinite(difference) ? difference : NOT_FINITE);
  }
  return largest;
}

/* Runs a case with the tensors in `room`: inputs, made inputs, outputs, expected outputs. */
static int check_case(const struct model *model, FILE *file, const struct case_data *one,
                      struct model_tensor *room, double *largest, char message[MESSAGE_BYTES]) {
  struct model_tensor *inputs = room, *made = inputs + model_data.input_count;
  struct model_tensor *outputs = made + model_data.input_count;
  struct model_tensor *expected = outputs + model_data.output_count;
  if (read_tensors(file, one->inputs, model_data.input_count, inputs) != 0 ||
      read_tensors(file, one->outputs, model_data.output_count, expected) != 0)
    return say(message, "%s is too short", model_data.self_test_file);
  int failed = check_encoding(one, inputs, made, message);
  if (failed) fprintf(stderr, "preprocessing makes other inputs: %s\n", message);
  failed = check_decoding(one, expected, inputs, message) || failed;
  if (model_run(model, inputs, outputs, message) != 0) return -1;
  for (size_t i = 0; i < model_data.output_count; ++i)
    *largest = fmax(*largest, largest_difference(&outputs[i], &expected[i]));
  return failed ? -1 : 0;
}

int self_test(const struct model *model, const char *folder) {
  size_t tensors = 2 * (model_data.input_count + model_data.output_count);
  struct model_tensor *room = calloc(tensors, sizeof *room);
  FILE *file = open_in(folder, model_data.self_test_file);
  char message[MESSAGE_BYTES] = "";
  double largest = 0;
  int problems = check_files(folder);
  if (room == NULL || file == NULL) {
    fprintf(stderr, "%s cannot be read\n", model_data.self_test_file);
    ++problems;
  }
  for (size_t i = 0; room != NULL && file != NULL && i < model_data.case_count; ++i) {
    if (check_case(model, file, &model_data.cases[i], room, &largest, message) != 0) {
      fprintf(stderr, "case %zu: %s\n", i + 1, message);
      ++problems;
    }
    free_tensors(room, tensors);
  }
  if (largest > model_data.limit) ++problems;
  fprintf(stderr, "largest difference %.2g (limit %.2g)\n", largest, model_data.limit);
  printf("{\"passed\": %s, \"cases\": %zu, \"largest_difference\": %.9g, \"limit\": %.9g, "
         "\"runtime\": \"%s\"}\n",
         problems == 0 ? "true" : "false", model_data.case_count, largest, model_data.limit,
         model_release(model));
  if (file != NULL) fclose(file);
  free(room);
  return problems == 0 ? 0 : 1;
}
