#define _GNU_SOURCE 1
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Numbers that are the same on every architecture since 5.1, for Glibc older than the kernel. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int jangada_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct jangada_open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    for (int attempt = 0;; attempt++) {
        int fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
        /* EAGAIN: a rename raced with a scoped lookup; the manual asks for a retry. */
        if (fd >= 0 || (errno != EINTR && errno != EAGAIN) || attempt == 64) return fd;
    }
}

int jangada_open_tree(int directory, const char *path, unsigned flags) {
    return (int)syscall(SYS_open_tree, directory, path, flags | O_CLOEXEC);
}

int jangada_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
    return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

int jangada_mount_setattr(int directory, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation) {
    struct jangada_mount_attr attr = {.set = set, .clear = clear, .propagation = propagation};
    return (int)syscall(SYS_mount_setattr, directory, path, flags, &attr, sizeof attr);
}

int jangada_fsopen(const char *type, unsigned flags) { return (int)syscall(SYS_fsopen, type, flags | 1 /* FSOPEN_CLOEXEC */); }

int jangada_fsconfig(int context, unsigned command, const char *key, const char *value, int aux) {
    return (int)syscall(SYS_fsconfig, context, command, key, value, aux);
}

int jangada_fsmount(int context, unsigned flags, unsigned attributes) {
    return (int)syscall(SYS_fsmount, context, flags | 1 /* FSMOUNT_CLOEXEC */, attributes);
}

int jangada_pivot_root(const char *root, const char *old) { return (int)syscall(SYS_pivot_root, root, old); }

int jangada_pidfd_open(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }

int jangada_pidfd_send_signal(int pidfd, int signal) { return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0); }

int jangada_close_range(unsigned first, unsigned last, unsigned flags) { return (int)syscall(SYS_close_range, first, last, flags); }

int jangada_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int jangada_pidfd_reap(int pidfd, int *code, int *status) {
    siginfo_t info = {0};
    int done;
    do done = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    while (done < 0 && errno == EINTR);
    if (done < 0) return -1;
    if (info.si_pid == 0) return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

int jangada_pty_unlock(int master) {
    int locked = 0;
    return ioctl(master, TIOCSPTLCK, &locked);
}

int jangada_pty_peer(int master) { return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC); }

int jangada_set_window(int master, unsigned short rows, unsigned short columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(master, TIOCSWINSZ, &size);
}

int jangada_ioctl_int(int fd, unsigned long request, int value) { return ioctl(fd, request, value); }

int jangada_cgroup_attach_devices(int cgroup, const void *instructions, unsigned count) {
    union bpf_attr load = {0};
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = (uint64_t)(uintptr_t)instructions;
    load.insn_cnt = count;
    load.license = (uint64_t)(uintptr_t) "Apache-2.0";
    int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (program < 0) return -1;
    union bpf_attr attach = {0};
    attach.target_fd = (uint32_t)cgroup;
    attach.attach_bpf_fd = (uint32_t)program;
    attach.attach_type = BPF_CGROUP_DEVICE;
    int result = (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach);
    int saved = errno;
    close(program);
    errno = saved;
    return result;
}

ssize_t jangada_send(int socket, const void *bytes, size_t length, const int *fds, unsigned count) {
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    union {
        char space[CMSG_SPACE(sizeof(int) * JANGADA_MAX_FDS)];
        struct cmsghdr align;
    } control;
    if (count > JANGADA_MAX_FDS) {
        errno = EINVAL;
        return -1;
    }
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t jangada_receive(int socket, void *bytes, size_t length, int *fds, unsigned capacity, unsigned *count) {
    struct iovec piece = {.iov_base = bytes, .iov_len = length};
    union {
        char space[CMSG_SPACE(sizeof(int) * JANGADA_MAX_FDS)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    *count = 0;
    ssize_t got;
    do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return got;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        unsigned passed = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (unsigned i = 0; i < passed; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof fd);
            if (*count < capacity) fds[(*count)++] = fd;
            else close(fd);
        }
    }
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (unsigned i = 0; i < *count; i++) close(fds[i]);
        *count = 0;
        errno = EMSGSIZE;
        return -1;
    }
    return got;
}

int jangada_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int jangada_epoll_watch(int epoll, int fd, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int jangada_epoll_unwatch(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int jangada_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, unsigned capacity) {
    struct epoll_event found[64];
    int count = epoll_wait(epoll, found, capacity < 64 ? (int)capacity : 64, -1);
    for (int i = 0; i < count; i++) {
        tokens[i] = found[i].data.u64;
        events[i] = found[i].events;
    }
    return count;
}

int jangada_pipe(int pair[2]) { return pipe2(pair, O_CLOEXEC); }

void jangada_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int jangada_is_directory(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int jangada_unix_socket(const char *path, int backlog) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (backlog ? 0 : SOCK_NONBLOCK), 0);
    if (fd < 0) return -1;
    int done = backlog ? bind(fd, (struct sockaddr *)&address, sizeof address) : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (done == 0 && backlog) done = listen(fd, backlog);
    if (done == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int jangada_inotify(void) { return inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }

int jangada_inotify_add(int inotify, const char *path, uint32_t mask) { return inotify_add_watch(inotify, path, mask); }
