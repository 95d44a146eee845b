#pragma once
#include <stdint.h>
/* epoll and eventfd, whose headers Swift's Glibc does not show. Descriptors are close-on-exec; -1 and errno on failure. */
int jangada_poll_create(void);
int jangada_wakeup_create(void);
/* Watches for input, and for room to write where `writing`; `edge` reports each arrival once. `change` for one watched already. */
int jangada_poll_watch(int poll, int descriptor, uint64_t id, int writing, int edge, int change);
/* Bits of `what`: 1 input, error or end; 2 room to write. Returns how many it filled. */
int jangada_poll_wait(int poll, uint64_t *ids, uint32_t *what, int capacity, int milliseconds);
/* The next connection of a listener, close-on-exec from its first moment and never blocking. */
int jangada_accept(int listener);
