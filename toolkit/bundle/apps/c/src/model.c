#define _POSIX_C_SOURCE 200809L

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "package.h"

struct model {
  struct runtime runtime;
  OrtEnv *env;
  OrtSession *session;
  OrtMemoryInfo *memory;
  char release[64];
  char variant[VARIANT_BYTES];
  struct session_time session_time;
};

double model_clock_ms(bool cpu) {
  struct timespec now;
  clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int open_session(struct model *model, const char *folder, const char *package,
                        const OrtSessionOptions *settings, char message[MESSAGE_BYTES]) {
  char path[4096];
  if (package != NULL)
    return open_package(&model->runtime, model->env, settings, package, "model", &model->session,
                        model->variant, message);
  if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, model_data.graph) >= sizeof path)
    return say(message, "the path of %s is too long", model_data.graph);
  snprintf(model->variant, sizeof model->variant, "%s", model_data.variant);
  OrtStatus *status =
      model->runtime.ort->CreateSession(model->env, path, settings, &model->session);
  return ort_failed(&model->runtime, status, "opening the model", message);
}

static int start(struct model *model, const char *folder, const struct model_options *options,
                 char message[MESSAGE_BYTES]) {
  struct runtime *runtime = &model->runtime;
  OrtSessionOptions *settings = NULL;
  if (load_runtime(options->library, runtime, message) != 0) return -1;
  const OrtApi *ort = runtime->ort;
  snprintf(model->release, sizeof model->release, "onnxruntime %s", runtime->release);
  int failed =
      ort_failed(runtime, ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, model_data.name, &model->env),
                 "starting ONNX Runtime", message) ||
      ort_failed(runtime, ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault,
                                                   &model->memory),
                 "describing memory", message) ||
      ort_failed(runtime, ort->CreateSessionOptions(&settings), "making session options",
                 message) ||
      (options->threads > 0 &&
       ort_failed(runtime, ort->SetIntraOpNumThreads(settings, options->threads),
                  "setting the number of threads", message));
  for (size_t i = 0; !failed && i < model_data.setting_count; ++i)
    failed = ort_failed(runtime,
                        ort->AddSessionConfigEntry(settings, model_data.settings[i].key,
                                                   model_data.settings[i].value),
                        model_data.settings[i].key, message);
  if (!failed) {
    double before = model_clock_ms(false), cpu_before = model_clock_ms(true);
    failed = open_session(model, folder, options->package, settings, message);
    model->session_time =
        (struct session_time){model_clock_ms(false) - before, model_clock_ms(true) - cpu_before};
  }
  if (settings != NULL) ort->ReleaseSessionOptions(settings);
  return failed ? -1 : 0;
}

int model_open(const char *folder, const struct model_options *options, struct model **opened,
               char message[MESSAGE_BYTES]) {
  static const struct model_options defaults;
  *opened = NULL;
  struct model *model = calloc(1, sizeof *model);
  if (model == NULL) return say(message, "no memory");
  if (start(model, folder, options == NULL ? &defaults : options, message) != 0) {
    model_close(model);
    return -1;
  }
  *opened = model;
  return 0;
}

void model_close(struct model *model) {
  if (model == NULL) return;
  if (model->session != NULL) model->runtime.ort->ReleaseSession(model->session);
  if (model->memory != NULL) model->runtime.ort->ReleaseMemoryInfo(model->memory);
  if (model->env != NULL) model->runtime.ort->ReleaseEnv(model->env);
  free(model);
}

const char *model_release(const struct model *model) { return model->release; }

const char *model_variant(const struct model *model) { return model->variant; }

struct session_time model_session_time(const struct model *model) { return model->session_time; }

