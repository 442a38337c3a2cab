/* Whether this machine computes what the one did that made the bundle. */
#ifndef SELF_TEST_H
#define SELF_TEST_H

#include "model.h"

/* Compares files, preprocessing and answers. Problems and the largest difference go to stderr; the
 * verdict, a line of JSON, to stdout. Returns 0 where all is the same, 1 where it is not. */
int self_test(const struct model *model, const char *folder);

#endif
