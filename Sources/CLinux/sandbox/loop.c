#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static int64_t now(clockid_t clock) {
    struct timespec value;
    clock_gettime(clock, &value);
    return (int64_t)value.tv_sec * 1000000000 + value.tv_nsec;
}

int64_t now_realtime(void) { return now(CLOCK_REALTIME); }
int64_t now_monotonic(void) { return now(CLOCK_MONOTONIC); }

void close_fd(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

int nonblocking(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

bool watch(struct source *source, int fd, uint32_t events, void (*ready)(struct source *, uint32_t)) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    source->fd = fd;
    source->ready = ready;
    source->dead = false;
    source->watched = epoll_ctl(sandbox.epoll, EPOLL_CTL_ADD, fd, &event) == 0;
    return source->watched;
}

bool rewatch(struct source *source, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = source};
    return source->watched && epoll_ctl(sandbox.epoll, EPOLL_CTL_MOD, source->fd, &event) == 0;
}

void unwatch(struct source *source) {
    if (source->watched) epoll_ctl(sandbox.epoll, EPOLL_CTL_DEL, source->fd, NULL);
    source->watched = false;
}

void drop(struct source *source) {
    unwatch(source);
    source->dead = true;
    if (source->fd >= 0) close(source->fd);
    source->fd = -1;
}

/* Events of one epoll_wait may name a source whose owner an earlier one freed: owners wait here for the round to end. */
static struct grave {
    struct grave *next;
    void *owner;
} *graves;

void bury(void *owner) {
    struct grave *grave = malloc(sizeof *grave);
    if (!grave) return; /* leaked rather than freed too early */
    grave->owner = owner;
    grave->next = graves;
    graves = grave;
}

static void dig(void) {
    while (graves) {
        struct grave *grave = graves;
        graves = grave->next;
        free(grave->owner);
        free(grave);
    }
}

static void on_signal(struct source *source, uint32_t events) {
    (void)events;
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM) {
            sandbox.stopping = true;
            kill_everything();
        }
    reap_children();
}

int run_loop(void) {
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sandbox.epoll = epoll_create1(EPOLL_CLOEXEC);
    sandbox.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (sandbox.epoll < 0 || sandbox.signals < 0) return 3;
    if (!watch(&sandbox.child_signal, sandbox.signals, EPOLLIN, on_signal)) return 3;
    nonblocking(JANGADA_FD_LISTEN);
    if (!watch(&sandbox.listener, JANGADA_FD_LISTEN, EPOLLIN, accept_connection)) return 3;
    while (!sandbox.stopping || sandbox.processes) {
        struct epoll_event events[32];
        int64_t deadline = next_deadline();
        int timeout = -1;
        if (deadline) {
            int64_t left = (deadline - now_monotonic()) / 1000000 + 1;
            timeout = left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
        }
        int count = epoll_wait(sandbox.epoll, events, 32, timeout);
        if (count < 0 && errno != EINTR) return 4;
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            if (!source->dead && source->watched) source->ready(source, events[i].events);
        }
        drop_expired();
        dig();
    }
    return 0;
}
