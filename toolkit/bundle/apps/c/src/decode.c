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

size_t shape_elements(const int64_t *shape, size_t rank) {
  size_t elements = 1;
  for (size_t i = 0; i < rank; ++i) elements *= (size_t)shape[i];
  return elements;
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
  *result = (struct model_result){.values = NULL};
}

bool model_has_label(const struct model_result *result, size_t place) {
  return result->values[place] >= 0.5;
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

static int classify(struct model_result *result, char message[MESSAGE_BYTES]) {
  double *values = result->values;
  if (strcmp(model_data.activation, "softmax") == 0) {
    softmax(values, result->count);
  } else if (strcmp(model_data.activation, "sigmoid") == 0) {
    if (!model_data.multi_label) { /* one logit; the negative label comes first */
      values[1] = sigmoid(values[0]);
      values[0] = sigmoid(-values[0]);
      result->count = 2;
    } else {
      for (size_t i = 0; i < result->count; ++i) values[i] = sigmoid(values[i]);
    }
  }
  result->rank = 1;
  result->shape[0] = (int64_t)result->count;
  if (result->count != model_data.label_count)
    return say(message, "the output %s gives %zu probabilities, not one for each of %zu labels",
               model_data.output, result->count, model_data.label_count);
  for (size_t i = 1; i < result->count; ++i)
    if (values[i] > values[result->best]) result->best = i;
  result->label = model_data.labels[result->best];
  return 0;
}

/* The shape of an embedding, without the batch's axis and without the vectors of padding. */
static void shape_embedding(const struct model_tensor *answer, const struct model_tensor *feeds,
                            struct model_result *result) {
  result->rank = answer->rank > 0 ? answer->rank - 1 : 0;
  for (size_t i = 0; i < result->rank; ++i) result->shape[i] = answer->shape[i + 1];
  if (strcmp(model_data.output, "last_hidden_state") != 0 || result->rank == 0) return;
  for (size_t i = 0; i < model_data.input_count; ++i) {
    double tokens = 0;
    if (model_data.inputs[i].field != FIELD_MASK) continue;
    for (size_t j = 0; j < tensor_elements(&feeds[i]); ++j) tokens += tensor_element(&feeds[i], j);
    if (tokens < (double)result->shape[0]) result->shape[0] = (int64_t)tokens;
  }
}

static int decode(const struct model_tensor *answer, const struct model_tensor *feeds,
                  struct model_result *result, char message[MESSAGE_BYTES]) {
  size_t count = tensor_elements(answer);
  /* One logit becomes two probabilities. */
  result->values = malloc((count + 1) * sizeof *result->values);
  if (result->values == NULL) return say(message, "no memory");
  for (size_t i = 0; i < count; ++i) result->values[i] = tensor_element(answer, i);
  result->count = count;
  if (model_data.task == TASK_CLASSES) return classify(result, message);
  if (model_data.task == TASK_EMBEDDING) {
    shape_embedding(answer, feeds, result);
    result->count = shape_elements(result->shape, result->rank);
    return 0;
  }
  if (count != 1)
    return say(message, "the output %s holds %zu values, not one", model_data.output, count);
  if (model_data.value_is_exp) result->values[0] = exp(result->values[0]);
  return 0;
}

int model_decode(const struct model_tensor *outputs, const struct model_tensor *feeds,
                 struct model_result *result, char message[MESSAGE_BYTES]) {
  const struct model_tensor *answer = NULL;
  *result = (struct model_result){.values = NULL};
  if (model_data.task == TASK_TENSORS) return 0;
  for (size_t i = 0; i < model_data.output_count; ++i)
    if (strcmp(outputs[i].name, model_data.output) == 0) answer = &outputs[i];
  if (answer == NULL || answer->bytes == 0)
    return say(message, "the output %s holds nothing", model_data.output);
  int failed = decode(answer, feeds, result, message);
  if (failed) free_result(result);
  return failed;
}
