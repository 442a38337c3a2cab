/* How long a run takes. */
#ifndef BENCH_H
#define BENCH_H

#include "model.h"

/* Answers an item `runs` times, the first reference case where `item` is NULL, and prints a line of
 * JSON: percentiles of encoding, running and decoding together, the median of running alone, the
 * processors' time of an answer, and, of the first answer, the time since the program began at
 * `started_ms`, the processors' time of it, and what the monotonic clock showed, for whoever
 * started the program and knows when. */
int bench(const struct model *model, int runs, const char *item, double started_ms,
          char message[MESSAGE_BYTES]);

#endif
