#pragma once
#include "CLinux.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the files of the sandbox init share. One thread; nothing here blocks but disk writes of logs and states. */

struct source { /* something epoll watches; `ready` must not assume that its owner survives the call */
    int fd;
    bool watched, dead;
    void (*ready)(struct source *, uint32_t events);
    struct source *grave;
};

struct connection {
    struct source source;
    struct connection *next;
};

struct log {
    char *path;
    int fd;
    uint64_t size, limit;
    unsigned keep;
};

struct stream { /* one output of a container, on its way to the log and to attached clients */
    struct source source;
    struct process *owner;
    bool error;
    char *line; /* what came without a newline so far; JANGADA_LINE bytes where not NULL */
    size_t held;
};

struct attachment {
    struct source in, stall; /* the client's stdin; its stdout, for its end and for room */
    struct source feed;      /* the container's stdin while we wait for room */
    struct process *owner;
    struct attachment *next;
    int out, error;
    char pending[4096]; /* stdin read and not yet taken */
    size_t pending_at, pending_length;
    char *rest; /* tty output that did not fit */
    size_t rest_at, rest_length;
    int64_t deadline;
};

struct process { /* a container's main process, or an exec */
    struct process *next;
    bool is_exec, tty, stdin_once, exec_announced;
    char id[JANGADA_MAX_ID];
    uint64_t exec;
    pid_t pid;
    int state; /* JS_* */
    int64_t started, finished;
    int code, signal;
    bool oom_killed;
    uint64_t oom_before;
    struct source sync; /* what the child tells until its exec */
    struct connection *starter;
    uint32_t request;
    int exec_master; /* waits to be handed over with the reply */
    char *error_stage, *error_text;
    int error_number;
    char *notes; /* records */
    size_t notes_size;
    int in, master; /* write end of stdin; the pty */
    struct stream out, err;
    struct log log;
    struct attachment *attachments;
    char *state_path, *oom_path;
};

enum { JANGADA_LINE = 16384 };

struct sandbox {
    int epoll, signals, children_pidns, own_pidns, host_mounts, shm_mounts;
    bool stopping, shared_pid;
    pid_t pause;
    const char *setup_stage;
    int setup_error;
    char notes[2048];
    size_t notes_size;
    struct source listener, child_signal;
    struct connection *connections;
    struct process *processes;
};
extern struct sandbox sandbox;

struct spec { /* a mapped container or exec spec; lives on the stack and in the mapping only */
    const void *bytes;
    size_t size;
    uint64_t flags;
};

/* loop.c */
int64_t now_realtime(void);
int64_t now_monotonic(void);
bool watch(struct source *, int fd, uint32_t events, void (*ready)(struct source *, uint32_t));
bool rewatch(struct source *, uint32_t events);
void unwatch(struct source *); /* keeps the descriptor */
void drop(struct source *);    /* unwatches and closes */
void bury(void *owner);        /* frees after the current round of events */
int run_loop(void);
void close_fd(int *fd);
int nonblocking(int fd);

/* messages.c */
void accept_connection(struct source *, uint32_t events);
void reply(struct connection *, uint32_t request, int status, const void *records, size_t size, const int *fds, unsigned count);
void broadcast(uint16_t type, const void *records, size_t size);
size_t put_status(const struct process *, void *bytes, size_t size, size_t capacity);
size_t put_id(const struct process *, void *bytes, size_t size, size_t capacity);

/* process.c */
struct process *find_process(const char *id, bool is_exec, uint64_t exec);
int start_process(struct connection *, uint32_t request, const char *id, bool is_exec, uint64_t exec, int spec_fd, int stdio[3]);
void reap_children(void);
void forget_process(struct process *);
void kill_everything(void);
void write_state(struct process *);

/* output.c */
void open_log(struct log *, const char *path, uint64_t limit, unsigned keep);
void reopen_log(struct log *);
void close_log(struct log *);
bool watch_stream(struct stream *, struct process *, int fd, bool error);
void drain_stream(struct stream *);
void finish_stream(struct stream *);

/* attach.c */
int attach(struct process *, int in, int out, int error);
void offer(struct process *, const char *bytes, size_t length, bool error);
void detach_all(struct process *);
int64_t next_deadline(void);
void drop_expired(void);

/* child.c: everything after the fork. These end the process on failure, telling the parent which stage failed. */
struct child {
    struct spec spec;
    int sync;
    int stdio[3];
    int container_pidfd; /* exec: whose namespaces to join */
    bool is_exec;
    int bind_count;
};
_Noreturn void run_child(struct child *);
_Noreturn void child_fail(struct child *, const char *stage, const char *text);
void child_note(struct child *, const char *text);
void child_send_master(struct child *, int master);

/* rootfs.c */
void assemble_root(struct child *);
/* identity.c */
void apply_limits(struct child *);
void become_user(struct child *);
_Noreturn void execute(struct child *);

/* paths.c: lookups that cannot leave `root`. */
int open_in_root(int root, const char *path, int flags);
int make_in_root(int root, const char *path, bool file, mode_t mode);
int write_text(const char *path, const char *text);
