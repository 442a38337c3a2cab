/* How long a run takes. */
#ifndef BENCH_H
#define BENCH_H

#include "model.h"

/* Answers an item `runs` times, the first reference case where `item` is NULL, and prints a line of
 * JSON: percentiles of encoding, running and decoding together, the median of running alone, the
 * processors' time of an answer, and, of the first answer, when it was there on the monotonic clock
 * and what of the processors' time it took since the program began. */
int bench(const struct model *model, int runs, const char *item, char message[MESSAGE_BYTES]);

#endif
