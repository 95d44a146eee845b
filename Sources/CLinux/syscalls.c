/* Jangada: syscalls that Glibc hides, and everything between clone and exec. */
#include "CLinux.h"
