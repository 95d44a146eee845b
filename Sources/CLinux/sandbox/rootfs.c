#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * The container's file system, mounted in its own mount namespace: the host's table never shows it, and the last process that
 * leaves takes it along. Sources are opened in the host's namespace, targets are looked up inside the root, and the two meet
 * only as descriptors: no path is resolved twice, and no symlink of an image or a volume leads outside.
 */

enum { EMPTY = 0x1000 /* AT_EMPTY_PATH */, PROC_MAGIC = 0x9fa0 };

/* `name=value,flag`, as mount(2) would take them. */
static bool configure(int context, const char *data) {
    char options[4096];
    if (strlen(data) >= sizeof options) {
        errno = E2BIG;
        return false;
    }
    strcpy(options, data);
    char *rest = options;
    for (char *option; (option = strsep(&rest, ","));) {
        if (!*option) continue;
        char *value = strchr(option, '=');
        if (value) *value++ = 0;
        if (jangada_fsconfig(context, value ? JANGADA_FSCONFIG_STRING : JANGADA_FSCONFIG_FLAG, option, value, 0) != 0) return false;
    }
    return true;
}

static int make_fs(const char *type, const char *source, const char *data, unsigned attributes) {
    int context = jangada_fsopen(type, 0);
    if (context < 0) return -1;
    bool ok = !*source || jangada_fsconfig(context, JANGADA_FSCONFIG_STRING, "source", source, 0) == 0;
    ok = ok && configure(context, data);
    ok = ok && jangada_fsconfig(context, JANGADA_FSCONFIG_CREATE, NULL, NULL, 0) == 0;
    int tree = ok ? jangada_fsmount(context, 0, attributes) : -1;
    int error = errno;
    close(context);
    errno = error;
    return tree;
}

static int attach_tree(int tree, int target) {
    int result = jangada_move_mount(tree, "", target, "", JANGADA_MOVE_F_EMPTY_PATH | JANGADA_MOVE_T_EMPTY_PATH);
    int error = errno;
    close(tree);
    close(target);
    errno = error;
    return result;
}

static int place(int root, int tree, const char *target) {
    struct stat info;
    struct statfs fs;
    if (tree < 0) return -1;
    bool file = fstat(tree, &info) == 0 && !S_ISDIR(info.st_mode);
    int fd = make_in_root(root, target, file, 0755);
    /* Nothing is mounted inside procfs: what an image's link puts there would stand in for the kernel's own words. */
    if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == PROC_MAGIC) {
        close(fd);
        errno = EPERM;
        fd = -1;
    }
    if (fd >= 0) return attach_tree(tree, fd);
    int error = errno;
    close(tree);
    errno = error;
    return -1;
}

/* A bind mount's source as a detached tree, taken in the host's namespace, so that it stays in its propagation group. */
static int open_source(const struct jangada_record *record) {
    const char *source = jangada_record_string(record, 1), *sub = jangada_record_string(record, 2);
    uint64_t flags = jangada_record_number(record, 2);
    unsigned recursive = flags & JM_FLAG_RECURSIVE ? JANGADA_AT_RECURSIVE : 0;
    if (!*sub) return jangada_open_tree(AT_FDCWD, source, JANGADA_OPEN_TREE_CLONE | recursive);
    int volume = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (volume < 0) return -1;
    int found = jangada_openat2(volume, sub, O_PATH | O_CLOEXEC, 0, JANGADA_RESOLVE_BENEATH | JANGADA_RESOLVE_NO_MAGICLINKS);
    if (found < 0 && errno == ENOENT && flags & JM_FLAG_CREATE_SUB) {
        int made = make_in_root(volume, sub, false, 0750);
        if (made >= 0) close(made);
        found = jangada_openat2(volume, sub, O_PATH | O_CLOEXEC, 0, JANGADA_RESOLVE_BENEATH | JANGADA_RESOLVE_NO_MAGICLINKS);
    }
    int tree = found < 0 ? -1 : jangada_open_tree(found, "", JANGADA_OPEN_TREE_CLONE | EMPTY | recursive);
    int error = errno;
    if (found >= 0) close(found);
    close(volume);
    errno = error;
    return tree;
}

static int open_shm(void) {
    if (sandbox.shm_mounts < 0 || setns(sandbox.shm_mounts, CLONE_NEWNS) < 0) return -1;
    int tree = jangada_open_tree(AT_FDCWD, "/", JANGADA_OPEN_TREE_CLONE);
    int error = errno;
    if (setns(sandbox.host_mounts, CLONE_NEWNS) < 0) return -1;
    errno = error;
    return tree;
}

