#define _GNU_SOURCE
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static __thread void *current_loop;

void *hub_current_loop(void) { return current_loop; }
void hub_set_current_loop(void *loop) { current_loop = loop; }

int hub_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void hub_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int hub_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data = {.u64 = token}};
  return epoll_ctl(epoll, operation, fd, &event);
}

int hub_accept(int fd, void *address, uint32_t *length) {
  return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int hub_tcp_socket(int family) {
  return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int hub_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
  return error;
}

pid_t hub_spawn(const char *path, char *const arguments[], const char *directory, int output_fd,
                int change_user, uid_t uid, gid_t gid, int new_session, int die_with_parent) {
  pid_t parent = getpid();
  int report[2];
  if (pipe2(report, O_CLOEXEC) < 0) return -1;
  pid_t child = fork();
  if (child < 0) {
    int error = errno;
    close(report[0]);
    close(report[1]);
    errno = error;
    return -1;
  }
  if (child == 0) {
    // Only async-signal-safe calls from here to exec.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    if (new_session) setsid();
    int ok = 1;
    if (change_user) ok = setgroups(0, NULL) == 0 && setgid(gid) == 0 && setuid(uid) == 0;
    if (ok && die_with_parent) {
      // After setuid, which clears it; the parent may have died in between.
      prctl(PR_SET_PDEATHSIG, SIGINT);
      if (getppid() != parent) _exit(1);
    }
    if (ok && directory) ok = chdir(directory) == 0;
    if (ok && output_fd >= 0) ok = dup2(output_fd, 1) >= 0 && dup2(output_fd, 2) >= 0;
    if (ok) {
      int null = open("/dev/null", O_RDONLY);
      if (null >= 0) dup2(null, 0);
      execv(path, arguments);
    }
    int error = errno;
    ssize_t ignored = write(report[1], &error, sizeof error);
    (void)ignored;
    _exit(127);
  }
  close(report[1]);
  int error = 0;
  ssize_t got;
  do got = read(report[0], &error, sizeof error);
  while (got < 0 && errno == EINTR);
  close(report[0]);
  if (got == sizeof error) {
    errno = error;
    return -1;
  }
  return child;
}

uint64_t hub_resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file) return 0;
  unsigned long long size, resident;
  int fields = fscanf(file, "%llu %llu", &size, &resident);
  fclose(file);
  return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
