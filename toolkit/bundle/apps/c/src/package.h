/* A whole model package (.ortpackage), opened through ONNX Runtime's own model-package functions,
 * which read its documents and choose the variant. */
#ifndef PACKAGE_H
#define PACKAGE_H

#include "runtime.h"

enum { VARIANT_BYTES = 128 };

/* Opens a session on the variant that ONNX Runtime chooses of a component, and writes its name.
 * Returns 0, or -1 with a message. Release the session with ReleaseSession. */
int open_package(const struct runtime *runtime, const OrtEnv *env,
                 const OrtSessionOptions *settings, const char *package, const char *component,
                 OrtSession **session, char variant[VARIANT_BYTES], char message[MESSAGE_BYTES]);

#endif