/* Copies an output out of ONNX Runtime's memory. */
static int take(const struct runtime *runtime, const OrtValue *value, const char *name,
                struct model_tensor *tensor, char message[MESSAGE_BYTES]) {
  const OrtApi *ort = runtime->ort;
  OrtTensorTypeAndShapeInfo *info = NULL;
  const void *data = NULL;
  size_t elements = 0;
  tensor->name = name;
  int failed =
      ort_failed(runtime, ort->GetTensorTypeAndShape(value, &info), name, message) ||
      ort_failed(runtime, ort->GetTensorElementType(info, &tensor->type), name, message) ||
      ort_failed(runtime, ort->GetDimensionsCount(info, &tensor->rank), name, message) ||
      ort_failed(runtime, ort->GetTensorShapeElementCount(info, &elements), name, message) ||
      ort_failed(runtime, ort->GetTensorData(value, &data), name, message);
  if (!failed && (tensor->rank > MODEL_MAX_RANK || element_bytes(tensor->type) == 0))
    failed = say(message, "the output %s holds no numbers, or has more than %d axes", name,
                 MODEL_MAX_RANK);
  failed = failed || ort_failed(runtime, ort->GetDimensions(info, tensor->shape, tensor->rank),
                                name, message);
  if (info != NULL) ort->ReleaseTensorTypeAndShapeInfo(info);
  if (failed) return -1;
  tensor->bytes = elements * element_bytes(tensor->type);
  tensor->data = malloc(tensor->bytes + 1);
  if (tensor->data == NULL) return say(message, "no memory");
  memcpy(tensor->data, data, tensor->bytes);
  return 0;
}

static int run(const struct model *model, const struct model_tensor *feeds, OrtValue **inputs,
               OrtValue **values, const char **names, struct model_tensor *outputs,
               char message[MESSAGE_BYTES]) {
  const struct runtime *runtime = &model->runtime;
  size_t count = model_data.input_count, made = model_data.output_count;
  for (size_t i = 0; i < count; ++i) {
    const struct model_tensor *feed = &feeds[i];
    names[i] = feed->name;
    OrtStatus *status = runtime->ort->CreateTensorWithDataAsOrtValue(
        model->memory, feed->data, feed->bytes, feed->shape, feed->rank, feed->type, &inputs[i]);
    if (ort_failed(runtime, status, feed->name, message)) return -1;
  }
  for (size_t i = 0; i < made; ++i) names[count + i] = model_data.outputs[i].name;
  OrtStatus *status =
      runtime->ort->Run(model->session, NULL, names, (const OrtValue *const *)inputs, count,
                        names + count, made, values);
  if (ort_failed(runtime, status, "running the model", message)) return -1;
  for (size_t i = 0; i < made; ++i)
    if (take(runtime, values[i], names[count + i], &outputs[i], message) != 0) return -1;
  return 0;
}

int model_run(const struct model *model, const struct model_tensor *feeds,
              struct model_tensor *outputs, char message[MESSAGE_BYTES]) {
  size_t count = model_data.input_count + model_data.output_count;
  OrtValue **values = calloc(count, sizeof *values);
  const char **names = calloc(count, sizeof *names);
  int failed = -1;
  memset(outputs, 0, model_data.output_count * sizeof *outputs);
  if (values == NULL || names == NULL)
    say(message, "no memory");
  else
    failed = run(model, feeds, values, values + model_data.input_count, names, outputs, message);
  for (size_t i = 0; values != NULL && i < count; ++i)
    if (values[i] != NULL) model->runtime.ort->ReleaseValue(values[i]);
  free(values);
  free(names);
  if (failed) free_tensors(outputs, model_data.output_count);
  return failed;
}

int model_answer(const struct model *model, struct model_tensor *feeds,
                 struct model_result *result, char message[MESSAGE_BYTES]) {
  struct model_tensor *outputs = calloc(model_data.output_count, sizeof *outputs);
  int failed = outputs == NULL ? say(message, "no memory")
                               : model_run(model, feeds, outputs, message);
  if (!failed) {
    failed = model_decode(outputs, feeds, result, message);
    free_tensors(outputs, model_data.output_count);
  }
  free_tensors(feeds, model_data.input_count);
  free(outputs);
  return failed;
}

int model_text(const struct model *model, const char *text, size_t length,
               struct model_result *result, char message[MESSAGE_BYTES]) {
  struct model_tensor *feeds = calloc(model_data.input_count, sizeof *feeds);
  int failed = feeds == NULL
                   ? say(message, "no memory")
                   : model_encode_text(text, length, NULL, 0, feeds, message) ||
                         model_answer(model, feeds, result, message);
  free(feeds);
  return failed ? -1 : 0;
}
