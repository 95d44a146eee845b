#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct news {
    int32_t kind, number;
    char text[2048];
};

static void tell(struct child *child, int kind, int number, const char *first, const char *second, int fd) {
    struct news news = {.kind = kind, .number = number};
    size_t a = strnlen(first, 255), b = strnlen(second, sizeof news.text - 258);
    memcpy(news.text, first, a);
    memcpy(news.text + a + 1, second, b);
    jangada_send(child->sync, &news, offsetof(struct news, text) + a + b + 2, &fd, fd >= 0);
}

_Noreturn void child_fail(struct child *child, const char *stage, const char *text) {
    tell(child, 1, errno ? errno : EIO, stage, text, -1);
    _exit(127);
}

void child_note(struct child *child, const char *text) { tell(child, 2, errno, text, "", -1); }

void child_send_master(struct child *child, int master) { tell(child, 3, 0, "", "", master); }

/* cgroup v1: writing 0 to `tasks` moves only this thread and spares the wait for the group's lock. */
static void join_cgroups(struct child *child) {
    struct jangada_record record;
    size_t offset = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1)
        if (record.tag == JR_CGROUP_TASKS && write_text(jangada_record_string(&record, 0), "0") < 0)
            child_fail(child, "join cgroup", jangada_record_string(&record, 0));
}

static void set_oom_score(struct child *child) {
    struct jangada_record record;
    char text[24];
    /* 0 where none is given: the init's own protection is not inherited. */
    jangada_find_record(child->spec.bytes, child->spec.size, JR_OOM_SCORE, &record);
    int64_t score = (int64_t)jangada_record_number(&record, 0);
    snprintf(text, sizeof text, "%lld", (long long)score);
    if (write_text("/proc/self/oom_score_adj", text) == 0) return;
    /* Below what the init has, only CAP_SYS_RESOURCE may go. */
    child_note(child, "oom_score_adj is not lowered");
    if (score < 0) write_text("/proc/self/oom_score_adj", "0");
}

/* A terminal of the container's own devpts: its number and path are then right inside. */
static void open_terminal(struct child *child) {
    int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
    if (master < 0) child_fail(child, "open terminal", "/dev/pts/ptmx");
    if (jangada_pty_unlock(master) < 0) child_fail(child, "unlock terminal", "");
    int end = jangada_pty_peer(master);
    if (end < 0) child_fail(child, "open terminal", "");
    struct jangada_record record;
    if (jangada_find_record(child->spec.bytes, child->spec.size, JR_WINDOW, &record))
        jangada_set_window(master, (unsigned short)jangada_record_number(&record, 0), (unsigned short)jangada_record_number(&record, 1));
    if (!child->is_exec) {
        /* /dev/console is the container's terminal, as in other runtimes. Nobody needs it to start. */
        int file = open("/dev/console", O_CREAT | O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
        int tree = file < 0 ? -1 : jangada_open_tree(end, "", JANGADA_OPEN_TREE_CLONE | 0x1000 /* AT_EMPTY_PATH */);
        if (tree >= 0) jangada_move_mount(tree, "", file, "", JANGADA_MOVE_F_EMPTY_PATH | JANGADA_MOVE_T_EMPTY_PATH);
        if (tree >= 0) close(tree);
        if (file >= 0) close(file);
    }
    child_send_master(child, master);
    close(master);
    if (setsid() < 0 && errno != EPERM) child_fail(child, "setsid", "");
    if (ioctl(end, TIOCSCTTY, 0) < 0) child_fail(child, "set controlling terminal", "");
    child->stdio[0] = child->stdio[1] = child->stdio[2] = end;
}

static void place_stdio(struct child *child) {
    struct jangada_record record;
    uint64_t owner = 0;
    if (jangada_find_record(child->spec.bytes, child->spec.size, JR_USER, &record)) owner = jangada_record_number(&record, 0);
    int moved[3];
    for (int i = 0; i < 3; i++) {
        int from = child->stdio[i];
        if (from < 0) from = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (from < 0) child_fail(child, "open", "/dev/null");
        struct stat info;
        /* So that a user other than root can open /dev/stdout again. */
        if (fstat(from, &info) == 0 && (S_ISFIFO(info.st_mode) || (child->spec.flags & JF_TTY))) fchown(from, (uid_t)owner, (gid_t)-1);
        moved[i] = fcntl(from, F_DUPFD_CLOEXEC, 10);
        if (moved[i] < 0) child_fail(child, "dup", "");
    }
    for (int i = 0; i < 3; i++)
        if (dup2(moved[i], i) < 0) child_fail(child, "dup2", "");
    /* Nothing of the init's may be left open, whatever was forgotten. The sync socket closes with the exec. */
    jangada_close_range(3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
}

static void enter_container(struct child *child) {
    if (setns(child->container_pidfd, CLONE_NEWNS | CLONE_NEWCGROUP) < 0) child_fail(child, "enter namespaces", "");
    close(child->container_pidfd);
}

/* Tries as root, and again as the user: a network file system may know only the one or only the other. */
static bool change_directory(struct child *child) {
    struct jangada_record record;
    if (!jangada_find_record(child->spec.bytes, child->spec.size, JR_CWD, &record)) return chdir("/") == 0;
    return chdir(jangada_record_string(&record, 0)) == 0;
}

_Noreturn void run_child(struct child *child) {
    sigset_t none;
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(0);
    set_oom_score(child);
    join_cgroups(child);
    apply_limits(child);
    if (child->is_exec) {
        enter_container(child);
    } else {
        if (child->spec.flags & JF_NEW_CGROUP && unshare(CLONE_NEWCGROUP) < 0) child_fail(child, "unshare cgroup", "");
        assemble_root(child);
    }
    if (child->spec.flags & JF_TTY) open_terminal(child);
    else setsid();
    place_stdio(child);
    bool there = change_directory(child);
    become_user(child);
    if (!there && !change_directory(child)) {
        struct jangada_record record;
        jangada_find_record(child->spec.bytes, child->spec.size, JR_CWD, &record);
        child_fail(child, "chdir", jangada_record_string(&record, 0));
    }
    tell(child, 4, 0, "", "", -1);
    execute(child);
}
