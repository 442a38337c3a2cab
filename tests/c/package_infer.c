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
 * It stands for any application that knows ONNX Runtime and nothing of this project: the only
 * header used is onnxruntime_c_api.h.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_c_api.h"

enum { MAX_RANK = 8, MAX_TENSORS = 16, OLDEST_API = 28 };

/* The model-package functions in the order of ONNX Runtime 1.31's OrtModelPackageApi. There they
 * are a stable table; 1.28 to 1.30 have the same functions as experimental ones, looked up by
 * name. The headers at hand are those of 1.29, so the declarations used are repeated here. */
typedef struct PackageOptions PackageOptions;
typedef struct PackageContext PackageContext;
typedef struct ComponentContext ComponentContext;
typedef OrtExperimentalFnPtr Unused;

typedef struct PackageApi {
  OrtStatus *(*CreateOptions)(const OrtEnv *, const OrtSessionOptions *, PackageOptions **);
  void (*ReleaseOptions)(PackageOptions *);
  OrtStatus *(*CreateContext)(const char *package_root, PackageContext **);
  void (*ReleaseContext)(PackageContext *);
  Unused GetSchemaVersion, GetComponentCount, GetComponentNames, GetVariantCount, GetVariantNames,
      GetVariantEpName, ResolveStringRef;
  OrtStatus *(*SelectComponent)(const PackageContext *, const char *component,
                                const PackageOptions *, ComponentContext **);
  void (*ReleaseComponent)(ComponentContext *);
  OrtStatus *(*GetSelectedVariantName)(const ComponentContext *, const char **name);
  Unused GetSelectedVariantFolderPath;
  OrtStatus *(*CreateSession)(const OrtEnv *, ComponentContext *, const OrtSessionOptions *,
                              OrtSession **);
} PackageApi;

/* OrtApi only ever grows at its end, so the place of GetModelPackageApi in 1.31 is its place in
 * every later release too. */
enum { GET_PACKAGE_API_SLOT = 427, GET_PACKAGE_API_SINCE = 31 };

static const OrtApi *ort;
static uint32_t api_version;

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

static OrtExperimentalFnPtr experimental(const char *name) {
  OrtExperimentalFnPtr function = ort->GetExperimentalFunction(name);
  if (function == NULL) fail("this ONNX Runtime has no %s", name);
  return function;
}

/* The newest API that the library has; the members that 1.29 declares are in each of them. */
static const OrtApi *load_api(const char *library) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) fail("cannot load %s: %s", library, dlerror());
  /* ISO C forbids casting an object pointer to a function pointer; POSIX allows this copy. */
  const OrtApiBase *(*get_base)(void) = NULL;
  void *symbol = dlsym(handle, "OrtGetApiBase");
  if (symbol == NULL) fail("%s exports no OrtGetApiBase", library);
  memcpy(&get_base, &symbol, sizeof symbol);
  const char *release = get_base()->GetVersionString();
  /* Asking for an API that the library lacks prints a message, so ask for the right one: release
   * 1.N has API version N. */
  api_version = (uint32_t)strtoul(release + 2, NULL, 10);
  const OrtApi *api = api_version >= OLDEST_API ? get_base()->GetApi(api_version) : NULL;
  if (api == NULL) fail("ONNX Runtime %s is older than 1.%d", release, OLDEST_API);
  printf("runtime %s\n", release);
  return api;
}

static PackageApi load_package_api(void) {
  PackageApi api = {0};
  if (api_version >= GET_PACKAGE_API_SINCE) {
    const PackageApi *(*get_package_api)(void) = NULL;
    memcpy(&get_package_api, (const char *)ort + GET_PACKAGE_API_SLOT * sizeof(void *),
           sizeof get_package_api);
    return *get_package_api();
  }
#define LOOK_UP(member, name) \
  do { \
    OrtExperimentalFnPtr found = experimental("OrtModelPackageApi_" name "_SinceV28"); \
    memcpy(&api.member, &found, sizeof found); \
  } while (0)
  LOOK_UP(CreateOptions, "CreateModelPackageOptionsFromSessionOptions");
  LOOK_UP(ReleaseOptions, "ReleaseModelPackageOptions");
  LOOK_UP(CreateContext, "CreateModelPackageContext");
  LOOK_UP(ReleaseContext, "ReleaseModelPackageContext");
  LOOK_UP(SelectComponent, "SelectComponent");
  LOOK_UP(ReleaseComponent, "ReleaseModelPackageComponentContext");
  LOOK_UP(GetSelectedVariantName, "ModelPackageComponent_GetSelectedVariantName");
  LOOK_UP(CreateSession, "CreateSession");
#undef LOOK_UP
  return api;
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
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "describing memory");
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
  ort = load_api(argv[1]);
  const PackageApi packages = load_package_api();

  OrtEnv *env = NULL;
  OrtSessionOptions *settings = NULL;
  PackageOptions *options = NULL;
  PackageContext *package = NULL;
  ComponentContext *component = NULL;
  OrtSession *session = NULL;
  const char *variant = NULL;

  check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "package_infer", &env), "starting ONNX Runtime");
  check(ort->CreateSessionOptions(&settings), "making session options");
  check(packages.CreateOptions(env, settings, &options), "making package options");
  check(packages.CreateContext(argv[2], &package), "opening the package");
  check(packages.SelectComponent(package, argv[3], options, &component), "selecting a variant");
  check(packages.GetSelectedVariantName(component, &variant), "naming the variant");
  printf("variant %s\n", variant);
  check(packages.CreateSession(env, component, NULL, &session), "opening a session");
  run(session, argc - 4, argv + 4);

  ort->ReleaseSession(session);
  packages.ReleaseComponent(component);
  packages.ReleaseContext(package);
  packages.ReleaseOptions(options);
  ort->ReleaseSessionOptions(settings);
  ort->ReleaseEnv(env);
  return 0;
}