static _Noreturn void fail_mount(struct child *child, const struct jangada_record *record) {
    char text[1024];
    int error = errno;
    snprintf(text, sizeof text, "\"%s\" to rootfs at \"%s\"", jangada_record_string(record, 1), jangada_record_string(record, 0));
    errno = error;
    child_fail(child, "mount", text);
}

/* Set before the tree is attached: the container never sees it writable for a moment. */
static int restrict_tree(const struct jangada_record *record, int tree) {
    uint64_t attributes = jangada_record_number(record, 1), flags = jangada_record_number(record, 2), propagation = jangada_record_number(record, 3);
    unsigned recursive = flags & JM_FLAG_RO_RECURSIVE ? JANGADA_AT_RECURSIVE : 0;
    if (propagation && jangada_mount_setattr(tree, "", EMPTY | JANGADA_AT_RECURSIVE, 0, 0, propagation) < 0) return -1;
    if (attributes && jangada_mount_setattr(tree, "", EMPTY | recursive, attributes, 0, 0) < 0) return -1;
    return 0;
}

static int mount_dev(int root, const char *target, const char *data) {
    static const char *const links[][2] = {
        {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"}};
    if (place(root, make_fs("tmpfs", "tmpfs", *data ? data : "mode=755,size=65536k", JANGADA_ATTR_NOSUID | JANGADA_ATTR_NOEXEC), target) < 0) return -1;
    int dev = open_in_root(root, target, O_PATH | O_DIRECTORY);
    if (dev < 0) return -1;
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) symlinkat(links[i][0], dev, links[i][1]);
    close(dev);
    return 0;
}

/* v2: one mount. v1 (`data`: the controllers' directory names, comma separated): a tmpfs with one mount each. */
static int mount_cgroups(struct child *child, int root, const char *target, const char *data, unsigned attributes) {
    if (!*data) return place(root, make_fs("cgroup2", "cgroup", "", attributes), target);
    if (place(root, make_fs("tmpfs", "tmpfs", "mode=755", attributes & ~(unsigned)JANGADA_ATTR_RDONLY), target) < 0) return -1;
    char names[1024], path[4096], options[256];
    snprintf(names, sizeof names, "%s", data);
    char *rest = names;
    for (char *name; (name = strsep(&rest, ";"));) {
        if (!*name) continue;
        snprintf(path, sizeof path, "%s/%s", target, name);
        snprintf(options, sizeof options, strcmp(name, "systemd") == 0 ? "none,name=%s" : "%s", name);
        if (place(root, make_fs("cgroup", "cgroup", options, attributes), path) < 0) child_note(child, "a cgroup controller is not visible inside");
    }
    int top = open_in_root(root, target, O_PATH);
    if (top >= 0) {
        jangada_mount_setattr(top, "", EMPTY, attributes & JANGADA_ATTR_RDONLY, 0, 0);
        close(top);
    }
    return 0;
}

static void mount_one(struct child *child, int root, const struct jangada_record *record, int source) {
    const char *target = jangada_record_string(record, 0), *data = jangada_record_string(record, 3);
    unsigned attributes = (unsigned)jangada_record_number(record, 1);
    int done = -1;
    switch (jangada_record_number(record, 0)) {
    case JM_BIND:
    case JM_SHM:
        done = source >= 0 && restrict_tree(record, source) == 0 ? place(root, source, target) : -1;
        break;
    case JM_TMPFS: done = place(root, make_fs("tmpfs", "tmpfs", data, attributes), target); break;
    case JM_PROC: done = place(root, make_fs("proc", "proc", data, attributes), target); break;
    case JM_SYSFS: done = place(root, make_fs("sysfs", "sysfs", data, attributes), target); break;
    case JM_DEVPTS: done = place(root, make_fs("devpts", "devpts", data, attributes), target); break;
    case JM_MQUEUE: done = place(root, make_fs("mqueue", "mqueue", data, attributes), target); break;
    case JM_CGROUP: done = mount_cgroups(child, root, target, data, attributes); break;
    case JM_DEV: done = mount_dev(root, target, data); break;
    default: errno = EINVAL;
    }
    if (done == 0) return;
    if (!(jangada_record_number(record, 2) & JM_FLAG_OPTIONAL)) fail_mount(child, record);
    child_note(child, target);
}

/* fsconfig takes at most 255 bytes: a longer path goes by its descriptor, which stays open until the overlay is made. */
static const char *short_path(struct child *child, const char *path, char buffer[64]) {
    if (strlen(path) < 250) return path;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) child_fail(child, "open layer", path);
    snprintf(buffer, 64, "/proc/self/fd/%d", fd);
    return buffer;
}

