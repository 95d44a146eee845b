#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * Clients attached to a container's streams. The log comes first: a client of pipes that cannot keep up is dropped at once.
 * A terminal has flow control of its own, so there the container waits for its client, for at most STALL, and then goes on
 * without it.
 */

enum { REST_MAX = 256 * 1024 };
static const int64_t STALL = 1000000000, LINGER = 5000000000;

static struct attachment *lingering; /* the container is gone, its last output not yet delivered */

static void on_stdin(struct source *source, uint32_t events);
static void on_output_stream(struct stream *stream);

static void release(struct attachment *attachment) {
    drop(&attachment->in);
    if (attachment->feed.fd >= 0) drop(&attachment->feed);
    drop(&attachment->stall);
    close_fd(&attachment->out);
    close_fd(&attachment->error);
    free(attachment->rest);
    attachment->rest = NULL;
    attachment->rest_length = 0;
    bury(attachment);
}

static void unlink_attachment(struct attachment **list, struct attachment *attachment) {
    for (; *list; list = &(*list)->next)
        if (*list == attachment) {
            *list = attachment->next;
            return;
        }
}

static void detach(struct attachment *attachment) {
    struct process *owner = attachment->owner;
    unlink_attachment(owner ? &owner->attachments : &lingering, attachment);
    release(attachment);
    if (owner) on_output_stream(&owner->out);
}

/* Resumes reading a terminal that waited for a client, once none is behind. */
static void on_output_stream(struct stream *stream) {
    if (stream->source.fd < 0 || stream->source.watched) return;
    for (struct attachment *at = stream->owner->attachments; at; at = at->next)
        if (at->rest_length) return;
    watch(&stream->source, stream->source.fd, EPOLLIN, stream->source.ready);
}

static void on_room(struct source *source, uint32_t events) {
    struct attachment *attachment = (struct attachment *)((char *)source - offsetof(struct attachment, stall));
    (void)events;
    while (attachment->rest_length) {
        ssize_t done = write(attachment->out, attachment->rest + attachment->rest_at, attachment->rest_length);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) return detach(attachment);
        attachment->rest_at += (size_t)done;
        attachment->rest_length -= (size_t)done;
    }
    if (!attachment->rest || !attachment->owner) return detach(attachment); /* hung up, or all is delivered */
    free(attachment->rest);
    attachment->rest = NULL;
    attachment->rest_at = 0;
    rewatch(&attachment->stall, 0);
    on_output_stream(&attachment->owner->out);
}

/* Keeps what did not fit; false where the client has to go. */
static bool hold(struct attachment *attachment, const char *bytes, size_t length) {
    if (attachment->rest_length + length > REST_MAX) return false;
    char *rest = malloc(attachment->rest_length + length);
    if (!rest) return false;
    if (attachment->rest_length) memcpy(rest, attachment->rest + attachment->rest_at, attachment->rest_length);
    memcpy(rest + attachment->rest_length, bytes, length);
    free(attachment->rest);
    attachment->rest = rest;
    attachment->rest_at = 0;
    attachment->rest_length += length;
    attachment->deadline = now_monotonic() + STALL;
    unwatch(&attachment->owner->out.source);
    return rewatch(&attachment->stall, EPOLLOUT);
}

void offer(struct process *process, const char *bytes, size_t length, bool error) {
    for (struct attachment *next, *at = process->attachments; at; at = next) {
        next = at->next;
        int fd = error ? at->error : at->out;
        if (fd < 0) continue;
        ssize_t done = 0;
        if (!at->rest_length) {
            do done = write(fd, bytes, length);
            while (done < 0 && errno == EINTR);
            if (done < 0 && errno != EAGAIN) {
                detach(at);
                continue;
            }
            if (done < 0) done = 0;
        }
        if ((size_t)done == length) continue;
        if (!process->tty || !hold(at, bytes + done, length - (size_t)done)) detach(at);
    }
}

