#include "print.h"

#include <math.h>
#include <stdlib.h>

/* A string in JSON: its control characters, quotes and backslashes escaped (RFC 8259). */
static void print_string(const char *text, FILE *to) {
  putc('"', to);
  for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; ++at) {
    if (*at < 0x20)
      fprintf(to, "\\u%04x", *at);
    else
      fprintf(to, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
  }
  putc('"', to);
}

/* 17 significant digits give back the very same double; JSON has no NaN and no infinity. */
static void print_number(double value, FILE *to) {
  fprintf(to, isfinite(value) ? "%.17g" : "null", value);
}

/* A list of lists for each axis after the first; returns what follows the values printed. */
static const double *print_nested(const double *values, const int64_t *shape, size_t rank,
                                  FILE *to) {
  if (rank == 0) {
    print_number(*values, to);
    return values + 1;
  }
  putc('[', to);
  for (int64_t i = 0; i < shape[0]; ++i) {
    if (i > 0) fputs(", ", to);
    values = print_nested(values, shape + 1, rank - 1, to);
  }
  putc(']', to);
  return values;
}

static void print_classes(const struct model_result *result, FILE *to) {
  fputs("{\"label\": ", to);
  print_string(result->label, to);
  fputs(", \"score\": ", to);
  print_number(result->values[result->best], to);
  fputs(", \"scores\": {", to);
  for (size_t i = 0; i < result->count; ++i) {
    if (i > 0) fputs(", ", to);
    print_string(model_data.labels[i], to);
    fputs(": ", to);
    print_number(result->values[i], to);
  }
  putc('}', to);
  if (!model_data.multi_label) return;
  fputs(", \"labels\": [", to);
  bool is_first = true;
  for (size_t i = 0; i < result->count; ++i) {
    if (!model_has_label(result, i)) continue;
    if (!is_first) fputs(", ", to);
    is_first = false;
    print_string(model_data.labels[i], to);
  }
  putc(']', to);
}

void print_result(const struct model_result *result, FILE *to) {
  if (model_data.task == TASK_VALUE) {
    fputs("{\"value\": ", to);
    print_number(result->values[0], to);
  } else if (model_data.task == TASK_EMBEDDING) {
    fputs("{\"embedding\": ", to);
    print_nested(result->values, result->shape, result->rank, to);
  } else {
    print_classes(result, to);
  }
  fputs("}\n", to);
}

/* numpy's name of the type. */
static const char *type_name(ONNXTensorElementDataType type) {
  static const struct {
    ONNXTensorElementDataType type;
    const char *name;
  } names[] = {
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, "bool"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, "int8"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, "uint8"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, "int16"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, "uint16"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, "int32"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, "uint32"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, "int64"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, "uint64"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, "float16"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, "float32"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, "float64"},
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    if (names[i].type == type) return names[i].name;
  return "";
}

static int print_tensor(const struct model_tensor *tensor, FILE *to,
                        char message[MESSAGE_BYTES]) {
  size_t count = tensor_elements(tensor);
  double *values = malloc((count + 1) * sizeof *values);
  if (values == NULL) return say(message, "no memory");
  for (size_t i = 0; i < count; ++i) values[i] = tensor_element(tensor, i);
  fprintf(to, "{\"dtype\": \"%s\", \"shape\": [", type_name(tensor->type));
  for (size_t i = 0; i < tensor->rank; ++i)
    fprintf(to, "%s%lld", i > 0 ? ", " : "", (long long)tensor->shape[i]);
  fputs("], \"data\": ", to);
  print_nested(values, tensor->shape, tensor->rank, to);
  putc('}', to);
  free(values);
  return 0;
}

int print_outputs(const struct model_tensor *outputs, FILE *to,
                  char message[MESSAGE_BYTES]) {
  int failed = 0;
  fputs("{\"outputs\": {", to);
  for (size_t i = 0; !failed && i < model_data.output_count; ++i) {
    if (i > 0) fputs(", ", to);
    print_string(outputs[i].name, to);
    fputs(": ", to);
    failed = print_tensor(&outputs[i], to, message);
  }
  fputs("}}\n", to);
  return failed;
}