/* Kernels before 6.8 have no `lowerdir+`: one option string, of descriptors below /proc/self/fd so that any number fits. */
static int overlay_by_string(struct child *child, const char *upper, const char *work, const char *extra, const char *target) {
    char options[4096];
    int length = snprintf(options, sizeof options, "lowerdir=");
    struct jangada_record record;
    size_t offset = 0;
    bool first = true;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) {
        if (record.tag != JR_LAYER) continue;
        int fd = open(jangada_record_string(&record, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) child_fail(child, "open layer", jangada_record_string(&record, 0));
        length += snprintf(options + length, sizeof options - (size_t)length, "%s%d", first ? "" : ":", fd);
        if ((size_t)length >= sizeof options - 64) {
            errno = E2BIG;
            return -1;
        }
        first = false;
    }
    if (*upper) {
        int up = open(upper, O_PATH | O_DIRECTORY | O_CLOEXEC), wk = open(work, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0 || wk < 0) return -1;
        snprintf(options + length, sizeof options - (size_t)length, ",upperdir=%d,workdir=%d%s%s", up, wk, *extra ? "," : "", extra);
    }
    if (chdir("/proc/self/fd") < 0 || mount("overlay", target, "overlay", 0, options) < 0) return -1;
    return jangada_open_tree(AT_FDCWD, target, 0);
}

static int mount_overlay(struct child *child, const char *upper, const char *work, const char *extra, const char *target) {
    char buffer[64];
    int context = jangada_fsopen("overlay", 0);
    if (context < 0) return overlay_by_string(child, upper, work, extra, target);
    struct jangada_record record;
    size_t offset = 0;
    bool ok = jangada_fsconfig(context, JANGADA_FSCONFIG_STRING, "source", "overlay", 0) == 0;
    while (ok && jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1)
        if (record.tag == JR_LAYER)
            ok = jangada_fsconfig(context, JANGADA_FSCONFIG_STRING, "lowerdir+", short_path(child, jangada_record_string(&record, 0), buffer), 0) == 0;
    if (!ok) {
        close(context);
        return overlay_by_string(child, upper, work, extra, target);
    }
    if (*upper)
        ok = jangada_fsconfig(context, JANGADA_FSCONFIG_STRING, "upperdir", short_path(child, upper, buffer), 0) == 0 &&
             jangada_fsconfig(context, JANGADA_FSCONFIG_STRING, "workdir", short_path(child, work, buffer), 0) == 0;
    ok = ok && configure(context, extra);
    ok = ok && jangada_fsconfig(context, JANGADA_FSCONFIG_CREATE, NULL, NULL, 0) == 0;
    int tree = ok ? jangada_fsmount(context, 0, 0) : -1;
    int error = errno;
    close(context);
    errno = error;
    if (tree >= 0 && jangada_move_mount(tree, "", AT_FDCWD, target, JANGADA_MOVE_F_EMPTY_PATH) < 0) return -1;
    return tree;
}

static int mount_root(struct child *child) {
    struct jangada_record record;
    const char *upper = "", *work = "", *extra = "", *target = "", *layer = "";
    unsigned layers = 0;
    size_t offset = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) {
        if (record.tag == JR_LAYER && layers++ == 0) layer = jangada_record_string(&record, 0);
        if (record.tag == JR_UPPER) upper = jangada_record_string(&record, 0), work = jangada_record_string(&record, 1), extra = jangada_record_string(&record, 2);
        if (record.tag == JR_ROOT) target = jangada_record_string(&record, 0);
    }
    int root;
    if (layers > 1 || *upper) {
        root = mount_overlay(child, upper, work, extra, target);
    } else {
        /* One directory and nothing to write to: overlayfs refuses that, a bind mount is the same. */
        root = jangada_open_tree(AT_FDCWD, layer, JANGADA_OPEN_TREE_CLONE | JANGADA_AT_RECURSIVE);
        if (root >= 0 && jangada_move_mount(root, "", AT_FDCWD, target, JANGADA_MOVE_F_EMPTY_PATH) < 0) root = -1;
    }
    if (root < 0) child_fail(child, "mount rootfs", target);
    return root;
}

static void make_device(struct child *child, int root, const struct jangada_record *record) {
    const char *path = jangada_record_string(record, 0), *slash = strrchr(path, '/');
    char parent[4096] = "/";
    if (slash > path) snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    int directory = make_in_root(root, parent, false, 0755);
    if (directory < 0 || !slash) child_fail(child, "create device", path);
    mode_t type = jangada_record_number(record, 0) == 'b' ? S_IFBLK : jangada_record_number(record, 0) == 'p' ? S_IFIFO : S_IFCHR;
    mode_t mode = (mode_t)jangada_record_number(record, 3);
    dev_t device = makedev((unsigned)jangada_record_number(record, 1), (unsigned)jangada_record_number(record, 2));
    if (mknodat(directory, slash + 1, type | mode, device) < 0 && errno != EEXIST) child_fail(child, "create device", path);
    fchownat(directory, slash + 1, (uid_t)jangada_record_number(record, 4), (gid_t)jangada_record_number(record, 5), AT_SYMLINK_NOFOLLOW);
    close(directory);
}

