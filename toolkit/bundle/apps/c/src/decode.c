/* Tensors as numbers, and the graph's outputs to answers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

size_t element_bytes(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return 1;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return 2;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return 4;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return 8;
    default:
      return 0;
  }
}

size_t tensor_elements(const struct model_tensor *tensor) {
  return tensor->bytes / element_bytes(tensor->type);
}

/* IEEE 754 binary16: a sign, 5 bits of exponent, 10 of fraction. */
static double half_as_double(uint16_t half) {
  int exponent = half >> 10 & 0x1F;
  double fraction = half & 0x3FF;
  double size = exponent == 0x1F ? (fraction > 0 ? (double)NAN : (double)INFINITY)
                : exponent == 0  ? ldexp(fraction, -24)
                                 : ldexp(fraction + 1024, exponent - 25);
  return half & 0x8000 ? -size : size;
}

double tensor_element(const struct model_tensor *tensor, size_t place) {
  const void *data = tensor->data;
  switch (tensor->type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return ((const float *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return ((const double *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return half_as_double(((const uint16_t *)data)[place]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      return (double)((const int64_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return ((const int32_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return ((const int16_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return ((const int8_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return (double)((const uint64_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return ((const uint32_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return ((const uint16_t *)data)[place];
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return ((const uint8_t *)data)[place];
    default:
      return (double)NAN;
  }
}

void free_tensors(struct model_tensor *tensors, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    free(tensors[i].data);
    tensors[i].data = NULL;
  }
}

void free_result(struct model_result *result) {
  free(result->values);
  *result = (struct model_result){NULL, 0, 0, NULL};
}

/* One over one plus e to the minus x, whatever x: the exponential is at most 1. */
static double sigmoid(double x) {
  double power = exp(-fabs(x));
  return x >= 0 ? 1 / (1 + power) : power / (1 + power);
}

static void softmax(double *values, size_t count) {
  double largest = values[0], sum = 0;
  for (size_t i = 1; i < count; ++i) largest = fmax(largest, values[i]);
  for (size_t i = 0; i < count; ++i) sum += values[i] = exp(values[i] - largest);
  for (size_t i = 0; i < count; ++i) values[i] /= sum;
}

static void classify(struct model_result *result) {
  double *values = result->values;
  if (strcmp(model_data.activation, "softmax") == 0) {
    softmax(values, result->count);
  } else if (strcmp(model_data.activation, "sigmoid") == 0) {
    if (result->count == 1 && model_data.label_count == 2) { /* the negative label comes first */
      values[1] = sigmoid(values[0]);
      values[0] = sigmoid(-values[0]);
      result->count = 2;
    } else {
      for (size_t i = 0; i < result->count; ++i) values[i] = sigmoid(values[i]);
    }
  }
  for (size_t i = 1; i < result->count; ++i)
    if (values[i] > values[result->best]) result->best = i;
  if (result->best < model_data.label_count) result->label = model_data.labels[result->best];
}

int model_decode(const struct model_tensor *outputs, struct model_result *result,
                 char message[MESSAGE_BYTES]) {
  const struct model_tensor *answer = NULL;
  *result = (struct model_result){NULL, 0, 0, NULL};
  if (model_data.task == TASK_TENSORS) return 0;
  for (size_t i = 0; i < model_data.output_count; ++i)
    if (strcmp(outputs[i].name, model_data.output) == 0) answer = &outputs[i];
  if (answer == NULL || answer->bytes == 0)
    return say(message, "the output %s holds nothing", model_data.output);
  result->count = tensor_elements(answer);
  result->values = malloc((result->count + 1) * sizeof *result->values);
  if (result->values == NULL) return say(message, "no memory");
  for (size_t i = 0; i < result->count; ++i) result->values[i] = tensor_element(answer, i);
  if (model_data.task == TASK_CLASSES) classify(result);
  if (model_data.task == TASK_VALUE && model_data.value_is_exp)
    result->values[0] = exp(result->values[0]);
  return 0;
}
