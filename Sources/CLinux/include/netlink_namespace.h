#pragma once
/* The calls of <sched.h> that Glibc shows only under _GNU_SOURCE, for network namespaces. Each returns 0 or an errno. */
int jangada_unshare_network(void);
int jangada_enter_network(int descriptor);
/* A socket of that namespace, made without leaving the calling thread there; -1 and errno. */
int jangada_socket_in_network(int descriptor, int family, int type);
/* 1 where the path is a namespace (of any kind) of the kernel's, 0 where it is anything else. */
int jangada_is_namespace(const char *path);
