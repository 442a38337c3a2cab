/* Answers as JSON, in the form that `toolkit infer` and the bundles for other targets give. */
#ifndef PRINT_H
#define PRINT_H

#include <stdio.h>

#include "model.h"

/* A line with what the model's task makes of one item. */
void print_result(const struct model_result *result, FILE *to);

/* A line with all outputs: {"outputs": {name: {"dtype", "shape", "data": nested lists}}}. */
int print_outputs(const struct model_tensor *outputs, FILE *to, char message[MESSAGE_BYTES]);

#endif
