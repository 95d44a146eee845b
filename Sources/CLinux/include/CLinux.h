#pragma once
/* Jangada: syscalls that Glibc hides, and everything between clone and exec. No feature macros here: they would give
   Glibc's types another shape than in the other C modules. */
#include "netlink_namespace.h"
#include "socket_poll.h"
