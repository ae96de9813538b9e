// The door to what Linux offers and Swift's Glibc overlay does not: thread-locals, epoll's packed
// union, child processes under another user.
#pragma once
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

/// The event loop that owns the calling thread, or NULL. A C thread-local, because a cached
/// pthread_self() is wrong after an await in optimised Swift.
void *hub_current_loop(void);
void hub_set_current_loop(void *loop);

/// A non-blocking eventfd, closed on exec.
int hub_eventfd(void);
void hub_name_thread(const char *name);

/// epoll with a 64-bit token instead of the union.
int hub_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token);

/// A listening or connecting socket is non-blocking and closed on exec from birth.
int hub_accept(int fd, void *address, uint32_t *length);
int hub_tcp_socket(int family);
int hub_socket_error(int fd);

/// Starts `path` with `arguments` (NULL-terminated) in `directory` (NULL: here), standard output and
/// error going to `output_fd` (-1: inherited), as `uid`/`gid` when `change_user` is not zero. The
/// child gets SIGTERM-free defaults, leaves our process group when `new_session` is not zero and
/// dies with SIGINT when we die and `die_with_parent` is not zero.
/// Returns the process id, or -1 with errno set.
pid_t hub_spawn(const char *path, char *const arguments[], const char *directory, int output_fd,
                int change_user, uid_t uid, gid_t gid, int new_session, int die_with_parent);

/// Resident bytes of this process, 0 when unknown.
uint64_t hub_resident_bytes(void);
