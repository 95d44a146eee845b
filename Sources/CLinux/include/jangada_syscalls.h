#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One system call each. They return -1 and set errno, as Glibc's own do. */

struct jangada_open_how {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};
struct jangada_mount_attr {
    uint64_t set;
    uint64_t clear;
    uint64_t propagation;
    uint64_t userns_fd;
};

enum { /* openat2 */
    JANGADA_RESOLVE_NO_XDEV = 0x01,
    JANGADA_RESOLVE_NO_MAGICLINKS = 0x02,
    JANGADA_RESOLVE_NO_SYMLINKS = 0x04,
    JANGADA_RESOLVE_BENEATH = 0x08,
    JANGADA_RESOLVE_IN_ROOT = 0x10,
};
enum { /* the mount family */
    JANGADA_OPEN_TREE_CLONE = 1,
    JANGADA_AT_RECURSIVE = 0x8000,
    JANGADA_MOVE_F_EMPTY_PATH = 0x04,
    JANGADA_MOVE_T_EMPTY_PATH = 0x40,
    JANGADA_ATTR_RDONLY = 1,
    JANGADA_ATTR_NOSUID = 2,
    JANGADA_ATTR_NODEV = 4,
    JANGADA_ATTR_NOEXEC = 8,
    JANGADA_ATTR_NOATIME = 0x10,
    JANGADA_FSCONFIG_FLAG = 0,
    JANGADA_FSCONFIG_STRING = 1,
    JANGADA_FSCONFIG_CREATE = 6,
};

int jangada_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int jangada_open_tree(int directory, const char *path, unsigned flags);
int jangada_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int jangada_mount_setattr(int directory, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation);
int jangada_fsopen(const char *type, unsigned flags);
int jangada_fsconfig(int context, unsigned command, const char *key, const char *value, int aux);
int jangada_fsmount(int context, unsigned flags, unsigned attributes);
int jangada_pivot_root(const char *root, const char *old);
int jangada_pidfd_open(pid_t pid, unsigned flags);
int jangada_pidfd_send_signal(int pidfd, int signal);
int jangada_close_range(unsigned first, unsigned last, unsigned flags);
int jangada_memfd(const char *name);
/* The exit of a child behind a pidfd; 0 where it still runs, 1 where `code` and `status` were set, -1 on failure. */
int jangada_pidfd_reap(int pidfd, int *code, int *status);
/* Opens another end for the pty behind `master`, without a path lookup. */
int jangada_pty_peer(int master);
int jangada_pty_unlock(int master);
int jangada_set_window(int master, unsigned short rows, unsigned short columns);
int jangada_ioctl_int(int fd, unsigned long request, int value);
/* Attaches a cgroup v2 device program built from `instructions` (8 bytes each) to the cgroup directory `cgroup`. */
int jangada_cgroup_attach_devices(int cgroup, const void *instructions, unsigned count);
/* Sends `length` bytes and `count` descriptors in one message. */
ssize_t jangada_send(int socket, const void *bytes, size_t length, const int *fds, unsigned count);
/* Receives one message and up to `capacity` descriptors (CLOEXEC); `count` says how many came. A cut message is EMSGSIZE. */
ssize_t jangada_receive(int socket, void *bytes, size_t length, int *fds, unsigned capacity, unsigned *count);

/* What Swift's Glibc module leaves out. */
enum { JANGADA_O_PATH = 010000000, JANGADA_EVENT_IN = 1, JANGADA_EVENT_OUT = 4, JANGADA_EVENT_ERR = 8, JANGADA_EVENT_HUP = 16, JANGADA_EVENT_RDHUP = 0x2000 };
int jangada_epoll_create(void);
/* Edge-triggered, for reading, writing and hang-up. */
int jangada_epoll_watch(int epoll, int fd, uint64_t token);
int jangada_epoll_unwatch(int epoll, int fd);
int jangada_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, unsigned capacity);
int jangada_pipe(int pair[2]);
void jangada_name_thread(const char *name);
int jangada_is_directory(const char *path);
/* A SEQPACKET socket bound (backlog > 0) or connected (0) to the path. */
int jangada_unix_socket(const char *path, int backlog);

struct jangada_fs_usage {
    uint64_t capacity, available, inodes, inodes_free;
};
int jangada_file_system_usage(const char *path, struct jangada_fs_usage *usage);
int jangada_tree_usage(const char *path, uint64_t *bytes, uint64_t *files);
int jangada_inotify(void);
int jangada_inotify_add(int inotify, const char *path, uint32_t mask);
/* Whether an overlay layer's directory hides the same directory below; no link is followed. */
int jangada_is_opaque(const char *path);
