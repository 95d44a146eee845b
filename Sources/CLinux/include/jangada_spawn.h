#pragma once
#include <stdint.h>
#include <sys/types.h>

/* Everything a new process needs, prepared before the clone: nothing is allocated in the child. */
struct jangada_spawn {
    const char *path;         /* executed where `executable` is -1 */
    int executable;           /* a descriptor for execveat, or -1 */
    char *const *arguments;
    char *const *environment;
    const int *fds;           /* becomes descriptor 0, 1, 2 ...; -1: /dev/null */
    unsigned fd_count;
    const char *directory;    /* or NULL */
    int cgroup;               /* cgroup v2 directory descriptor, or -1 */
    const char *const *tasks; /* cgroup v1 files to write 0 to, NULL-terminated, or NULL */
    int new_session;
};

/* vfork-like: the caller's memory is shared until the exec, so it costs the same from a process of any size. Returns the pid and
   sets *pidfd (CLOEXEC); -1 with errno, and *stage the constant name of the step that failed. */
pid_t jangada_spawn_process(const struct jangada_spawn *spawn, int *pidfd, const char **stage);
