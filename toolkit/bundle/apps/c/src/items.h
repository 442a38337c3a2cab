/* Items as a person types them, and answers as JSON: what lies around model.h in the command. */
#ifndef ITEMS_H
#define ITEMS_H

#include <stdio.h>

#include "model.h"

/* Inputs of what was typed: a text, a row, or the name of a file with pixels or tensors. */
int encode_item(const char *item, size_t length, struct model_tensor *feeds,
                char message[MESSAGE_BYTES]);

/* Answers an item, a pair of texts, or every line of a file, each with a line of JSON. */
int answer(const struct model *model, const char *item, size_t length, FILE *to,
           char message[MESSAGE_BYTES]);
int answer_pair(const struct model *model, const char *first, const char *second, FILE *to,
                char message[MESSAGE_BYTES]);
int answer_lines(const struct model *model, FILE *from, FILE *to, char message[MESSAGE_BYTES]);

#endif
