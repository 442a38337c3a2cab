#define _POSIX_C_SOURCE 200809L

#include "runtime.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libonnxruntime.so"

/* Functions used here are the same from this API version on; release 1.N has API version N. */
enum { OLDEST_API = 16, PATH_BYTES = 4096 };

int say(char message[MESSAGE_BYTES], const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, MESSAGE_BYTES, format, arguments);
  va_end(arguments);
  return -1;
}

int ort_failed(const struct runtime *runtime, OrtStatus *status, const char *doing,
               char message[MESSAGE_BYTES]) {
  if (status == NULL) return 0;
  say(message, "%s: %s", doing, runtime->ort->GetErrorMessage(status));
  runtime->ort->ReleaseStatus(status);
  return -1;
}

void program_folder(char *folder, size_t room) {
  ssize_t length = readlink("/proc/self/exe", folder, room - 1);
  folder[length > 0 ? length : 0] = '\0';
  char *slash = strrchr(folder, '/');
  folder[slash == NULL ? 0 : slash + 1 - folder] = '\0';
}

/* The library that is to be loaded: a path, or a name for the system to look up. */
static int find_library(const char *library, char path[PATH_BYTES], char message[MESSAGE_BYTES]) {
  const char *named = library != NULL ? library : getenv("ONNXRUNTIME_LIB");
  if (named != NULL && *named != '\0') {
    if (access(named, R_OK) != 0)
      return say(message, "there is no %s, which %s names", named,
                 library != NULL ? "the caller" : "$ONNXRUNTIME_LIB");
    /* dlopen looks up a name without a slash elsewhere. */
    const char *here = strchr(named, '/') == NULL ? "./" : "";
    if ((size_t)snprintf(path, PATH_BYTES, "%s%s", here, named) >= PATH_BYTES)
      return say(message, "the path of %s is too long", LIBRARY);
    return 0;
  }
  program_folder(path, PATH_BYTES - sizeof LIBRARY);
  strcat(path, LIBRARY);
  if (access(path, R_OK) != 0) strcpy(path, LIBRARY);
  return 0;
}

int load_runtime(const char *library, struct runtime *loaded, char message[MESSAGE_BYTES]) {
  char path[PATH_BYTES];
  if (find_library(library, path, message) != 0) return -1;
  setenv("ORT_DISABLE_TELEMETRY", "1", 0); /* it is read when the library is loaded */
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL)
    return say(message,
               "cannot load ONNX Runtime: %s; set ONNXRUNTIME_LIB to a libonnxruntime.so of 1.%d "
               "or newer, or put it beside the program",
               dlerror(), OLDEST_API);
  void *symbol = dlsym(handle, "OrtGetApiBase");
  if (symbol == NULL) return say(message, "%s exports no OrtGetApiBase", path);
  /* ISO C forbids casting an object pointer to a function pointer; POSIX allows this copy. */
  const OrtApiBase *(*get_base)(void) = NULL;
  memcpy(&get_base, &symbol, sizeof symbol);

  loaded->release = get_base()->GetVersionString();
  /* A version that the library lacks makes it print a message, so begin with its own. */
  uint32_t newest = (uint32_t)strtoul(strchr(loaded->release, '.') + 1, NULL, 10);
  loaded->ort = NULL;
  for (uint32_t version = newest; version >= OLDEST_API && loaded->ort == NULL; --version) {
    loaded->ort = get_base()->GetApi(version);
    loaded->api_version = version;
  }
  if (loaded->ort == NULL)
    return say(message, "ONNX Runtime %s is older than 1.%d", loaded->release, OLDEST_API);
  return 0;
}
