#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool find(struct child *child, uint16_t tag, struct jangada_record *record) {
    return jangada_find_record(child->spec.bytes, child->spec.size, tag, record) == 1;
}

void apply_limits(struct child *child) {
    struct jangada_record record;
    size_t offset = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) {
        if (record.tag != JR_RLIMIT) continue;
        struct rlimit limit = {.rlim_cur = jangada_record_number(&record, 1), .rlim_max = jangada_record_number(&record, 2)};
        if (setrlimit((__rlimit_resource_t)jangada_record_number(&record, 0), &limit) == 0) continue;
        if (errno != EPERM) child_fail(child, "setrlimit", "");
        child_note(child, "a resource limit above the daemon's own is not raised");
    }
}

static void load_seccomp(struct child *child) {
    struct jangada_record record;
    if (!find(child, JR_SECCOMP, &record) || record.length < sizeof(struct sock_filter)) return;
    /* The kernel wants alignment no better than the record's: eight bytes. */
    struct sock_fprog program = {.len = (unsigned short)(record.length / sizeof(struct sock_filter)), .filter = (struct sock_filter *)record.text};
    unsigned flags = (unsigned)jangada_record_number(&record, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0) child_fail(child, "seccomp", "");
}

struct capability_head {
    uint32_t version;
    int pid;
};
struct capability_sets {
    uint32_t effective, permitted, inheritable;
};

static void set_capabilities(struct child *child, const struct jangada_record *record) {
    struct capability_head head = {.version = 0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */};
    struct capability_sets own[2], sets[2];
    if (syscall(SYS_capget, &head, own) < 0) child_fail(child, "capget", "");
    for (int i = 0; i < 2; i++) {
        int shift = i * 32;
        /* What we do not have ourselves we cannot give: a daemon in a container lacks some. */
        sets[i].effective = (uint32_t)(jangada_record_number(record, 1) >> shift) & own[i].permitted;
        sets[i].permitted = (uint32_t)(jangada_record_number(record, 2) >> shift) & own[i].permitted;
        sets[i].inheritable = (uint32_t)(jangada_record_number(record, 3) >> shift) & own[i].permitted;
        sets[i].effective &= sets[i].permitted;
    }
    if (syscall(SYS_capset, &head, sets) < 0) child_fail(child, "capset", "");
    uint64_t ambient = jangada_record_number(record, 4);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int i = 0; i < 64; i++) {
        if (!(ambient >> i & 1)) continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0) child_note(child, "an ambient capability is not raised");
    }
}

static void drop_bounding(struct child *child, uint64_t keep) {
    for (int i = 0; i < 64; i++) {
        if (keep >> i & 1) continue;
        int held = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
        if (held < 0) break; /* past the last capability of this kernel */
        if (held && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) child_fail(child, "drop bounding capability", "");
    }
}

static void set_ids(struct child *child) {
    struct jangada_record user, groups;
    find(child, JR_USER, &user);
    gid_t list[256];
    unsigned count = 0;
    if (find(child, JR_GROUPS, &groups)) {
        if (groups.count > 256) {
            errno = E2BIG;
            child_fail(child, "setgroups", "");
        }
        for (; count < groups.count; count++) list[count] = (gid_t)groups.numbers[count];
    }
    uid_t uid = (uid_t)jangada_record_number(&user, 0);
    gid_t gid = (gid_t)jangada_record_number(&user, 1);
    umask(user.count > 2 ? (mode_t)user.numbers[2] & 0777 : 022);
    if (setgroups(count, list) < 0) child_fail(child, "setgroups", "");
    if (setresgid(gid, gid, gid) < 0) child_fail(child, "setgid", "");
    if (setresuid(uid, uid, uid) < 0) child_fail(child, "setuid", "");
}

/*
 * The order matters. The bounding set goes first, while we still have CAP_SETPCAP. The ids change with the capabilities kept,
 * and those are set after. Without no_new_privs the seccomp filter needs CAP_SYS_ADMIN and must come before all of it; with
 * it, the filter comes last, so that it need not allow what we do here.
 */
void become_user(struct child *child) {
    struct jangada_record capabilities;
    bool has = find(child, JR_CAPABILITIES, &capabilities);
    bool no_new = child->spec.flags & JF_NO_NEW_PRIVS;
    if (!no_new) load_seccomp(child);
    if (has) drop_bounding(child, jangada_record_number(&capabilities, 0));
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) child_fail(child, "keep capabilities", "");
    set_ids(child);
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) child_fail(child, "keep capabilities", "");
    if (has) set_capabilities(child, &capabilities);
    /* Cleared by the change of ids. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (no_new) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) child_fail(child, "no_new_privs", "");
        load_seccomp(child);
    }
}

static char **collect(struct child *child, uint16_t tag) {
    struct jangada_record record;
    size_t offset = 0, count = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) count += record.tag == tag;
    char **list = calloc(count + 1, sizeof *list);
    if (!list) child_fail(child, "allocate", "");
    offset = count = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1)
        if (record.tag == tag) list[count++] = (char *)jangada_record_string(&record, 0);
    return list;
}

static _Noreturn void fail_exec(struct child *child, const char *name, bool searched) {
    char text[1024];
    int error = errno;
    if (searched)
        snprintf(text, sizeof text, "exec: \"%s\": executable file not found in $PATH", name);
    else if (error == ENOENT || error == ENOTDIR)
        snprintf(text, sizeof text, "exec: \"%s\": stat %s: %s", name, name, error == ENOENT ? "no such file or directory" : "not a directory");
    else if (error == EACCES)
        snprintf(text, sizeof text, "exec: \"%s\": permission denied", name);
    else if (error == EISDIR)
        snprintf(text, sizeof text, "exec: \"%s\": is a directory", name);
    else if (error == ENOEXEC)
        snprintf(text, sizeof text, "exec %s: exec format error", name);
    else
        snprintf(text, sizeof text, "exec %s: %s", name, strerror(error));
    errno = error;
    child_fail(child, "exec", text);
}

static bool runnable(const char *path) {
    struct stat info;
    if (stat(path, &info) < 0) return false;
    if (S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return false;
    }
    if (info.st_mode & 0111) return true;
    errno = EACCES;
    return false;
}

_Noreturn void execute(struct child *child) {
    char **arguments = collect(child, JR_ARG), **environment = collect(child, JR_ENV);
    const char *name = arguments[0] ? arguments[0] : "";
    if (strchr(name, '/')) {
        if (runnable(name)) execve(name, arguments, environment);
        /* A script whose interpreter is missing also says ENOENT: that is no missing file. */
        fail_exec(child, name, false);
    }
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (char **at = environment; *at; at++)
        if (strncmp(*at, "PATH=", 5) == 0) {
            path = *at + 5;
            break;
        }
    bool denied = false;
    while (*name) {
        char candidate[4096];
        size_t length = strcspn(path, ":");
        int written = snprintf(candidate, sizeof candidate, "%.*s/%s", length ? (int)length : 1, length ? path : ".", name);
        if (written > 0 && (size_t)written < sizeof candidate && runnable(candidate)) {
            execve(candidate, arguments, environment);
            if (errno != EACCES && errno != ENOENT && errno != ENOTDIR) fail_exec(child, name, false);
            denied |= errno == EACCES;
        }
        if (!path[length]) break;
        path += length + 1;
    }
    errno = denied ? EACCES : ENOENT;
    fail_exec(child, name, !denied);
}
