// The demo's worker: a static program for an image FROM scratch.
//
// Takes an imaginary order every INTERVAL_MS and logs it. Its settings are environment variables, or lines `NAME=value` of
// the file CONFIG names (/config/worker.conf), which is read again when it changes: so a ConfigMap's update shows in the log.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char host[256];
static const char *version, *config;
static char queue[128] = "orders";
static int interval = 1000;
static struct timespec seen;

static void say(const char *level, const char *what) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    printf("%s.%03ldZ %s order-worker %s %s: %s\n", stamp, now.tv_nsec / 1000000, level, version, host, what);
    fflush(stdout);
}

static void set(const char *name, const char *value) {
    if (!strcmp(name, "QUEUE") && *value) snprintf(queue, sizeof queue, "%s", value);
    if (!strcmp(name, "INTERVAL_MS")) {
        char *end;
        long ms = strtol(value, &end, 10);
        if (!*end && ms >= 10 && ms <= 3600000) interval = (int)ms;
        else say("WARN", "INTERVAL_MS must be 10 to 3600000");
    }
}

static void settings(void) {
    struct stat now;
    if (!config || stat(config, &now)) return;
    if (now.st_mtim.tv_sec == seen.tv_sec && now.st_mtim.tv_nsec == seen.tv_nsec) return;
    seen = now.st_mtim;
    FILE *file = fopen(config, "re");
    if (!file) {
        say("WARN", strerror(errno));
        return;
    }
    char line[512];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        char *equals = strchr(line, '=');
        if (line[0] == '#' || !equals) continue;
        *equals = 0;
        set(line, equals + 1);
    }
    fclose(file);
    char text[256];
    snprintf(text, sizeof text, "settings: queue=%s interval=%dms", queue, interval);
    say("INFO", text);
}

int main(void) {
    version = getenv("VERSION") ? getenv("VERSION") : "dev";
    config = getenv("CONFIG") ? getenv("CONFIG") : "/config/worker.conf";
    if (gethostname(host, sizeof host - 1)) strcpy(host, "unknown");
    if (getenv("QUEUE")) set("QUEUE", getenv("QUEUE"));
    if (getenv("INTERVAL_MS")) set("INTERVAL_MS", getenv("INTERVAL_MS"));

    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    say("INFO", "started");
    char text[256];
    for (unsigned long long order = 1;; order++) {
        settings();
        struct timespec wait = {interval / 1000, (interval % 1000) * 1000000L};
        int got = sigtimedwait(&signals, NULL, &wait);
        if (got == SIGTERM || got == SIGINT) {
            snprintf(text, sizeof text, "stopped after %llu orders", order - 1);
            say("INFO", text);
            return 0;
        }
        snprintf(text, sizeof text, "order %llu from %s: processed", order, queue);
        say("INFO", text);
    }
}
