#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IN_ROOT = JANGADA_RESOLVE_IN_ROOT | JANGADA_RESOLVE_NO_MAGICLINKS };

int open_in_root(int root, const char *path, int flags) {
    return jangada_openat2(root, *path ? path : ".", (uint64_t)(unsigned)flags | O_CLOEXEC, 0, IN_ROOT);
}

static int make_step(int root, const char *path, bool file, mode_t mode, int depth);

/* A link to nowhere, as an image may have it: what it points at is made, inside the root like everything else. */
static int make_link_target(int root, int parent, const char *so_far, const char *name, bool file, mode_t mode, int depth) {
    char link[4096], whole[8192];
    ssize_t length = readlinkat(parent, name, link, sizeof link - 1);
    if (length < 0 || depth >= 16) {
        errno = length < 0 ? ENOENT : ELOOP;
        return -1;
    }
    link[length] = 0;
    size_t before = link[0] == '/' ? 0 : (size_t)(name - so_far);
    memcpy(whole, so_far, before);
    strcpy(whole + before, link);
    return make_step(root, whole, file, mode, depth + 1);
}

int make_in_root(int root, const char *path, bool file, mode_t mode) { return make_step(root, path, file, mode, 0); }

/*
 * Opens `path` below `root` as O_PATH, making what is missing: the parents as directories, the last part as a directory or
 * an empty file. Symlinks are followed as the container would follow them. Each step is a fresh scoped lookup of the part
 * made so far, so that a link swapped in between leads nowhere else.
 */
static int make_step(int root, const char *path, bool file, mode_t mode, int depth) {
    int fd = open_in_root(root, path, O_PATH);
    if (fd >= 0 || errno != ENOENT) return fd;
    char part[4096];
    size_t length = strlen(path);
    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, length + 1);
    while (length > 1 && part[length - 1] == '/') part[--length] = 0;
    int parent = open_in_root(root, ".", O_PATH | O_DIRECTORY);
    size_t at = 0;
    while (parent >= 0) {
        while (part[at] == '/') at++;
        size_t end = at + strcspn(part + at, "/");
        bool last = part[end] == 0;
        char saved = part[end];
        part[end] = 0;
        int next = open_in_root(root, part, O_PATH);
        if (next < 0 && errno == ENOENT) {
            const char *name = part + at;
            int made;
            if (strcmp(name, "..") == 0) {
                made = -1;
                errno = EINVAL;
            } else if (last && file) {
                made = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
                if (made >= 0) close(made);
            } else {
                made = mkdirat(parent, name, mode);
            }
            bool exists = made < 0 && errno == EEXIST;
            if (made >= 0 || exists) next = open_in_root(root, part, O_PATH);
            if (next < 0 && exists && errno == ENOENT) next = make_link_target(root, parent, part, name, last && file, mode, depth);
        }
        int error = errno;
        close(parent);
        errno = error;
        part[end] = saved;
        if (last) return next;
        parent = next;
        at = end;
    }
    return -1;
}

int write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t done = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return done < 0 ? -1 : 0;
}
