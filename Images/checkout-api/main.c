// The demo's web service: a static program for an image FROM scratch.
//
// Answers JSON on :8080 (PORT) with its version, host name and how many requests it served; /healthz while it lives,
// /readyz while it wants traffic. On SIGTERM it says "not ready", goes on answering for a short drain, so that nobody
// who was sent here in the last moment is turned away, finishes what it began, and ends with 0.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, REQUEST = 8192, EVENTS = 64 };

struct client {
    int fd; // -1: free
    size_t have;
    size_t pending, sent;
    int closing;
    char in[REQUEST];
    char out[2048];
};

static struct client clients[MAX_CLIENTS];
static unsigned long long served;
static int poller, draining;
static const char *version, *greeting;
static char host[256];

static void say(const char *what) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    printf("%s.%03ldZ checkout-api %s %s: %s\n", stamp, now.tv_nsec / 1000000, version, host, what);
    fflush(stdout);
}

static long long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int number(const char *name, int fallback) {
    const char *text = getenv(name);
    char *end;
    if (!text || !*text) return fallback;
    long value = strtol(text, &end, 10);
    return *end || value < 0 || value > 86400000 ? fallback : (int)value;
}

// Copies text so that it may stand between quotes in JSON.
static void quoted(const char *text, char *out, size_t room) {
    size_t at = 0;
    for (; *text && at + 7 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') { out[at++] = '\\'; out[at++] = (char)c; }
        else if (c < 0x20) at += (size_t)snprintf(out + at, room - at, "\\u%04x", c);
        else out[at++] = (char)c;
    }
    out[at] = 0;
}

static void drop(struct client *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void watch(struct client *c, unsigned what) {
    struct epoll_event e = {.events = what, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void push(struct client *c) {
    while (c->sent < c->pending) {
        ssize_t n = send(c->fd, c->out + c->sent, c->pending - c->sent, MSG_NOSIGNAL);
        if (n > 0) { c->sent += (size_t)n; continue; }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return watch(c, EPOLLOUT);
        return drop(c);
    }
    c->pending = c->sent = 0;
    if (c->closing) return drop(c);
    watch(c, EPOLLIN);
}

static void reply(struct client *c, const char *method, const char *path) {
    char body[1024];
    int status = 200;
    if (!strcmp(path, "/healthz")) {
        snprintf(body, sizeof body, "ok\n");
    } else if (!strcmp(path, "/readyz")) {
        status = draining ? 503 : 200;
        snprintf(body, sizeof body, draining ? "draining\n" : "ok\n");
    } else if (!strcmp(path, "/") || !strcmp(path, "/checkout") || !strcmp(path, "/version")) {
        char v[128], h[300], g[300];
        quoted(version, v, sizeof v);
        quoted(host, h, sizeof h);
        quoted(greeting, g, sizeof g);
        snprintf(body, sizeof body, "{\"service\":\"checkout-api\",\"version\":\"%s\",\"hostname\":\"%s\",\"requests\":%llu,\"message\":\"%s\"}\n", v, h, ++served, g);
    } else {
        status = 404;
        snprintf(body, sizeof body, "{\"error\":\"not found\"}\n");
    }
    if (draining) c->closing = 1;
    const char *reason = status == 200 ? "OK" : status == 404 ? "Not Found" : "Service Unavailable";
    int n = snprintf(c->out, sizeof c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s", status, reason,
        body[0] == '{' ? "application/json" : "text/plain", strlen(body), c->closing ? "close" : "keep-alive", strcmp(method, "HEAD") ? body : "");
    c->pending = (size_t)n;
    c->sent = 0;
}

static int has(const char *head, const char *field, const char *value) {
    const char *at = strcasestr(head, field);
    if (!at) return 0;
    const char *end = strstr(at, "\r\n");
    const char *hit = strcasestr(at, value);
    return hit && end && hit < end;
}

// One request at a time: those that a client sent ahead wait in its buffer.
static void serve(struct client *c) {
    while (c->fd >= 0 && c->pending == 0) {
        c->in[c->have] = 0;
        char *end = strstr(c->in, "\r\n\r\n");
        if (!end) {
            if (c->have >= REQUEST - 1) drop(c);
            return;
        }
        size_t head = (size_t)(end - c->in) + 4, body = 0;
        char *length = strcasestr(c->in, "\r\nContent-Length:");
        if (length && length < end) body = strtoul(length + 17, NULL, 10);
        if (body > REQUEST - 1 - head) { drop(c); return; }
        if (c->have < head + body) return;
        char method[16] = "", path[1024] = "", protocol[16] = "";
        if (sscanf(c->in, "%15s %1023s %15s", method, path, protocol) != 3 || strncmp(protocol, "HTTP/1.", 7)) { drop(c); return; }
        char *query = strchr(path, '?');
        if (query) *query = 0;
        char rest = *end;
        *end = 0;
        int keep = !strcmp(protocol, "HTTP/1.1");
        *end = rest;
        if (has(c->in, "\r\nConnection:", "close")) keep = 0;
        c->closing = !keep;
        reply(c, method, path);
        c->have -= head + body;
        memmove(c->in, c->in + head + body, c->have);
        push(c);
    }
}

static void readable(struct client *c) {
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, c->in + c->have, REQUEST - 1 - c->have, 0);
        if (n > 0) {
            c->have += (size_t)n;
            serve(c);
            if (c->pending || c->have >= REQUEST - 1) return;
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        drop(c);
    }
}

static void welcome(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct client *c = NULL;
        for (int i = 0; i < MAX_CLIENTS && !c; i++)
            if (clients[i].fd < 0) c = &clients[i];
        if (!c) { close(fd); continue; }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        *c = (struct client){.fd = fd};
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0) drop(c);
    }
}

