#include <malloc.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
// Declared by unistd.h only under _GNU_SOURCE, which the Glibc module does not set.
extern int syncfs(int fd);
