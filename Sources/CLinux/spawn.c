#define _GNU_SOURCE 1
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#define INTO_CGROUP 0x200000000ULL

struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

struct child {
    const struct jangada_spawn *spawn;
    const sigset_t *mask;
    volatile int error;
    const char *volatile stage;
};

enum { STACK = 64 * 1024, HIGH = 200 };

static int fail(struct child *child, const char *stage) {
    child->error = errno ? errno : EIO;
    child->stage = stage;
    _exit(127);
}

/* Shares the parent's memory while the parent's calling thread sleeps: async-signal-safe calls only, no TLS but errno. */
static int run(void *argument) {
    struct child *child = argument;
    const struct jangada_spawn *spawn = child->spawn;
    /* Handlers of the parent must not run here on the parent's memory. SIG_IGN survives an exec, so reset all. */
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &standard, NULL);
    for (const char *const *file = spawn->tasks; file && *file; file++) {
        int fd = open(*file, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return fail(child, "open cgroup tasks");
        if (write(fd, "0", 1) < 0) return fail(child, "write cgroup tasks");
        close(fd);
    }
    if (spawn->new_session && setsid() < 0) return fail(child, "setsid");
    if (spawn->directory && chdir(spawn->directory) < 0) return fail(child, "chdir");
    /* First up out of the way of the targets, then down: sources and targets may overlap. */
    int moved[32];
    if (spawn->fd_count > 32) {
        errno = EINVAL;
        return fail(child, "dup");
    }
    for (unsigned i = 0; i < spawn->fd_count; i++) {
        int from = spawn->fds[i] >= 0 ? spawn->fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (from < 0) return fail(child, "open /dev/null");
        moved[i] = fcntl(from, F_DUPFD_CLOEXEC, HIGH);
        if (moved[i] < 0) return fail(child, "dup");
    }
    int executable = spawn->executable;
    if (executable >= 0 && (executable = fcntl(executable, F_DUPFD_CLOEXEC, HIGH)) < 0) return fail(child, "dup");
    for (unsigned i = 0; i < spawn->fd_count; i++)
        if (dup2(moved[i], (int)i) < 0) return fail(child, "dup2");
    /* What other threads opened without CLOEXEC must not leak into a process that outlives us. */
    if (jangada_close_range(spawn->fd_count, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) < 0 && errno != ENOSYS && errno != EINVAL)
        return fail(child, "close_range");
    sigset_t none;
    sigemptyset(&none);
    if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8) < 0) return fail(child, "sigprocmask");
    if (executable >= 0)
        syscall(SYS_execveat, executable, "", spawn->arguments, spawn->environment, 0x1000 /* AT_EMPTY_PATH */);
    else
        execve(spawn->path, spawn->arguments, spawn->environment);
    return fail(child, "exec");
}

pid_t jangada_spawn_process(const struct jangada_spawn *spawn, int *pidfd, const char **stage) {
    sigset_t all, before;
    struct child child = {.spawn = spawn, .mask = &before};
    *pidfd = -1;
    *stage = "mmap";
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    *stage = "clone";
    /* Glibc's clone() runs the function on the given stack. CLONE_INTO_CGROUP needs clone3, which it does not wrap: there the
       child joins by cgroup.procs instead. A vfork-style child has one thread, so that costs no more than the write. */
    char tasks[64];
    const char *files[2] = {tasks, NULL};
    struct jangada_spawn joined = *spawn;
    if (spawn->cgroup >= 0) {
        /* The descriptor table is a copy in the child: the number stays valid. */
        int length = 0;
        const char *prefix = "/proc/self/fd/";
        memcpy(tasks, prefix, strlen(prefix));
        length = (int)strlen(prefix);
        char digits[12];
        int count = 0;
        for (int value = spawn->cgroup; count == 0 || value > 0; value /= 10) digits[count++] = (char)('0' + value % 10);
        while (count > 0) tasks[length++] = digits[--count];
        strcpy(tasks + length, "/cgroup.procs");
        joined.tasks = files;
        child.spawn = &joined;
    }
    int fd = -1;
    pid_t pid = clone(run, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &fd, NULL, NULL);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK);
    if (pid < 0) {
        errno = error;
        return -1;
    }
    if (child.error) {
        int status;
        while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {}
        if (fd >= 0) close(fd);
        *stage = child.stage;
        errno = child.error;
        return -1;
    }
    *pidfd = fd;
    return pid;
}
