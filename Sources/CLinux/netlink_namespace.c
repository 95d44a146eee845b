#define _GNU_SOURCE 1
#include "netlink_namespace.h"
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/vfs.h>

int jangada_unshare_network(void) { return unshare(CLONE_NEWNET) == 0 ? 0 : errno; }

int jangada_enter_network(int descriptor) { return setns(descriptor, CLONE_NEWNET) == 0 ? 0 : errno; }

int jangada_is_namespace(const char *path) {
    struct statfs facts;
    return statfs(path, &facts) == 0 && facts.f_type == NSFS_MAGIC;
}
