/* Opens a model package through ONNX Runtime's own model-package C API and runs it once.
 *
 * usage: package_infer LIBRARY PACKAGE COMPONENT NAME:DIMxDIM...:FILE ...
 *
 * LIBRARY is the ONNX Runtime shared library, 1.29 or newer. Each FILE holds the raw,
 * native-endian values of one input in C order; the element type is the one that the graph
 * declares. Standard output gets one fact a line:
 *
 *   runtime VERSION
 *   variant NAME
 *   output NAME TYPE DIMxDIM... VALUE VALUE ...
 *
 * It stands for any application that knows ONNX Runtime and nothing of this project. How the
 * library is loaded and the package opened is what the programs of C bundles do.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "package.h"

enum { MAX_RANK = 8, MAX_TENSORS = 16 };

static const OrtApi *ort;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static void check(OrtStatus *status, const char *doing) {
  if (status != NULL) fail("%s: %s", doing, ort->GetErrorMessage(status));
}

static const char *type_name(ONNXTensorElementDataType type, size_t *size) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      *size = sizeof(float);
      return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      *size = sizeof(double);
      return "float64";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      *size = sizeof(int32_t);
      return "int32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
      *size = sizeof(int64_t);
      return "int64";
    default:
      fail("element type %d is not one this program reads or prints", (int)type);
      return NULL;
  }
}

static size_t parse_shape(const char *text, int64_t *shape, size_t *rank) {
  size_t elements = 1;
  *rank = 0;
  while (*text != '\0') {
    char *end = NULL;
    if (*rank == MAX_RANK) fail("more than %d dimensions", MAX_RANK);
    shape[*rank] = strtoll(text, &end, 10);
    if (end == text || shape[*rank] < 0 || (*end != '\0' && *end != 'x'))
      fail("'%s' is not a shape such as 2x7", text);
    elements *= (size_t)shape[(*rank)++];
    text = *end == 'x' ? end + 1 : end;
  }
  return elements;
}

static void *read_exactly(const char *path, size_t bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("cannot open %s", path);
  char *data = malloc(bytes + 1);
  if (data == NULL) fail("no memory for %zu bytes", bytes);
  size_t found = fread(data, 1, bytes + 1, file);
  fclose(file);
  if (found != bytes) fail("%s does not hold exactly %zu bytes", path, bytes);
  return data;
}

static ONNXTensorElementDataType declared_type(const OrtSession *session, OrtAllocator *allocator,
                                               const char *name) {
  size_t count = 0;
  check(ort->SessionGetInputCount(session, &count), "counting inputs");
  for (size_t i = 0; i < count; ++i) {
    char *found = NULL;
    check(ort->SessionGetInputName(session, i, allocator, &found), "naming an input");
    int same = strcmp(found, name) == 0;
    check(ort->AllocatorFree(allocator, found), "releasing a name");
    if (!same) continue;
    OrtTypeInfo *info = NULL;
    const OrtTensorTypeAndShapeInfo *tensor = NULL;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    check(ort->SessionGetInputTypeInfo(session, i, &info), "typing an input");
    check(ort->CastTypeInfoToTensorInfo(info, &tensor), "typing an input");
    if (tensor == NULL) fail("input %s is not a tensor", name);
    check(ort->GetTensorElementType(tensor, &type), "typing an input");
    ort->ReleaseTypeInfo(info);
    return type;
  }
  fail("the graph has no input named %s", name);
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

/* Makes one input tensor of `argument`, NAME:SHAPE:FILE, which is cut into its parts. */
static OrtValue *make_input(const OrtSession *session, OrtAllocator *allocator,
                            const OrtMemoryInfo *memory, char *argument, void **data) {
  char *shape_text = strchr(argument, ':');
  char *path = shape_text == NULL ? NULL : strchr(shape_text + 1, ':');
  if (path == NULL) fail("'%s' is not NAME:SHAPE:FILE", argument);
  *shape_text++ = '\0';
  *path++ = '\0';
  int64_t shape[MAX_RANK];
  size_t rank = 0, size = 0;
  size_t elements = parse_shape(shape_text, shape, &rank);
  ONNXTensorElementDataType type = declared_type(session, allocator, argument);
  type_name(type, &size);
  *data = read_exactly(path, elements * size);
  OrtValue *value = NULL;
  check(ort->CreateTensorWithDataAsOrtValue(memory, *data, elements * size, shape, rank, type,
                                            &value),
        "making an input tensor");
  return value;
}

