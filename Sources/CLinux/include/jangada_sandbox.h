#pragma once
#include <stdint.h>

/*
 * The sandbox init: one small process per pod, in C, that holds the pod's namespaces, parents its containers, owns their
 * stdio and writes their logs, and keeps their exit codes on disk. It outlives the daemon.
 *
 * Descriptors it is started with: 0 /dev/null, 1 and 2 its own error log, 3 the listening socket (SEQPACKET), 4 the sandbox
 * spec (records), 5 the network namespace or /dev/null.
 */
#define JANGADA_SANDBOX_NAME "jangada-sandbox"

enum { JANGADA_FD_LISTEN = 3, JANGADA_FD_SPEC = 4, JANGADA_FD_NET = 5 };

/* Whether the program was started as a sandbox init: main asks before anything else. */
int jangada_is_sandbox(int argc, char *const *argv);
/* Does not return before the sandbox ends; the result is the process's exit code. */
int jangada_sandbox_main(int argc, char **argv);

/* Every message is one SEQPACKET packet: this head, then records. */
struct jangada_message {
    uint32_t magic;
    uint16_t type;
    uint16_t reserved;
    uint32_t request; /* chosen by the client, echoed in the reply; 0 in events */
    int32_t status;   /* replies: 0 or an errno */
};
#define JANGADA_MAGIC 0x4a4e4744u

enum {
    JANGADA_HELLO = 1,       /* → JR_VERSION, JR_PID, JR_NOTE…, or JR_ERROR where the sandbox could not be set up */
    JANGADA_START = 2,       /* JR_ID, JR_FDS; descriptor: spec → JR_PID, JR_STATUS, JR_NOTE… or JR_ERROR */
    JANGADA_KILL = 3,        /* JR_ID, JR_SIGNAL, [JR_EXEC] */
    JANGADA_EXEC = 4,        /* JR_ID, JR_EXEC, JR_FDS; descriptors: spec, stdin, stdout, stderr → JR_PID, descriptor: the pty */
    JANGADA_ATTACH = 5,      /* JR_ID, JR_FDS; descriptors: stdin (read end), stdout, stderr (write ends) */
    JANGADA_RESIZE = 6,      /* JR_ID, JR_WINDOW */
    JANGADA_REOPEN_LOG = 7,  /* JR_ID */
    JANGADA_LIST = 8,        /* → (JR_ID, JR_STATUS)… */
    JANGADA_FORGET = 9,      /* JR_ID: drops an exited container */
    JANGADA_SHUTDOWN = 10,   /* kills everything, then exits */
    JANGADA_REPLY = 100,
    JANGADA_EVENT_EXIT = 101,     /* JR_ID, JR_STATUS */
    JANGADA_EVENT_EXEC_EXIT = 102 /* JR_ID, JR_EXEC, JR_STATUS */
};
