/* How long a run takes. */
#ifndef BENCH_H
#define BENCH_H

#include "model.h"

/* Answers an item `runs` times, the first reference case where `item` is NULL, and prints a line of
 * JSON: the time of the first answer on the monotonic clock, how long creating the session took,
 * and percentiles of encoding, running and decoding together and of running alone. */
int bench(const struct model *model, int runs, const char *item, char message[MESSAGE_BYTES]);

#endif