/* Stdin: at most one buffer under way; the client is read only when it is empty. */
static void on_feed(struct source *source, uint32_t events) {
    struct attachment *attachment = (struct attachment *)((char *)source - offsetof(struct attachment, feed));
    struct process *owner = attachment->owner;
    (void)events;
    while (attachment->pending_length) {
        ssize_t done = write(source->fd, attachment->pending + attachment->pending_at, attachment->pending_length);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) { /* the container reads no more */
            drop(&attachment->in);
            drop(&attachment->feed);
            return;
        }
        attachment->pending_at += (size_t)done;
        attachment->pending_length -= (size_t)done;
    }
    drop(&attachment->feed);
    if (owner && attachment->in.fd >= 0) watch(&attachment->in, attachment->in.fd, EPOLLIN, on_stdin);
}

static void on_stdin(struct source *source, uint32_t events) {
    struct attachment *attachment = (struct attachment *)((char *)source - offsetof(struct attachment, in));
    struct process *owner = attachment->owner;
    ssize_t got;
    (void)events;
    do got = read(source->fd, attachment->pending, sizeof attachment->pending);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        drop(source);
        if (owner->stdin_once && !owner->tty) close_fd(&owner->in);
        return;
    }
    attachment->pending_at = 0;
    attachment->pending_length = (size_t)got;
    int fd = owner->in >= 0 ? fcntl(owner->in, F_DUPFD_CLOEXEC, 3) : -1;
    if (fd < 0) return drop(source);
    unwatch(source);
    attachment->feed.fd = fd;
    if (!watch(&attachment->feed, fd, EPOLLOUT, on_feed)) return drop(source);
    on_feed(&attachment->feed, 0);
}

int attach(struct process *process, int in, int out, int error) {
    if (process->state != JS_RUNNING && process->state != JS_STARTING) return ESRCH;
    struct attachment *attachment = calloc(1, sizeof *attachment);
    if (!attachment) return ENOMEM;
    attachment->owner = process;
    attachment->in.fd = attachment->stall.fd = attachment->feed.fd = -1;
    attachment->out = out;
    attachment->error = error;
    if (out >= 0) nonblocking(out);
    if (error >= 0) nonblocking(error);
    /* Watched for its end from the start, and for room when there is none. */
    int end = out >= 0 || error >= 0 ? fcntl(out >= 0 ? out : error, F_DUPFD_CLOEXEC, 3) : -1;
    if (end >= 0) watch(&attachment->stall, end, 0, on_room);
    attachment->next = process->attachments;
    process->attachments = attachment;
    if (in >= 0) {
        nonblocking(in);
        if (process->in < 0) close(in);
        else watch(&attachment->in, in, EPOLLIN, on_stdin);
    }
    return 0;
}

void detach_all(struct process *process) {
    while (process->attachments) {
        struct attachment *attachment = process->attachments;
        process->attachments = attachment->next;
        if (!attachment->rest_length) {
            release(attachment);
            continue;
        }
        drop(&attachment->in);
        drop(&attachment->feed);
        close_fd(&attachment->error);
        attachment->owner = NULL;
        attachment->deadline = now_monotonic() + LINGER;
        attachment->next = lingering;
        lingering = attachment;
    }
}

static void earliest(const struct attachment *list, int64_t *deadline) {
    for (; list; list = list->next)
        if (list->rest_length && (!*deadline || list->deadline < *deadline)) *deadline = list->deadline;
}

int64_t next_deadline(void) {
    int64_t deadline = 0;
    earliest(lingering, &deadline);
    for (const struct process *process = sandbox.processes; process; process = process->next) earliest(process->attachments, &deadline);
    return deadline;
}

static void expire(struct attachment *list, int64_t now) {
    for (struct attachment *next; list; list = next) {
        next = list->next;
        if (list->rest_length && list->deadline <= now) detach(list);
    }
}

void drop_expired(void) {
    if (!next_deadline()) return;
    int64_t now = now_monotonic();
    expire(lingering, now);
    for (struct process *process = sandbox.processes; process; process = process->next) expire(process->attachments, now);
}
