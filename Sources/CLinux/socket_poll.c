#define _GNU_SOURCE 1
#include "socket_poll.h"
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { CAPACITY = 128 };

int jangada_poll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int jangada_wakeup_create(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int jangada_poll_watch(int poll, int descriptor, uint64_t id, int writing, int edge, int change) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = id};
    if (writing) event.events |= EPOLLOUT;
    if (edge) event.events |= EPOLLET;
    return epoll_ctl(poll, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, &event);
}

int jangada_poll_wait(int poll, uint64_t *ids, uint32_t *what, int capacity, int milliseconds) {
    struct epoll_event events[CAPACITY];
    int count = epoll_wait(poll, events, capacity < CAPACITY ? capacity : CAPACITY, milliseconds);
    for (int i = 0; i < count; i++) {
        ids[i] = events[i].data.u64;
        what[i] = (events[i].events & ~(uint32_t)EPOLLOUT ? 1 : 0) | (events[i].events & EPOLLOUT ? 2 : 0);
    }
    return count;
}

int jangada_accept(int listener) {
    int accepted;
    do accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (accepted < 0 && (errno == EINTR || errno == ECONNABORTED));
    return accepted;
}
