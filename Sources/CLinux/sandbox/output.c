#define _GNU_SOURCE 1
#include "internal.h"

#include <dirent.h>
#include <limits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Container logs in the CRI format: `2026-01-02T03:04:05.678901234Z stdout F text`; P marks a piece that no newline ended. */

enum { STAMP = 40 };

void open_log(struct log *log, const char *path, uint64_t limit, unsigned keep) {
    struct stat info;
    close_log(log);
    log->path = strdup(path);
    log->limit = limit;
    log->keep = keep;
    errno = 0;
    log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    log->size = log->fd >= 0 && fstat(log->fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}

void close_log(struct log *log) {
    close_fd(&log->fd);
    free(log->path);
    log->path = NULL;
}

/* Somebody else has renamed the file: go on in a new one. The old one stays in use where that fails. */
void reopen_log(struct log *log) {
    if (!log->path) return;
    int fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat info;
    if (fd < 0) return;
    close_fd(&log->fd);
    log->fd = fd;
    log->size = fstat(fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* Deletes the oldest rotated files; their names sort by time. */
static void prune(const struct log *log) {
    char directory[4096];
    const char *slash = strrchr(log->path, '/');
    if (!slash || (size_t)(slash - log->path) >= sizeof directory) return;
    memcpy(directory, log->path, (size_t)(slash - log->path));
    directory[slash - log->path] = 0;
    const char *base = slash + 1;
    size_t length = strlen(base);
    DIR *open_directory = opendir(directory);
    if (!open_directory) return;
    for (int rounds = 0; rounds < 64; rounds++) {
        char oldest[NAME_MAX + 1] = "";
        unsigned count = 0;
        struct dirent *entry;
        rewinddir(open_directory);
        while ((entry = readdir(open_directory))) {
            if (strncmp(entry->d_name, base, length) != 0 || entry->d_name[length] != '.') continue;
            count++;
            if (!*oldest || strcmp(entry->d_name, oldest) < 0) strcpy(oldest, entry->d_name);
        }
        if (count + 1 <= log->keep || !*oldest) break;
        if (unlinkat(dirfd(open_directory), oldest, 0) < 0) break;
    }
    closedir(open_directory);
}

static void rotate(struct log *log) {
    char target[4096];
    struct tm parts;
    time_t seconds = time(NULL);
    gmtime_r(&seconds, &parts);
    int length = snprintf(target, sizeof target, "%s.", log->path);
    if (length < 0 || (size_t)length + 20 > sizeof target) return;
    strftime(target + length, sizeof target - (size_t)length, "%Y%m%d-%H%M%S", &parts);
    /* Two rotations within a second would overwrite one: wait, the file may grow past its limit meanwhile. */
    if (access(target, F_OK) == 0) return;
    if (rename(log->path, target) < 0) return;
    reopen_log(log);
    prune(log);
}

static size_t stamp(char *into) {
    static time_t cached;
    static char text[24];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != cached || !*text) {
        struct tm parts;
        gmtime_r(&now.tv_sec, &parts);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
        cached = now.tv_sec;
    }
    return (size_t)snprintf(into, STAMP, "%s.%09ldZ", text, now.tv_nsec);
}

/* Up to this many lines go into one writev. */
enum { BATCH = 64 };

struct batch {
    struct log *log;
    struct iovec pieces[BATCH * 3];
    unsigned count;
    char head[2][STAMP + 16]; /* full, partial */
    size_t head_length[2];
};

static void flush_batch(struct batch *batch) {
    struct iovec *at = batch->pieces;
    unsigned left = batch->count;
    uint64_t whole = batch->log->size;
    batch->count = 0;
    while (left > 0 && batch->log->fd >= 0) {
        ssize_t done = writev(batch->log->fd, at, (int)left);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            /* No space left: the container goes on, its output is lost. Half a line would spoil the next one. */
            if (batch->log->size != whole && ftruncate(batch->log->fd, (off_t)whole) == 0) batch->log->size = whole;
            return;
        }
        batch->log->size += (uint64_t)done;
        while (left > 0 && (size_t)done >= at->iov_len) {
            done -= (ssize_t)at->iov_len;
            at++;
            left--;
        }
        if (left > 0) {
            at->iov_base = (char *)at->iov_base + done;
            at->iov_len -= (size_t)done;
        }
    }
}

static void put_line(struct batch *batch, bool partial, const char *first, size_t first_length, const char *second, size_t second_length) {
    if (batch->count + 4 > BATCH * 3) flush_batch(batch);
    struct iovec *at = batch->pieces + batch->count;
    *at++ = (struct iovec){batch->head[partial], batch->head_length[partial]};
    if (first_length) *at++ = (struct iovec){(void *)first, first_length};
    if (second_length) *at++ = (struct iovec){(void *)second, second_length};
    *at++ = (struct iovec){"\n", 1};
    batch->count = (unsigned)(at - batch->pieces);
}

static void begin(struct batch *batch, struct stream *stream) {
    char time_text[STAMP];
    batch->log = &stream->owner->log;
    batch->count = 0;
    stamp(time_text);
    for (int partial = 0; partial < 2; partial++)
        batch->head_length[partial] =
            (size_t)snprintf(batch->head[partial], sizeof batch->head[0], "%s %s %c ", time_text, stream->error ? "stderr" : "stdout", partial ? 'P' : 'F');
}

static void log_bytes(struct stream *stream, const char *bytes, size_t length) {
    struct batch batch;
    if (stream->owner->log.fd < 0) return;
    begin(&batch, stream);
    while (length > 0) {
        size_t room = JANGADA_LINE - stream->held;
        size_t window = length < room ? length : room;
        const char *newline = memchr(bytes, '\n', window);
        if (newline) {
            size_t n = (size_t)(newline - bytes);
            put_line(&batch, false, stream->line, stream->held, bytes, n);
            if (stream->held) flush_batch(&batch); /* the held part is overwritten next */
            stream->held = 0;
            bytes += n + 1;
            length -= n + 1;
        } else if (window == room) {
            put_line(&batch, true, stream->line, stream->held, bytes, window);
            if (stream->held) flush_batch(&batch);
            stream->held = 0;
            bytes += window;
            length -= window;
        } else {
            if (!stream->line && !(stream->line = malloc(JANGADA_LINE))) break;
            memcpy(stream->line + stream->held, bytes, window);
            stream->held += window;
            break;
        }
    }
    flush_batch(&batch);
    struct log *log = &stream->owner->log;
    if (log->limit && log->size >= log->limit) rotate(log);
}

/* The output has ended: what was held has no newline coming any more. */
void finish_stream(struct stream *stream) {
    if (stream->held && stream->owner->log.fd >= 0) {
        struct batch batch;
        begin(&batch, stream);
        put_line(&batch, true, stream->line, stream->held, NULL, 0);
        flush_batch(&batch);
    }
    stream->held = 0;
    free(stream->line);
    stream->line = NULL;
    drop(&stream->source);
}

/* One read; false when there is nothing more for now. */
static bool pump(struct stream *stream) {
    static char buffer[JANGADA_LINE];
    ssize_t got;
    do got = read(stream->source.fd, buffer, sizeof buffer);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        log_bytes(stream, buffer, (size_t)got);
        offer(stream->owner, buffer, (size_t)got, stream->error);
        return true;
    }
    if (got < 0 && errno == EAGAIN) return false;
    finish_stream(stream); /* 0, or EIO: the last process let go of the terminal */
    return false;
}

static void on_output(struct source *source, uint32_t events) {
    struct stream *stream = (struct stream *)source;
    (void)events;
    /* A few at a time, so that one loud container does not keep the others waiting. */
    for (int budget = 4; budget > 0 && source->watched && pump(stream); budget--) {}
}

bool watch_stream(struct stream *stream, struct process *owner, int fd, bool error) {
    stream->owner = owner;
    stream->error = error;
    nonblocking(fd);
    return watch(&stream->source, fd, EPOLLIN, on_output);
}

/* The process has exited: take what it left behind. Where others still hold the pipe, the stream lives on until they end. */
void drain_stream(struct stream *stream) {
    for (int budget = 4096; budget > 0 && stream->source.fd >= 0 && pump(stream); budget--) {}
}
