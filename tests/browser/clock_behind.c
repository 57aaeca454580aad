/* Loaded before the C library: a wall clock that is CLOCK_BEHIND seconds behind.

   Sleeps and time-outs, which are of the monotonic clock, stay as they are; libfaketime
   0.9 of Debian breaks them (a sleep until a monotonic moment ends in EINVAL). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

typedef int (*clock_reader)(clockid_t, struct timespec *);

int clock_gettime(clockid_t clock, struct timespec *now) {
  static clock_reader read;
  static long behind;
  if (!read) {
    behind = atol(getenv("CLOCK_BEHIND"));
    read = (clock_reader)dlsym(RTLD_NEXT, "clock_gettime");
  }
  int failed = read(clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec -= behind;
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  int failed = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *kept) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (kept)
    *kept = precise.tv_sec;
  return precise.tv_sec;
}
