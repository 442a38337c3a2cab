/* The model in three steps, encode, run and decode, or in one. Nothing here prints or exits.
 *
 * Functions that can fail return 0, or -1 with a message. A model may be used by many threads at
 * once; opening and closing it may not. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model_data.h"
#include "runtime.h"

struct model;

/* All zeros are the defaults. */
struct model_options {
  const char *library; /* ONNX Runtime's; see load_runtime */
  const char *package; /* an .ortpackage that ONNX Runtime opens in place of the bundle's graph */
  int threads;         /* of one run; 0 for one a core */
};

/* A tensor. Its data is released by free_tensors. */
struct model_tensor {
  const char *name;
  ONNXTensorElementDataType type;
  int64_t shape[MODEL_MAX_RANK];
  size_t rank, bytes;
  void *data;
};

/* An answer. `values` holds, by the model's task, the probability of each label, the embedding, or
 * the one value; where all outputs are the answer, read those instead. `shape` is that of the
 * values: of an embedding that is not pooled, a vector for each token of the text. */
struct model_result {
  double *values;
  size_t count, rank;
  int64_t shape[MODEL_MAX_RANK];
  size_t best;       /* the place of the largest */
  const char *label; /* its label; NULL where there are none */
};

/* Whether the item has the label at a place, where it may have any number of them. */
bool model_has_label(const struct model_result *result, size_t place);

/* Opens the graph in a folder, the bundle's `model`. */
int model_open(const char *folder, const struct model_options *options, struct model **opened,
               char message[MESSAGE_BYTES]);

void model_close(struct model *model);

/* "onnxruntime 1.31.1", and the variant that runs. */
const char *model_release(const struct model *model);
const char *model_variant(const struct model *model);

/* Milliseconds that creating ONNX Runtime's session took: by the clock, and of the processors. */
struct session_time {
  double wall_ms, cpu_ms;
};
struct session_time model_session_time(const struct model *model);
double model_clock_ms(bool cpu);

/* Inputs of a text; of two where `second` is not NULL. Both are UTF-8 and need no NUL at the end.
 * `feeds` has room for model_data.input_count tensors, as in the next three. */
int model_encode_text(const char *text, size_t length, const char *second, size_t second_length,
                      struct model_tensor *feeds, char message[MESSAGE_BYTES]);

/* Inputs of a row: a cell for each of model_data.columns. */
int model_encode_row(const struct model_cell *cells, struct model_tensor *feeds,
                     char message[MESSAGE_BYTES]);

/* Inputs of an image: uint8[height, width, channels]. */
int model_encode_pixels(const uint8_t *pixels, struct model_tensor *feeds,
                        char message[MESSAGE_BYTES]);

/* Runs the graph once. `outputs` has room for model_data.output_count tensors. */
int model_run(const struct model *model, const struct model_tensor *feeds,
              struct model_tensor *outputs, char message[MESSAGE_BYTES]);

/* The answer that the outputs of one item hold, and the feeds that they were made of: a vector of
 * padding is no part of it. Release it with free_result. */
int model_decode(const struct model_tensor *outputs, const struct model_tensor *feeds,
                 struct model_result *result, char message[MESSAGE_BYTES]);

/* Runs the graph on feeds, which it releases, and decodes: with model_encode_* all in one. */
int model_answer(const struct model *model, struct model_tensor *feeds,
                 struct model_result *result, char message[MESSAGE_BYTES]);

/* Encodes, runs and decodes a text. */
int model_text(const struct model *model, const char *text, size_t length,
               struct model_result *result, char message[MESSAGE_BYTES]);

/* An element of a tensor as a number. */
double tensor_element(const struct model_tensor *tensor, size_t place);
size_t tensor_elements(const struct model_tensor *tensor);
size_t shape_elements(const int64_t *shape, size_t rank);

/* Bytes of an element; 0 for types that are no numbers. */
size_t element_bytes(ONNXTensorElementDataType type);

void free_tensors(struct model_tensor *tensors, size_t count);
void free_result(struct model_result *result);

#endif
