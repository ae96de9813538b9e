// The yardstick for WebSocket echo: the least that a server can do, and a load that costs little.
//
//   echo-yardstick serve                        listens on 127.0.0.1, prints the port, echoes until killed
//   echo-yardstick load PORT CONNECTIONS SECONDS   prints the messages that came back in a second
//
// The server is one thread with epoll. It takes text and binary frames of less than 64 KiB in one piece, and
// nothing else of RFC 6455: no fragments, no UTF-8, no limits, no deadlines. So it is a bound, not a model.
// The load has one message in flight on each connection.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { buffer_bytes = 1 << 16, events_max = 256, payload_bytes = 64 };

struct peer {
  int fd;
  int is_open;
  size_t used;
  uint8_t bytes[buffer_bytes];
};

static void fail(const char *what) {
  fprintf(stderr, "echo-yardstick: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void send_all(int fd, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) fail("send");
    bytes += sent;
    count -= (size_t)sent;
  }
}

static void watch(int epoll, struct peer *peer) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
  int on = 1;
  setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &event) != 0) fail("epoll_ctl");
}

static struct peer *make_peer(int fd) {
  struct peer *peer = calloc(1, sizeof *peer);
  if (peer == NULL) fail("calloc");
  peer->fd = fd;
  return peer;
}

// Answers the handshake without a proof: the load does not ask for one. 0: more must come.
static int greet(struct peer *peer) {
  static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  uint8_t *end = memmem(peer->bytes, peer->used, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  send_all(peer->fd, (const uint8_t *)answer, sizeof answer - 1);
  peer->is_open = 1;
  size_t rest = peer->used - (size_t)(end + 4 - peer->bytes);
  memmove(peer->bytes, end + 4, rest);
  peer->used = rest;
  return 1;
}

// Echoes every whole frame, in one write. -1: the peer is done, or says what this does not know.
static int echo(struct peer *peer) {
  static uint8_t output[2 * buffer_bytes];
  size_t at = 0, filled = 0;
  while (peer->used - at >= 2) {
    uint8_t *frame = peer->bytes + at;
    size_t length = frame[1] & 0x7f, header = 2;
    if ((frame[0] & 0x7f) > 2 || !(frame[0] & 0x80) || !(frame[1] & 0x80) || length == 127) return -1;
    if (length == 126) {
      if (peer->used - at < 4) break;
      length = (size_t)frame[2] << 8 | frame[3];
      header = 4;
    }
    if (header + 4 + length > buffer_bytes) return -1;
    if (peer->used - at < header + 4 + length) break;
    output[filled] = frame[0];
    output[filled + 1] = frame[1] & 0x7f;
    if (header == 4) memcpy(output + filled + 2, frame + 2, 2);
    const uint8_t *mask = frame + header, *payload = mask + 4;
    for (size_t index = 0; index < length; index++) output[filled + header + index] = payload[index] ^ mask[index & 3];
    filled += header + length;
    at += header + 4 + length;
  }
  memmove(peer->bytes, peer->bytes + at, peer->used - at);
  peer->used -= at;
  if (filled > 0) send_all(peer->fd, output, filled);
  return 0;
}

static void serve(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0) fail("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct peer *door = make_peer(listener);
  watch(epoll, door);
  struct epoll_event events[events_max];
  for (;;) {
    int count = epoll_wait(epoll, events, events_max, -1);
    for (int index = 0; index < count; index++) {
      struct peer *peer = events[index].data.ptr;
      if (peer == door) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) watch(epoll, make_peer(fd));
        continue;
      }
      ssize_t got = recv(peer->fd, peer->bytes + peer->used, sizeof peer->bytes - peer->used, 0);
      if (got > 0) {
        peer->used += (size_t)got;
        if (!peer->is_open && !greet(peer)) continue;
        if (echo(peer) == 0) continue;
      }
      close(peer->fd);
      free(peer);
    }
  }
}

static struct peer *join(int port) {
  static const char request[] =
      "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
  struct peer *peer = make_peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  send_all(peer->fd, (const uint8_t *)request, sizeof request - 1);
  while (memmem(peer->bytes, peer->used, "\r\n\r\n", 4) == NULL) {
    ssize_t got = recv(peer->fd, peer->bytes + peer->used, sizeof peer->bytes - peer->used, 0);
    if (got <= 0) fail("handshake");
    peer->used += (size_t)got;
  }
  if (memcmp(peer->bytes, "HTTP/1.1 101", 12) != 0) fail("handshake");
  peer->used = 0;
  return peer;
}

static void load(int port, int connections, double seconds) {
  uint8_t frame[2 + 4 + payload_bytes] = {0x81, 0x80 | payload_bytes, 1, 2, 3, 4};
  for (int index = 0; index < payload_bytes; index++) frame[6 + index] = (uint8_t)('a' + index % 26) ^ frame[2 + index % 4];
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int index = 0; index < connections; index++) {
    struct peer *peer = join(port);
    watch(epoll, peer);
    send_all(peer->fd, frame, sizeof frame);
  }
  struct epoll_event events[events_max];
  double start = now(), end = start + seconds;
  uint64_t messages = 0;
  while (now() < end) {
    int count = epoll_wait(epoll, events, events_max, 1000);
    if (count == 0) fail("no message came back for a second");
    for (int index = 0; index < count; index++) {
      struct peer *peer = events[index].data.ptr;
      ssize_t got = recv(peer->fd, peer->bytes + peer->used, sizeof peer->bytes - peer->used, 0);
      if (got <= 0) fail("recv");
      peer->used += (size_t)got;
      if (peer->used < 2 + payload_bytes) continue;
      if (peer->used > 2 + payload_bytes || peer->bytes[0] != 0x81 || peer->bytes[2] != 'a') {
        errno = EPROTO;
        fail("not an echo");
      }
      peer->used = 0;
      messages++;
      send_all(peer->fd, frame, sizeof frame);
    }
  }
  printf("%.1f\n", (double)messages / (now() - start));
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "serve") == 0) serve();
  if (count == 5 && strcmp(arguments[1], "load") == 0) {
    load(atoi(arguments[2]), atoi(arguments[3]), atof(arguments[4]));
    return 0;
  }
  fputs("usage: echo-yardstick serve | load PORT CONNECTIONS SECONDS\n", stderr);
  return 2;
}
