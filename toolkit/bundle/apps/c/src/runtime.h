/* ONNX Runtime, loaded when the program runs: nothing of it is linked. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "onnxruntime_c_api.h"

enum { MESSAGE_BYTES = 1024 };

/* ONNX Runtime's functions, and which release they are of. */
struct runtime {
  const OrtApi *ort;
  const char *release;
  uint32_t api_version;
};

/* Loads `library`; where it is NULL, what $ONNXRUNTIME_LIB names, else libonnxruntime.so beside the
 * program, else the system's. Returns 0, or -1 with a message. The library stays loaded. */
int load_runtime(const char *library, struct runtime *loaded, char message[MESSAGE_BYTES]);

/* Writes a formatted message, cut to what fits, and returns -1. */
int say(char message[MESSAGE_BYTES], const char *format, ...);

/* 0 where `status` is NULL; otherwise releases it and returns -1 with what it says. */
int ort_failed(const struct runtime *runtime, OrtStatus *status, const char *doing,
               char message[MESSAGE_BYTES]);

/* The folder of the running program, with a slash at its end; "" where it is not known. */
void program_folder(char *folder, size_t room);

#endif