static int listening(int port) {
    int one = 1, zero = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port), .sin6_addr = in6addr_any};
        if (!bind(fd, (struct sockaddr *)&any, sizeof any) && !listen(fd, 1024)) return fd;
        close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_ANY)};
    if (!bind(fd, (struct sockaddr *)&any, sizeof any) && !listen(fd, 1024)) return fd;
    close(fd);
    return -1;
}

int main(void) {
    version = getenv("VERSION") ? getenv("VERSION") : "dev";
    greeting = getenv("GREETING") ? getenv("GREETING") : "";
    if (gethostname(host, sizeof host - 1)) strcpy(host, "unknown");
    int port = number("PORT", 8080), drain = number("DRAIN_MS", 3000), delay = number("STARTUP_MS", 0);
    for (int i = 0; i < MAX_CLIENTS; i++) clients[i].fd = -1;

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int stop = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (delay) poll(NULL, 0, delay);
    int listener = listening(port);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || poller < 0 || stop < 0) {
        fprintf(stderr, "checkout-api: cannot listen on port %d: %s\n", port, strerror(errno));
        return 1;
    }
    static int listenerMark, stopMark;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listenerMark};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    e = (struct epoll_event){.events = EPOLLIN, .data.ptr = &stopMark};
    epoll_ctl(poller, EPOLL_CTL_ADD, stop, &e);
    char line[128];
    snprintf(line, sizeof line, "listening on :%d", port);
    say(line);

    long long end = 0;
    for (;;) {
        struct epoll_event events[EVENTS];
        long long left = draining ? end - milliseconds() : -1;
        if (draining && left <= 0) break;
        int n = epoll_wait(poller, events, EVENTS, draining ? (int)left : -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &listenerMark) welcome(listener);
            else if (events[i].data.ptr == &stopMark) {
                struct signalfd_siginfo info;
                while (read(stop, &info, sizeof info) > 0) {}
                if (!draining) {
                    draining = 1;
                    end = milliseconds() + drain;
                    snprintf(line, sizeof line, "SIGTERM after %llu requests, draining for %d ms", served, drain);
                    say(line);
                }
            } else {
                struct client *c = events[i].data.ptr;
                if (c->fd >= 0 && (events[i].events & EPOLLOUT)) { push(c); if (c->fd >= 0) serve(c); }
                if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readable(c);
            }
        }
    }
    // What was accepted or begun in the last moment is still answered.
    welcome(listener);
    close(listener);
    for (int i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &clients[i];
        if (c->fd >= 0) readable(c);
        if (c->fd >= 0 && c->pending) {
            fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) & ~O_NONBLOCK);
            push(c);
        }
        drop(c);
    }
    snprintf(line, sizeof line, "stopped after %llu requests", served);
    say(line);
    return 0;
}
