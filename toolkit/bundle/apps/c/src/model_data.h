/* What `data/` says of the model: written when the bundle was made, from model/model.json and
 * model/tokenizer.json, so that the program parses neither. */
#ifndef MODEL_DATA_H
#define MODEL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "onnxruntime_c_api.h"

enum { MODEL_MAX_RANK = 8 };

/* --- the tokenizer ------------------------------------------------------------------------- */

/* What becomes of the code points `first` to `last`. */
struct change {
  uint32_t first, last;
  int32_t shift;  /* added where one code point becomes one other: `count` is 1 */
  uint16_t start; /* else the place of what it becomes in the table's pool */
  uint16_t count;
};

struct change_table {
  const struct change *changes;
  size_t count;
  const uint32_t *pool;
};

#define CODE_POINT_ITSELF UINT32_C(0xFFFFFFFF) /* in a pool */

/* Code points with one value: a combining class, or a `character_kind`. */
struct marked {
  uint32_t first, last, value;
};

struct marked_table {
  const struct marked *ranges;
  size_t count;
};

enum character_kind {
  KIND_WORD,   /* makes a word with its like */
  KIND_SPACE,  /* ends a word */
  KIND_ALONE,  /* is a word by itself */
  KIND_SYMBOL, /* makes a word with its like, too */
};

struct token {
  const char *text; /* UTF-8 */
  uint32_t length;  /* bytes */
  int32_t id;
};

enum place_kind { PLACE_TOKEN, PLACE_FIRST, PLACE_SECOND };

/* One place of the template around the texts. */
struct place {
  enum place_kind kind;
  int32_t token, type;
};

struct tokenizer_data {
  struct change_table before, decomposition, after;
  bool decomposes;
  struct marked_table classes, kinds;
  const struct token *vocabulary; /* sorted by bytes */
  size_t vocabulary_count;
  size_t inside_first, inside_count; /* WordPiece's tokens inside a word; none for WordLevel */
  size_t prefix_length, longest_token; /* bytes */
  size_t longest_word;                 /* characters */
  int32_t unknown;
  const struct token *special;
  size_t special_count;
  const struct place *single, *pair;
  size_t single_count, pair_count;
};

/* --- the model ------------------------------------------------------------------------------- */

enum model_task { TASK_CLASSES, TASK_EMBEDDING, TASK_VALUE, TASK_TENSORS };

enum text_field { FIELD_NONE, FIELD_IDS, FIELD_MASK, FIELD_TYPES };

/* A graph input or output. */
struct tensor_data {
  const char *name;
  ONNXTensorElementDataType type;
  enum text_field field;
};

/* A column of a table; one with levels is categorical. */
struct column_data {
  const char *name;
  double fill; /* what a missing number means; NaN where it is an error */
  const char *const *levels;
  size_t level_count;
  bool takes_others;
};

struct image_data {
  size_t height, width, channels;
  float scale;
  const float *mean, *deviation; /* one a channel, or NULL */
};

struct file_data {
  const char *name, *sha256;
};

struct setting_data {
  const char *key, *value;
};

/* A tensor in self_test.bin. */
struct stored_data {
  const char *name;
  ONNXTensorElementDataType type;
  int64_t shape[MODEL_MAX_RANK];
  size_t rank, offset, bytes;
};

/* A value of a row: a number, NaN where it is missing, or the text of a level. */
struct model_cell {
  const char *text;
  double number;
};

/* What postprocessing made of a case's stored outputs where the bundle was made. */
struct answer_data {
  int64_t shape[MODEL_MAX_RANK];
  size_t rank;
  const double *values; /* NaN where JSON has no number for it */
  size_t count;         /* of a large embedding only the first ones are stored */
  size_t best;          /* the place of the label, where there are labels */
  const bool *chosen;   /* for each label whether the item has it; NULL where it has one */
};

struct case_data {
  const char *text, *second; /* NULL where there is none */
  size_t text_length, second_length;
  const struct model_cell *row;
  const uint8_t *pixels;
  const struct stored_data *inputs, *outputs;
  const struct answer_data *answer; /* NULL where tensors go in */
};

struct model_data {
  const char *name, *variant, *graph, *self_test_file;
  enum model_task task;
  const char *const *labels;
  size_t label_count;
  const char *output;     /* the graph output that holds the answer, or "" */
  const char *activation; /* "softmax", "sigmoid" or "none" */
  bool multi_label, value_is_exp;
  const struct tensor_data *inputs, *outputs;
  size_t input_count, output_count;
  const struct tokenizer_data *tokenizer; /* NULL where no text goes in, as the next two */
  const struct column_data *columns;
  const struct image_data *image;
  size_t column_count, max_length, length;
  int32_t pad_id;
  const struct file_data *files;
  size_t file_count;
  const struct setting_data *settings;
  size_t setting_count;
  const struct case_data *cases;
  size_t case_count;
  double limit;
};

extern const struct model_data model_data;

#endif
