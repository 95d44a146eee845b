#define _GNU_SOURCE 1
#include "netlink_namespace.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

int jangada_unshare_network(void) { return unshare(CLONE_NEWNET) == 0 ? 0 : errno; }

int jangada_enter_network(int descriptor) { return setns(descriptor, CLONE_NEWNET) == 0 ? 0 : errno; }

int jangada_socket_in_network(int descriptor, int family, int type) {
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0) return -1;
    int made = -1, error = 0;
    if (setns(descriptor, CLONE_NEWNET) < 0) {
        error = errno;
    } else {
        made = socket(family, type, 0);
        error = errno;
        /* A thread left in a foreign namespace would answer for the wrong machine from now on. */
        if (setns(own, CLONE_NEWNET) < 0) abort();
    }
    close(own);
    errno = error;
    return made;
}

int jangada_is_namespace(const char *path) {
    struct statfs facts;
    return statfs(path, &facts) == 0 && facts.f_type == NSFS_MAGIC;
}
