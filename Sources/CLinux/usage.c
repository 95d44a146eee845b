#define _GNU_SOURCE 1
#include "CLinux.h"

#include <errno.h>
#include <fts.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

int jangada_file_system_usage(const char *path, struct jangada_fs_usage *usage) {
    struct statvfs info;
    if (statvfs(path, &info) < 0) return -1;
    usage->capacity = (uint64_t)info.f_blocks * info.f_frsize;
    usage->available = (uint64_t)info.f_bavail * info.f_frsize;
    usage->inodes = info.f_files;
    usage->inodes_free = info.f_ffree;
    return 0;
}

int jangada_tree_usage(const char *path, uint64_t *bytes, uint64_t *files) {
    char *roots[2] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (!walk) return -1;
    *bytes = *files = 0;
    for (FTSENT *entry; (entry = fts_read(walk));) {
        if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR) continue;
        /* A file with several names is counted by its share: the sum is right where all names are in the tree. */
        uint64_t links = entry->fts_info != FTS_D && entry->fts_statp->st_nlink > 1 ? entry->fts_statp->st_nlink : 1;
        *bytes += (uint64_t)entry->fts_statp->st_blocks * 512 / links;
        (*files)++;
    }
    fts_close(walk);
    return 0;
}

int jangada_is_opaque(const char *path) {
    char value = 0;
    return lgetxattr(path, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}
