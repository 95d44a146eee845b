#pragma once
#include <stddef.h>
#include <stdint.h>

/*
 * The language between the daemon and a sandbox init, for specs, messages and state. A record is
 *   u32 length of the payload, u16 tag, u16 count of numbers | that many u64 | NUL-terminated strings or raw bytes | padding to 8
 * in the machine's byte order: both ends are always on one machine. Tags are never reused, unknown tags are skipped, so that
 * a new daemon can talk to inits that an older one started.
 */

enum {
    JANGADA_PROTOCOL = 1,
    JANGADA_MAX_MESSAGE = 65536,
    JANGADA_MAX_FDS = 4,
    JANGADA_MAX_ID = 128,
};

enum { /* tags; n: numbers, s: strings, b: bytes */
    JR_ID = 1,            /* s container id */
    JR_HOSTNAME = 2,      /* s */
    JR_FLAGS = 3,         /* n JF_* */
    JR_LAYER = 4,         /* s layer directory, topmost first */
    JR_UPPER = 5,         /* s upper, work, options of the overlay (name=value, comma separated) */
    JR_ROOT = 6,          /* s where the root file system is mounted, seen only by the container's mount namespace */
    JR_MOUNT = 7,         /* n JM_KIND, JANGADA_ATTR_*, JM_FLAG_*, propagation; s target, source, subpath, data */
    JR_DEVICE = 8,        /* n type, major, minor, mode, uid, gid; s path */
    JR_MASK = 9,          /* s path */
    JR_READONLY = 10,     /* s path */
    JR_SYSCTL = 11,       /* s name with slashes, value */
    JR_RLIMIT = 12,       /* n resource, soft, hard */
    JR_USER = 13,         /* n uid, gid, umask */
    JR_GROUPS = 14,       /* n gids */
    JR_CAPABILITIES = 15, /* n bounding, effective, permitted, inheritable, ambient */
    JR_SECCOMP = 16,      /* n flags; b struct sock_filter[] */
    JR_OOM_SCORE = 17,    /* n oom_score_adj as two's complement */
    JR_ARG = 18,          /* s */
    JR_ENV = 19,          /* s NAME=value */
    JR_CWD = 20,          /* s */
    JR_CGROUP_TASKS = 21, /* s v1: file to write 0 to */
    JR_CGROUP_DIR = 22,   /* s v2: directory for CLONE_INTO_CGROUP */
    JR_OOM_FILE = 23,     /* s file with an oom_kill line */
    JR_LOG = 24,          /* n size at which to rotate (0 never), files kept; s path */
    JR_STATE = 25,        /* s file that keeps the container's state */
    JR_SHM = 26,          /* n bytes of the sandbox's /dev/shm */
    JR_DIRECTORY = 27,    /* s the sandbox's directory */
    JR_EXEC = 28,         /* n exec id */
    JR_SIGNAL = 29,       /* n signal number */
    JR_WINDOW = 30,       /* n rows, columns */
    JR_FDS = 31,          /* n JFD_* bits, in the order the descriptors are sent */
    JR_STATUS = 32,       /* n JS_*, pid, started ns, finished ns, exit code, signal, oom killed */
    JR_ERROR = 33,        /* n errno; s stage, text */
    JR_NOTE = 34,         /* n errno; s what was left out and why */
    JR_PID = 35,          /* n */
    JR_LABEL = 36,        /* s key, value: the caller's own, the init does not read them */
    JR_VERSION = 37,      /* n protocol */
    JR_USERNS = 38,       /* n inside, outside, count, 0 uid / 1 gid: reserved for user namespaces */
    JR_DOMAINNAME = 39,   /* s */
    JR_PATH = 40,         /* s kept by the daemon: a path it has to clean up */
    JR_PID_OF = 41,       /* s container whose pid namespace to share */
};

enum { /* JR_FLAGS */
    JF_TTY = 1 << 0,
    JF_STDIN = 1 << 1,
    JF_STDIN_ONCE = 1 << 2,
    JF_READONLY_ROOT = 1 << 3,
    JF_NO_NEW_PRIVS = 1 << 4,
    JF_NEW_PID = 1 << 5,    /* container: a pid namespace of its own */
    JF_NEW_CGROUP = 1 << 6, /* container: a cgroup namespace */
    JF_NEW_IPC = 1 << 7,    /* sandbox */
    JF_NEW_UTS = 1 << 8,    /* sandbox */
    JF_NEW_NET = 1 << 9,    /* sandbox: make one where no descriptor was handed over */
    JF_SHARED_PID = 1 << 10, /* sandbox: all containers in one pid namespace */
    JF_HOST_PID = 1 << 11,   /* sandbox: kept for the daemon, the init has nothing to do for it */
};

enum { JM_BIND = 0, JM_TMPFS, JM_PROC, JM_SYSFS, JM_DEVPTS, JM_MQUEUE, JM_CGROUP, JM_SHM, JM_DEV };
enum {
    JM_FLAG_RECURSIVE = 1,     /* take submounts along */
    JM_FLAG_RO_RECURSIVE = 2,  /* submounts read-only too */
    JM_FLAG_OPTIONAL = 4,      /* a failure is a note */
    JM_FLAG_FILE = 8,          /* the target is a file where it has to be made */
    JM_FLAG_CREATE_SUB = 16,   /* make the subpath as a directory where it is missing */
};
enum { JFD_STDIN = 1, JFD_STDOUT = 2, JFD_STDERR = 4, JFD_SPEC = 8, JFD_TTY = 16 };
enum { JS_STARTING = 1, JS_RUNNING = 2, JS_EXITED = 3, JS_FAILED = 4 };

struct jangada_record {
    uint16_t tag;
    uint16_t count;
    const uint64_t *numbers;
    const char *text; /* after the numbers; the last byte is NUL where it holds strings */
    size_t length;    /* of text */
};

/* Walks the records from *offset; 1 a record, 0 the end, -1 malformed. */
int jangada_next_record(const void *bytes, size_t size, size_t *offset, struct jangada_record *record);
/* The n-th string of a record; "" where it is absent or not terminated. */
const char *jangada_record_string(const struct jangada_record *record, unsigned n);
uint64_t jangada_record_number(const struct jangada_record *record, unsigned n);
/* The first record with this tag; 0 where there is none. */
int jangada_find_record(const void *bytes, size_t size, uint16_t tag, struct jangada_record *record);
/* Appends to a buffer of `capacity` bytes; returns the new size, or the old one where it did not fit. */
size_t jangada_put_record(void *bytes, size_t size, size_t capacity, uint16_t tag, unsigned count, const uint64_t *numbers,
                          unsigned strings, const char *const *texts);