static void print_output(const char *name, const OrtValue *value) {
  OrtTensorTypeAndShapeInfo *info = NULL;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  int64_t shape[MAX_RANK];
  size_t rank = 0, elements = 0, size = 0;
  const void *data = NULL;
  check(ort->GetTensorTypeAndShape(value, &info), "reading an output's shape");
  check(ort->GetTensorElementType(info, &type), "reading an output's type");
  check(ort->GetDimensionsCount(info, &rank), "reading an output's rank");
  if (rank > MAX_RANK) fail("output %s has more than %d dimensions", name, MAX_RANK);
  check(ort->GetDimensions(info, shape, rank), "reading an output's shape");
  check(ort->GetTensorShapeElementCount(info, &elements), "reading an output's size");
  check(ort->GetTensorData(value, &data), "reading an output");
  ort->ReleaseTensorTypeAndShapeInfo(info);

  printf("output %s %s ", name, type_name(type, &size));
  for (size_t i = 0; i < rank; ++i) printf(i == 0 ? "%" PRId64 : "x%" PRId64, shape[i]);
  if (rank == 0) fputs("scalar", stdout);
  /* 9 and 17 significant digits give back the very same float32 and float64. */
  for (size_t i = 0; i < elements; ++i) {
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) printf(" %.9g", ((const float *)data)[i]);
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE) printf(" %.17g", ((const double *)data)[i]);
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32)
      printf(" %" PRId32, ((const int32_t *)data)[i]);
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64)
      printf(" %" PRId64, ((const int64_t *)data)[i]);
  }
  putchar('\n');
}

static void run(OrtSession *session, int count, char **arguments) {
  OrtAllocator *allocator = NULL;
  OrtMemoryInfo *memory = NULL;
  OrtValue *inputs[MAX_TENSORS] = {NULL}, *outputs[MAX_TENSORS] = {NULL};
  const char *input_names[MAX_TENSORS];
  char *output_names[MAX_TENSORS];
  void *buffers[MAX_TENSORS];
  size_t output_count = 0;

  check(ort->GetAllocatorWithDefaultOptions(&allocator), "getting the allocator");
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory),
        "describing memory");
  check(ort->SessionGetOutputCount(session, &output_count), "counting outputs");
  if (count > MAX_TENSORS || output_count > MAX_TENSORS) fail("more than %d tensors", MAX_TENSORS);
  for (int i = 0; i < count; ++i) {
    inputs[i] = make_input(session, allocator, memory, arguments[i], &buffers[i]);
    input_names[i] = arguments[i]; /* make_input cut the argument behind the name */
  }
  for (size_t i = 0; i < output_count; ++i)
    check(ort->SessionGetOutputName(session, i, allocator, &output_names[i]), "naming an output");

  check(ort->Run(session, NULL, input_names, (const OrtValue *const *)inputs, (size_t)count,
                 (const char *const *)output_names, output_count, outputs),
        "running the model");

  for (size_t i = 0; i < output_count; ++i) {
    print_output(output_names[i], outputs[i]);
    ort->ReleaseValue(outputs[i]);
    check(ort->AllocatorFree(allocator, output_names[i]), "releasing a name");
  }
  for (int i = 0; i < count; ++i) {
    ort->ReleaseValue(inputs[i]);
    free(buffers[i]);
  }
  ort->ReleaseMemoryInfo(memory);
}

int main(int argc, char **argv) {
  if (argc < 4) fail("usage: package_infer LIBRARY PACKAGE COMPONENT NAME:SHAPE:FILE ...");
  struct runtime runtime;
  char message[MESSAGE_BYTES], variant[VARIANT_BYTES];
  if (load_runtime(argv[1], &runtime, message) != 0) fail("%s", message);
  ort = runtime.ort;
  printf("runtime %s\n", runtime.release);

  OrtEnv *env = NULL;
  OrtSessionOptions *settings = NULL;
  OrtSession *session = NULL;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "package_infer", &env), "starting ONNX Runtime");
  check(ort->CreateSessionOptions(&settings), "making session options");
  if (open_package(&runtime, env, settings, argv[2], argv[3], &session, variant, message) != 0)
    fail("%s", message);
  printf("variant %s\n", variant);
  run(session, argc - 4, argv + 4);

  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(settings);
  ort->ReleaseEnv(env);
  return 0;
}
