#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sandbox sandbox = {.epoll = -1, .signals = -1, .children_pidns = -1, .own_pidns = -1, .host_mounts = -1, .shm_mounts = -1};

int jangada_is_sandbox(int argc, char *const *argv) { return argc > 0 && strcmp(argv[0], JANGADA_SANDBOX_NAME) == 0; }

static bool setup_failed(const char *stage) {
    sandbox.setup_stage = stage;
    sandbox.setup_error = errno ? errno : EIO;
    return false;
}

static void note(const char *text) {
    uint64_t number = (uint64_t)errno;
    sandbox.notes_size = jangada_put_record(sandbox.notes, sandbox.notes_size, sizeof sandbox.notes, JR_NOTE, 1, &number, 1, &text);
}

/*
 * /dev/shm is one tmpfs for the whole pod. It lives in a mount namespace that holds nothing else, so that it is no mount of
 * the host's, costs no other container a copy, and goes away with us. The containers clone it from there.
 */
static bool make_shm(const char *directory, uint64_t size) {
    char options[64];
    snprintf(options, sizeof options, "mode=1777,size=%llu", (unsigned long long)size);
    if (unshare(CLONE_NEWNS) < 0) return setup_failed("unshare mounts");
    sandbox.shm_mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    bool ok = sandbox.shm_mounts >= 0 && mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("shm", directory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) == 0 && chdir(directory) == 0 &&
              jangada_pivot_root(".", ".") == 0 && umount2(".", MNT_DETACH) == 0;
    int error = errno;
    if (setns(sandbox.host_mounts, CLONE_NEWNS) < 0) return setup_failed("setns mounts");
    errno = error;
    return ok || setup_failed("mount shm");
}

/* The first process of a shared pid namespace: reaps what the containers leave, and ends when the init does. */
static _Noreturn void run_pause(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "pause");
    jangada_close_range(0, ~0U, 0);
    struct sigaction ignore = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &ignore, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (;;) pause();
}

static bool share_pids(void) {
    if (unshare(CLONE_NEWPID) < 0) return setup_failed("unshare pid");
    sandbox.pause = fork();
    if (sandbox.pause < 0) return setup_failed("fork pause");
    if (sandbox.pause == 0) run_pause();
    close_fd(&sandbox.children_pidns);
    sandbox.children_pidns = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
    sandbox.shared_pid = true;
    return sandbox.children_pidns >= 0 || setup_failed("open pid_for_children");
}

static bool set_up(const void *spec, size_t size) {
    struct jangada_record record;
    jangada_find_record(spec, size, JR_FLAGS, &record);
    uint64_t flags = jangada_record_number(&record, 0);
    struct stat net;
    bool handed = fstat(JANGADA_FD_NET, &net) == 0 && !S_ISCHR(net.st_mode);
    if (handed && setns(JANGADA_FD_NET, CLONE_NEWNET) < 0) return setup_failed("setns net");
    close(JANGADA_FD_NET);
    int fresh = (flags & JF_NEW_IPC ? CLONE_NEWIPC : 0) | (flags & JF_NEW_UTS ? CLONE_NEWUTS : 0) | (!handed && flags & JF_NEW_NET ? CLONE_NEWNET : 0);
    if (fresh && unshare(fresh) < 0) return setup_failed("unshare");
    sandbox.host_mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    sandbox.own_pidns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    sandbox.children_pidns = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
    if (sandbox.host_mounts < 0 || sandbox.own_pidns < 0) return setup_failed("open namespaces");
    if (flags & JF_SHARED_PID && !share_pids()) return false;

    const char *directory = "";
    uint64_t shm = 0;
    size_t offset = 0;
    while (jangada_next_record(spec, size, &offset, &record) == 1) {
        const char *text = jangada_record_string(&record, 0);
        if (record.tag == JR_HOSTNAME && flags & JF_NEW_UTS && sethostname(text, strlen(text)) < 0) return setup_failed("sethostname");
        if (record.tag == JR_DOMAINNAME && flags & JF_NEW_UTS && setdomainname(text, strlen(text)) < 0) return setup_failed("setdomainname");
        if (record.tag == JR_DIRECTORY) directory = text;
        if (record.tag == JR_SHM) shm = jangada_record_number(&record, 0);
        if (record.tag == JR_SYSCTL) {
            char path[512];
            snprintf(path, sizeof path, "/proc/sys/%s", text);
            if (strstr(text, "..") || write_text(path, jangada_record_string(&record, 1)) < 0) return setup_failed("sysctl");
        }
    }
    if (shm && *directory) {
        char path[4096];
        snprintf(path, sizeof path, "%s/shm", directory);
        if (mkdir(path, 0700) < 0 && errno != EEXIST) return setup_failed("mkdir shm");
        if (!make_shm(path, shm)) return false;
        rmdir(path);
    }
    return true;
}

int jangada_sandbox_main(int argc, char **argv) {
    (void)argc;
    (void)argv;
    struct stat info;
    umask(022);
    prctl(PR_SET_NAME, JANGADA_SANDBOX_NAME);
    /* A container's process must not reach the init through /proc before its exec: neither memory nor descriptors. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    /* The last to be killed where memory runs out; without CAP_SYS_RESOURCE it stays as it is. */
    if (write_text("/proc/self/oom_score_adj", "-998") < 0) note("oom_score_adj of the sandbox init stays as it is");
    for (int fd = JANGADA_FD_LISTEN; fd <= JANGADA_FD_NET; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (fstat(JANGADA_FD_SPEC, &info) < 0) return 2;
    size_t size = (size_t)info.st_size;
    void *spec = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, JANGADA_FD_SPEC, 0) : NULL;
    if (spec == MAP_FAILED) return 2;
    close(JANGADA_FD_SPEC);
    set_up(spec, size);
    if (spec) munmap(spec, size);
    /* Where that failed we still serve: the daemon asks, reads the reason and shuts us down. */
    return run_loop();
}