/* A masked file reads as /dev/null, a masked directory as empty. One empty tmpfs serves all of them. */
static void mask(struct child *child, int root, const char *path, int *empty) {
    struct stat info;
    int target = open_in_root(root, path, O_PATH);
    if (target < 0) return; /* nothing there to hide */
    int tree;
    if (fstat(target, &info) == 0 && S_ISDIR(info.st_mode)) {
        tree = *empty >= 0 ? jangada_open_tree(*empty, "", EMPTY | JANGADA_OPEN_TREE_CLONE) : -1;
        if (tree < 0) {
            tree = make_fs("tmpfs", "tmpfs", "size=0,nr_inodes=1", JANGADA_ATTR_RDONLY | JANGADA_ATTR_NOSUID | JANGADA_ATTR_NODEV | JANGADA_ATTR_NOEXEC);
            if (*empty < 0 && tree >= 0) *empty = fcntl(tree, F_DUPFD_CLOEXEC, 3);
        }
    } else {
        int null = open_in_root(root, "/dev/null", O_PATH);
        tree = null < 0 ? -1 : jangada_open_tree(null, "", EMPTY | JANGADA_OPEN_TREE_CLONE);
        if (null >= 0) close(null);
    }
    if (tree < 0 || attach_tree(tree, target) < 0) child_fail(child, "mask", path);
}

static void make_readonly(struct child *child, int root, const char *path) {
    int target = open_in_root(root, path, O_PATH);
    if (target < 0) return;
    int tree = jangada_open_tree(target, "", EMPTY | JANGADA_OPEN_TREE_CLONE | JANGADA_AT_RECURSIVE);
    if (tree < 0 || jangada_mount_setattr(tree, "", EMPTY | JANGADA_AT_RECURSIVE, JANGADA_ATTR_RDONLY, 0, 0) < 0 || attach_tree(tree, target) < 0)
        child_fail(child, "make read-only", path);
}

static void finish_root(struct child *child, int root) {
    struct jangada_record record;
    size_t offset = 0;
    int empty = -1;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1)
        if (record.tag == JR_DEVICE) make_device(child, root, &record);
    offset = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) {
        const char *text = jangada_record_string(&record, 0);
        if (record.tag == JR_READONLY) make_readonly(child, root, text);
        if (record.tag == JR_MASK) mask(child, root, text, &empty);
        if (record.tag == JR_CWD) {
            int fd = make_in_root(root, text, false, 0755);
            if (fd >= 0) close(fd); /* where it cannot be made, chdir will say so */
        }
    }
    if (empty >= 0) close(empty);
    if (child->spec.flags & JF_READONLY_ROOT && jangada_mount_setattr(root, "", EMPTY, JANGADA_ATTR_RDONLY, 0, 0) < 0)
        child_fail(child, "make read-only", "/");
}

void assemble_root(struct child *child) {
    struct jangada_record record;
    size_t offset = 0, count = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) count += record.tag == JR_MOUNT;
    int *sources = calloc(count + 1, sizeof *sources);
    if (!sources) child_fail(child, "allocate", "");
    offset = count = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1) {
        if (record.tag != JR_MOUNT) continue;
        uint64_t kind = jangada_record_number(&record, 0);
        int tree = kind == JM_BIND ? open_source(&record) : kind == JM_SHM ? open_shm() : -1;
        if (tree < 0 && (kind == JM_BIND || kind == JM_SHM) && !(jangada_record_number(&record, 2) & JM_FLAG_OPTIONAL)) fail_mount(child, &record);
        sources[count++] = tree;
    }
    if (unshare(CLONE_NEWNS) < 0) child_fail(child, "unshare mounts", "");
    /* Slave, not private: an unmount on the host must not be held up by our copy of the mount. */
    if (mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) child_fail(child, "make mounts slaves", "/");
    int root = mount_root(child);
    offset = count = 0;
    while (jangada_next_record(child->spec.bytes, child->spec.size, &offset, &record) == 1)
        if (record.tag == JR_MOUNT) mount_one(child, root, &record, sources[count++]);
    finish_root(child, root);
    /* The old root ends up below the new one, where one unmount takes it all away. */
    if (fchdir(root) < 0) child_fail(child, "enter rootfs", "");
    if (jangada_pivot_root(".", ".") < 0) child_fail(child, "pivot_root", "");
    if (umount2(".", MNT_DETACH) < 0) child_fail(child, "unmount the old root", "");
    if (chdir("/") < 0) child_fail(child, "enter rootfs", "");
    free(sources);
    close(root);
}
