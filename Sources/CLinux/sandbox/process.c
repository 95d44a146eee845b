#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child tells over its sync socket: this head, then two strings. */
struct news {
    int32_t kind; /* 1 error, 2 note, 3 the pty's master (descriptor), 4 about to exec */
    int32_t number;
};

struct process *find_process(const char *id, bool is_exec, uint64_t exec) {
    for (struct process *at = sandbox.processes; at; at = at->next)
        if (at->is_exec == is_exec && strcmp(at->id, id) == 0 && (!is_exec || at->exec == exec)) return at;
    return NULL;
}

static uint64_t oom_kills(const char *path) {
    char text[1024];
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) return 0;
    text[got] = 0;
    char *at = strstr(text, "oom_kill ");
    return at ? strtoull(at + 9, NULL, 10) : 0;
}

void write_state(struct process *process) {
    char body[512], temporary[4096];
    if (!process->state_path) return;
    size_t size = put_id(process, body, 0, sizeof body);
    size = put_status(process, body, size, sizeof body);
    snprintf(temporary, sizeof temporary, "%s.new", process->state_path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    bool ok = write(fd, body, size) == (ssize_t)size;
    close(fd);
    if (ok) rename(temporary, process->state_path);
    else unlink(temporary);
}

static void unlink_process(struct process *process) {
    for (struct process **at = &sandbox.processes; *at; at = &(*at)->next)
        if (*at == process) {
            *at = process->next;
            break;
        }
}

void forget_process(struct process *process) {
    unlink_process(process);
    detach_all(process);
    drop(&process->sync);
    drop(&process->out.source);
    drop(&process->err.source);
    close_fd(&process->in);
    close_fd(&process->master);
    close_fd(&process->exec_master);
    close_log(&process->log);
    free(process->out.line);
    free(process->err.line);
    free(process->error_stage);
    free(process->error_text);
    free(process->notes);
    free(process->state_path);
    free(process->oom_path);
    bury(process);
}

static void answer_start(struct process *process) {
    char body[8192];
    uint64_t number = (uint64_t)process->pid;
    size_t size = jangada_put_record(body, 0, sizeof body, JR_PID, 1, &number, 0, NULL);
    size = put_status(process, body, size, sizeof body);
    if (process->error_stage) {
        const char *texts[2] = {process->error_stage, process->error_text ? process->error_text : ""};
        number = (uint64_t)process->error_number;
        size = jangada_put_record(body, size, sizeof body, JR_ERROR, 1, &number, 2, texts);
    }
    if (process->notes && process->notes_size <= sizeof body - size) {
        memcpy(body + size, process->notes, process->notes_size);
        size += process->notes_size;
    }
    bool hand = process->exec_master >= 0 && process->state == JS_RUNNING;
    int status = process->state == JS_FAILED ? (process->error_number ? process->error_number : EIO) : 0;
    reply(process->starter, process->request, status, body, size, hand ? &process->exec_master : NULL, hand);
    process->starter = NULL;
    if (process->is_exec) close_fd(&process->exec_master);
}

static void started(struct process *process) {
    drop(&process->sync);
    if (process->error_stage || !process->exec_announced) {
        if (!process->error_stage) {
            process->error_stage = strdup("start");
            process->error_text = strdup("the process died while it was set up");
            process->error_number = ECHILD;
        }
        return; /* the exit of the child, which follows, ends it */
    }
    process->state = JS_RUNNING;
    process->started = now_realtime();
    if (!process->is_exec) write_state(process);
    answer_start(process);
}

static void hear(struct process *process, char *bytes, size_t size, int *fds, unsigned count) {
    struct news news;
    if (size < sizeof news) return;
    memcpy(&news, bytes, sizeof news);
    bytes[size] = 0;
    const char *first = bytes + sizeof news, *second = first + strlen(first) + (strlen(first) < size - sizeof news);
    if (news.kind == 1 && !process->error_stage) {
        process->error_stage = strdup(first);
        process->error_text = strdup(second);
        process->error_number = news.number;
    } else if (news.kind == 2) {
        if (!process->notes) process->notes = malloc(2048);
        uint64_t number = (uint64_t)news.number;
        if (process->notes) process->notes_size = jangada_put_record(process->notes, process->notes_size, 2048, JR_NOTE, 1, &number, 1, &first);
    } else if (news.kind == 3 && count == 1) {
        if (process->is_exec) {
            process->exec_master = fds[0];
        } else {
            process->master = fds[0];
            nonblocking(fds[0]);
            process->in = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
            int output = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
            if (output >= 0) watch_stream(&process->out, process, output, false);
        }
        fds[0] = -1;
    } else if (news.kind == 4) {
        process->exec_announced = true;
    }
}

static void on_sync(struct source *source, uint32_t events) {
    struct process *process = (struct process *)((char *)source - offsetof(struct process, sync));
    char bytes[4096];
    (void)events;
    while (source->fd >= 0) {
        int fds[1] = {-1};
        unsigned count = 0;
        ssize_t got = jangada_receive(source->fd, bytes, sizeof bytes - 1, fds, 1, &count);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return started(process);
        hear(process, bytes, (size_t)got, fds, count);
        close_fd(&fds[0]);
    }
}

static void finish(struct process *process, int status) {
    char body[512];
    if (process->sync.fd >= 0) on_sync(&process->sync, 0);
    if (process->sync.fd >= 0) drop(&process->sync); /* a grandchild cannot hold it: it is CLOEXEC */
    process->finished = now_realtime();
    process->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    process->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (process->state == JS_STARTING) {
        process->state = JS_FAILED;
        process->pid = 0;
        if (!process->error_stage) started(process);
        answer_start(process);
        forget_process(process);
        return;
    }
    process->state = JS_EXITED;
    size_t size = put_id(process, body, 0, sizeof body);
    if (process->is_exec) {
        size = jangada_put_record(body, size, sizeof body, JR_EXEC, 1, &process->exec, 0, NULL);
        size = put_status(process, body, size, sizeof body);
        broadcast(JANGADA_EVENT_EXEC_EXIT, body, size);
        forget_process(process);
        return;
    }
    process->oom_killed = oom_kills(process->oom_path) > process->oom_before;
    drain_stream(&process->out);
    drain_stream(&process->err);
    detach_all(process);
    close_fd(&process->in);
    write_state(process);
    size = put_status(process, body, size, sizeof body);
    broadcast(JANGADA_EVENT_EXIT, body, size);
    if (sandbox.stopping) forget_process(process);
}

void reap_children(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (struct process *at = sandbox.processes; at; at = at->next)
            if (at->pid == pid && at->state != JS_EXITED) {
                finish(at, status);
                break;
            }
}

void kill_everything(void) {
    for (struct process *next, *at = sandbox.processes; at; at = next) {
        next = at->next;
        if (at->state == JS_EXITED || at->state == JS_FAILED) forget_process(at);
        else if (at->pid > 0) kill(at->pid, SIGKILL);
    }
    if (sandbox.pause > 0) kill(sandbox.pause, SIGKILL);
}

struct clone_request {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* A fork of this small process. On cgroup v2 the child is born in its cgroup; a kernel that cannot do that gets ENOSYS and the
   child joins by itself. */
static pid_t fork_into(const struct spec *spec, uint64_t flags) {
    struct clone_request request = {.flags = flags, .exit_signal = SIGCHLD};
    struct jangada_record record;
    int cgroup = -1;
    if (jangada_find_record(spec->bytes, spec->size, JR_CGROUP_DIR, &record)) {
        cgroup = open(jangada_record_string(&record, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (cgroup < 0) return -1;
        request.flags |= 0x200000000ULL /* CLONE_INTO_CGROUP */;
        request.cgroup = (uint64_t)cgroup;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &request, sizeof request);
    int error = errno;
    if (cgroup >= 0) close(cgroup);
    errno = error;
    return pid;
}

/* 0 or an errno: a container whose output nobody could find again is not started. */
static int read_spec(struct process *process, struct spec *spec) {
    struct jangada_record record;
    size_t offset = 0;
    while (jangada_next_record(spec->bytes, spec->size, &offset, &record) == 1) {
        const char *text = jangada_record_string(&record, 0);
        switch (record.tag) {
        case JR_FLAGS: spec->flags = jangada_record_number(&record, 0); break;
        case JR_STATE: free(process->state_path), process->state_path = strdup(text); break;
        case JR_OOM_FILE: free(process->oom_path), process->oom_path = strdup(text); break;
        case JR_LOG: open_log(&process->log, text, jangada_record_number(&record, 0), (unsigned)jangada_record_number(&record, 1)); break;
        }
    }
    process->tty = spec->flags & JF_TTY;
    process->stdin_once = spec->flags & JF_STDIN_ONCE;
    process->oom_before = oom_kills(process->oom_path);
    return process->log.path && process->log.fd < 0 ? (errno ? errno : EIO) : 0;
}

/* The child's three ends in `stdio`, ours in the process. A pty is made by the child, in its own devpts. What the caller sent
   along is the child's own: it goes past the log, and a caller that does not read makes the program wait. */
static bool make_pipes(struct process *process, const struct spec *spec, int stdio[3]) {
    int pair[2];
    if (process->is_exec || process->tty) return true;
    if (spec->flags & JF_STDIN && stdio[0] < 0) {
        if (pipe2(pair, O_CLOEXEC) < 0) return false;
        stdio[0] = pair[0];
        process->in = pair[1];
        nonblocking(pair[1]);
    }
    for (int i = 1; i <= 2; i++) {
        if (stdio[i] >= 0) continue;
        if (pipe2(pair, O_CLOEXEC) < 0) return false;
        stdio[i] = pair[1];
        if (!watch_stream(i == 1 ? &process->out : &process->err, process, pair[0], i == 2)) return false;
    }
    return true;
}

static int start_in_namespaces(struct process *process, struct child *child, uint64_t flags) {
    int sync[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) < 0) return errno;
    int error = 0, target = -1;
    struct jangada_record record;
    bool joins = process->is_exec;
    const char *id = process->id;
    if (!joins && jangada_find_record(child->spec.bytes, child->spec.size, JR_PID_OF, &record)) joins = true, id = jangada_record_string(&record, 0);
    if (joins) {
        struct process *container = find_process(id, false, 0);
        target = container && container->state == JS_RUNNING ? jangada_pidfd_open(container->pid, 0) : -1;
        if (target < 0) error = ESRCH;
        /* Only what we fork from here on enters the container's pid namespace; we stay, and so are its parent. */
        else if (setns(target, CLONE_NEWPID) < 0) error = errno;
        child->container_pidfd = target;
    }
    if (!error) {
        child->sync = sync[1];
        process->pid = fork_into(&child->spec, flags);
        if (process->pid == 0) run_child(child);
        if (process->pid < 0) error = errno;
        if (joins && setns(sandbox.children_pidns, CLONE_NEWPID) < 0) error = error ? error : errno;
    }
    close_fd(&target);
    close(sync[1]);
    nonblocking(sync[0]);
    if (error || !watch(&process->sync, sync[0], EPOLLIN, on_sync)) {
        close(sync[0]);
        process->sync.fd = -1;
        return error ? error : errno;
    }
    return 0;
}

int start_process(struct connection *connection, uint32_t request, const char *id, bool is_exec, uint64_t exec, int spec_fd, int stdio[3]) {
    struct stat info;
    if (!*id || strlen(id) >= JANGADA_MAX_ID || spec_fd < 0 || fstat(spec_fd, &info) < 0 || info.st_size <= 0) return EINVAL;
    if (sandbox.stopping) return ESHUTDOWN;
    if (sandbox.setup_stage) return sandbox.setup_error;
    if (find_process(id, is_exec, exec)) return EEXIST;
    struct process *process = calloc(1, sizeof *process);
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, spec_fd, 0);
    if (!process || bytes == MAP_FAILED) {
        free(process);
        return ENOMEM;
    }
    struct child child = {.spec = {.bytes = bytes, .size = (size_t)info.st_size}, .is_exec = is_exec, .container_pidfd = -1};
    strcpy(process->id, id);
    process->is_exec = is_exec;
    process->exec = exec;
    process->state = JS_STARTING;
    process->starter = connection;
    process->request = request;
    process->in = process->master = process->exec_master = process->log.fd = -1;
    process->sync.fd = process->out.source.fd = process->err.source.fd = -1;
    int unlogged = read_spec(process, &child.spec);
    bool piped = !unlogged && make_pipes(process, &child.spec, stdio);
    memcpy(child.stdio, stdio, sizeof child.stdio);
    process->next = sandbox.processes;
    sandbox.processes = process;
    int error = piped ? start_in_namespaces(process, &child, !is_exec && child.spec.flags & JF_NEW_PID ? CLONE_NEWPID : 0) : unlogged ? unlogged : errno;
    munmap(bytes, (size_t)info.st_size);
    if (error) {
        /* A child that was born all the same is reaped as a stranger. */
        if (process->pid > 0) kill(process->pid, SIGKILL);
        forget_process(process);
    }
    return error;
}
