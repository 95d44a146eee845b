#define _GNU_SOURCE 1
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static union {
    char bytes[JANGADA_MAX_MESSAGE];
    uint64_t align;
} inbox, outbox;

static void close_connection(struct connection *connection) {
    if (connection->source.dead) return;
    drop(&connection->source);
    for (struct connection **at = &sandbox.connections; *at; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    for (struct process *process = sandbox.processes; process; process = process->next)
        if (process->starter == connection) process->starter = NULL;
    bury(connection);
}

/* Never blocks: who does not read loses the connection, and finds everything on disk and in LIST when it comes back. */
static void send_message(struct connection *connection, uint16_t type, uint32_t request, int status, const void *records, size_t size,
                         const int *fds, unsigned count) {
    struct jangada_message head = {.magic = JANGADA_MAGIC, .type = type, .request = request, .status = status};
    if (connection->source.dead) return;
    if (size > sizeof outbox - sizeof head) size = 0;
    memcpy(outbox.bytes, &head, sizeof head);
    if (size && (const char *)records != outbox.bytes + sizeof head) memmove(outbox.bytes + sizeof head, records, size);
    if (jangada_send(connection->source.fd, outbox.bytes, sizeof head + size, fds, count) < 0) close_connection(connection);
}

void reply(struct connection *connection, uint32_t request, int status, const void *records, size_t size, const int *fds, unsigned count) {
    if (connection) send_message(connection, JANGADA_REPLY, request, status, records, size, fds, count);
}

void broadcast(uint16_t type, const void *records, size_t size) {
    for (struct connection *next, *at = sandbox.connections; at; at = next) {
        next = at->next;
        send_message(at, type, 0, 0, records, size, NULL, 0);
    }
}

size_t put_id(const struct process *process, void *bytes, size_t size, size_t capacity) {
    const char *id = process->id;
    return jangada_put_record(bytes, size, capacity, JR_ID, 0, NULL, 1, &id);
}

size_t put_status(const struct process *process, void *bytes, size_t size, size_t capacity) {
    uint64_t numbers[7] = {(uint64_t)process->state,    (uint64_t)process->pid,    (uint64_t)process->started, (uint64_t)process->finished,
                           (uint64_t)process->code, (uint64_t)process->signal, (uint64_t)process->oom_killed};
    return jangada_put_record(bytes, size, capacity, JR_STATUS, 7, numbers, 0, NULL);
}

struct request {
    struct connection *connection;
    uint16_t type;
    uint32_t number;
    const char *records;
    size_t size;
    int fds[JANGADA_MAX_FDS];
    unsigned fd_count;
};

static void hello(struct request *request) {
    char body[4096];
    uint64_t version = JANGADA_PROTOCOL, pid = (uint64_t)getpid();
    size_t size = jangada_put_record(body, 0, sizeof body, JR_VERSION, 1, &version, 0, NULL);
    size = jangada_put_record(body, size, sizeof body, JR_PID, 1, &pid, 0, NULL);
    if (sandbox.setup_stage) {
        const char *texts[2] = {sandbox.setup_stage, ""};
        uint64_t number = (uint64_t)sandbox.setup_error;
        size = jangada_put_record(body, size, sizeof body, JR_ERROR, 1, &number, 2, texts);
    }
    if (sandbox.notes_size <= sizeof body - size) {
        memcpy(body + size, sandbox.notes, sandbox.notes_size);
        size += sandbox.notes_size;
    }
    reply(request->connection, request->number, sandbox.setup_error, body, size, NULL, 0);
}

static void list(struct request *request) {
    /* Built in place behind the head of the outgoing message; 64 KB hold some 300 containers. */
    char *body = outbox.bytes + sizeof(struct jangada_message);
    size_t capacity = sizeof outbox - sizeof(struct jangada_message), size = 0;
    for (struct process *process = sandbox.processes; process; process = process->next) {
        if (process->is_exec) continue;
        size_t next = put_id(process, body, size, capacity - 80);
        if (next == size) break;
        size = put_status(process, body, next, capacity);
    }
    reply(request->connection, request->number, 0, body, size, NULL, 0);
}

/* Takes the descriptors out of the request in the order of the JFD bits; what was not sent is -1. */
static void take_fds(struct request *request, uint64_t bits, int *spec, int stdio[3]) {
    unsigned next = 0;
    int *slots[4] = {spec, &stdio[0], &stdio[1], &stdio[2]};
    const uint64_t wanted[4] = {JFD_SPEC, JFD_STDIN, JFD_STDOUT, JFD_STDERR};
    *spec = stdio[0] = stdio[1] = stdio[2] = -1;
    for (int i = 0; i < 4; i++)
        if (bits & wanted[i] && next < request->fd_count) {
            *slots[i] = request->fds[next];
            request->fds[next++] = -1;
        }
}

static int send_signal(struct process *process, int signal) {
    if (!process) return ESRCH;
    if (process->pid <= 0 || process->state == JS_EXITED || process->state == JS_FAILED) return ESRCH;
    return kill(process->pid, signal) < 0 ? errno : 0; /* not yet reaped, so the pid is still its own */
}

static void handle(struct request *request) {
    struct jangada_record record;
    const char *id = "";
    uint64_t exec = 0, bits = 0, signal = SIGKILL, rows = 0, columns = 0;
    bool is_exec = false;
    size_t offset = 0;
    int got;
    while ((got = jangada_next_record(request->records, request->size, &offset, &record)) == 1) {
        if (record.tag == JR_ID) id = jangada_record_string(&record, 0);
        if (record.tag == JR_EXEC) exec = jangada_record_number(&record, 0), is_exec = true;
        if (record.tag == JR_FDS) bits = jangada_record_number(&record, 0);
        if (record.tag == JR_SIGNAL) signal = jangada_record_number(&record, 0);
        if (record.tag == JR_WINDOW) rows = jangada_record_number(&record, 0), columns = jangada_record_number(&record, 1);
    }
    int status = got < 0 ? EBADMSG : 0, spec = -1, stdio[3] = {-1, -1, -1};
    struct process *process = find_process(id, is_exec, exec);
    if (status == 0) switch (request->type) {
        case JANGADA_HELLO: hello(request); return;
        case JANGADA_LIST: list(request); return;
        case JANGADA_START:
        case JANGADA_EXEC:
            take_fds(request, bits, &spec, stdio);
            status = start_process(request->connection, request->number, id, request->type == JANGADA_EXEC, exec, spec, stdio);
            close_fd(&spec);
            for (int i = 0; i < 3; i++) close_fd(&stdio[i]);
            if (status == 0) return; /* answered when the child has told how it went */
            break;
        case JANGADA_KILL: status = send_signal(process, (int)signal); break;
        case JANGADA_ATTACH:
            take_fds(request, bits, &spec, stdio);
            close_fd(&spec);
            status = process && !is_exec ? attach(process, stdio[0], stdio[1], stdio[2]) : ESRCH;
            if (status)
                for (int i = 0; i < 3; i++) close_fd(&stdio[i]);
            break;
        case JANGADA_RESIZE:
            status = !process ? ESRCH : process->master < 0 ? ENOTTY : 0;
            if (!status && jangada_set_window(process->master, (unsigned short)rows, (unsigned short)columns) < 0) status = errno;
            break;
        case JANGADA_REOPEN_LOG:
            if (process) reopen_log(&process->log);
            else status = ESRCH;
            break;
        case JANGADA_FORGET:
            if (!process) break; /* so that a repeated request succeeds */
            if (process->state == JS_EXITED || process->state == JS_FAILED) forget_process(process);
            else status = EBUSY;
            break;
        case JANGADA_SHUTDOWN:
            sandbox.stopping = true;
            kill_everything();
            break;
        default: status = EOPNOTSUPP;
        }
    reply(request->connection, request->number, status, NULL, 0, NULL, 0);
}

static void on_request(struct source *source, uint32_t events) {
    struct connection *connection = (struct connection *)source;
    (void)events;
    for (int budget = 16; budget > 0 && !source->dead; budget--) {
        struct request request = {.connection = connection};
        ssize_t got = jangada_receive(source->fd, inbox.bytes, sizeof inbox, request.fds, JANGADA_MAX_FDS, &request.fd_count);
        if (got < 0 && errno == EAGAIN) return;
        struct jangada_message head;
        if (got < (ssize_t)sizeof head) return close_connection(connection);
        memcpy(&head, inbox.bytes, sizeof head);
        request.type = head.type;
        request.number = head.request;
        request.records = inbox.bytes + sizeof head;
        request.size = (size_t)got - sizeof head;
        if (head.magic == JANGADA_MAGIC) handle(&request);
        for (unsigned i = 0; i < request.fd_count; i++) close_fd(&request.fds[i]);
        if (head.magic != JANGADA_MAGIC) return close_connection(connection);
    }
}

void accept_connection(struct source *source, uint32_t events) {
    (void)events;
    for (;;) {
        int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        struct ucred peer;
        socklen_t size = sizeof peer;
        struct connection *connection = NULL;
        /* The directory keeps others out already; a descriptor that was passed on must not open the door again. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid()) connection = calloc(1, sizeof *connection);
        if (!connection || !watch(&connection->source, fd, EPOLLIN, on_request)) {
            close(fd);
            free(connection);
            continue;
        }
        int room = 1 << 20;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        connection->next = sandbox.connections;
        sandbox.connections = connection;
    }
}
