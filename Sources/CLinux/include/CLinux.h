#pragma once
/* Jangada: syscalls that Glibc hides, everything between clone and exec, and the sandbox init. No feature macros here: they
   would give Glibc's types another shape than in the other C modules. */
#include "jangada_records.h"
#include "jangada_sandbox.h"
#include "jangada_spawn.h"
#include "jangada_syscalls.h"
#include "netlink_namespace.h"
#include "socket_poll.h"
