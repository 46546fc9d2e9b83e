/* The least that a push server can do: epoll, one thread, a frame that is built once, one send() a subscriber.
 *
 *   floor PORT REDIS_PORT CHANNEL
 *
 * GET /ws?u=N and GET /sse?u=N make subscriber N; the key of a WebSocket handshake is not computed. What Redis publishes
 * on CHANNEL is "N\n<json>" and goes to subscriber N, or "*\n<json>" and goes to all. No backpressure, no checks, no
 * memory of what was sent: a floor, not a server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536
enum { ASKING, WEBSOCKET, SSE };

static struct { int kind, place, number; } connections[MOST];
static int subscribers[MOST], by_number[MOST], count, poll_fd;
static char from_redis[1 << 22];

static int build(char *frame, int kind, const char *body, int size) {
    if (kind == SSE) {
        memcpy(frame, "data: ", 6);
        memcpy(frame + 6, body, size);
        memcpy(frame + 6 + size, "\n\n", 2);
        return size + 8;
    }
    int head = size < 126 ? 2 : 4;
    frame[0] = (char)0x81;
    frame[1] = size < 126 ? size : 126;
    if (head == 4) { frame[2] = size >> 8; frame[3] = size; }
    memcpy(frame + head, body, size);
    return head + size;
}

static void deliver(const char *message, int size) {
    static char frames[3][70000];
    int sizes[3] = {0};
    const char *body = memchr(message, '\n', size);
    if (!body++ || size > 65535) return;
    int one = message[0] == '*' ? 0 : by_number[atoi(message) % MOST];
    if (message[0] != '*' && !one) return;
    for (int i = 0; i < (one ? 1 : count); i++) {
        int fd = one ? one : subscribers[i], kind = connections[fd].kind;
        if (!sizes[kind]) sizes[kind] = build(frames[kind], kind, body, size - (body - message));
        if (send(fd, frames[kind], sizes[kind], MSG_NOSIGNAL | MSG_DONTWAIT) != sizes[kind]) continue;
    }
}

static void forget(int fd) {
    if (connections[fd].kind != ASKING) {
        int place = connections[fd].place;
        subscribers[place] = subscribers[--count];
        connections[subscribers[place]].place = place;
        if (by_number[connections[fd].number] == fd) by_number[connections[fd].number] = 0;
    }
    connections[fd].kind = ASKING;
    close(fd);
}

/* A request comes in one piece from the load client, and is not looked at further. */
static void answer(int fd, const char *request) {
    static const char upgraded[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    static const char streaming[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    int websocket = !strncmp(request, "GET /ws", 7);
    const char *head = websocket ? upgraded : streaming, *number = strstr(request, "?u=");
    if (send(fd, head, strlen(head), MSG_NOSIGNAL) < 0) { forget(fd); return; }
    connections[fd].kind = websocket ? WEBSOCKET : SSE;
    connections[fd].number = number ? atoi(number + 3) % MOST : 0;
    connections[fd].place = count;
    by_number[connections[fd].number] = fd;
    subscribers[count++] = fd;
}

/* Take the whole pushes "*3 message <channel> <data>" from the front; return how many bytes they were. */
static int take(char *from, int size) {
    int used = 0;
    for (;;) {
        char *at = from + used, *end = from + size, *parts[3];
        long sizes[3];
        if (!(at = memchr(at, '\n', end - at))) return used;
        at++;
        for (int i = 0; i < 3; i++) {
            char *line = memchr(at, '\n', end - at);
            if (!line) return used;
            if (*at == ':') { sizes[i] = 0; parts[i] = at; at = line + 1; continue; }
            sizes[i] = atol(at + 1);
            parts[i] = line + 1;
            at = parts[i] + sizes[i] + 2;
            if (at > end) return used;
        }
        if (sizes[0] == 7 && !memcmp(parts[0], "message", 7)) deliver(parts[2], sizes[2]);
        used = at - from;
    }
}

static int dial_or_listen(int port, int listening) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listening ? bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)
                  : connect(fd, (void *)&address, sizeof address)) {
        perror(listening ? "listen" : "redis");
        exit(1);
    }
    return fd;
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event)) { perror("epoll"); exit(1); }
}

int main(int argc, char **argv) {
    if (argc != 4) { fprintf(stderr, "floor PORT REDIS_PORT CHANNEL\n"); return 2; }
    poll_fd = epoll_create1(0);
    int redis = dial_or_listen(atoi(argv[2]), 0), listener = dial_or_listen(atoi(argv[1]), 1), filled = 0, one = 1;
    if (dprintf(redis, "SUBSCRIBE %s\r\n", argv[3]) < 0) return 1;
    watch(redis);
    watch(listener);
    for (;;) {
        static struct epoll_event events[512];
        int n = epoll_wait(poll_fd, events, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char request[8192];
            if (fd == listener) {
                int new = accept4(listener, 0, 0, SOCK_NONBLOCK);
                if (new < 0 || new >= MOST) continue;
                setsockopt(new, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                watch(new);
            } else if (fd == redis) {
                ssize_t got = recv(redis, from_redis + filled, sizeof from_redis - filled, 0);
                if (got <= 0) return 1;
                int used = take(from_redis, filled += got);
                memmove(from_redis, from_redis + used, filled -= used);
            } else {
                ssize_t got = recv(fd, request, sizeof request - 1, MSG_DONTWAIT);
                if (got <= 0) forget(fd);
                else if (connections[fd].kind == ASKING) { request[got] = 0; answer(fd, request); }
            }
        }
    }
}
