// Loaded before the C library: fails the Nth call that changes something under a folder, and sets the clock.
//
// A process arms itself by arm(); until then, and for all other places, every call goes through. Build:
// gcc -shared -fPIC -O1 -o preload.so preload.c -ldl

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NONE, FULL, FULL_ONCE, BROKEN_ONCE, SHORT_ONCE };

static char root[PATH_MAX];
static int kind = NONE, target = 0;
static atomic_int calls = 0;
static atomic_long ahead = 0;

void arm(const char *folder, int what, int number) {
    snprintf(root, sizeof root, "%s", folder);
    kind = what, target = number, calls = 0;
}

int called(void) { return calls; }

void set_clock(long seconds) { ahead = seconds; }

static int inside(const char *path) {
    size_t length = strlen(root);
    return length && path && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int fd_inside(int fd) {
    char link[64], path[PATH_MAX];
    if (!*root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

// 0: let it through; 1: fail with errno as it is set here; 2: write but a part.
static int fault(int writes) {
    if (kind == SHORT_ONCE && !writes) return 0;
    int number = ++calls;
    if (kind == NONE || number < target || (kind != FULL && number > target)) return 0;
    if (kind == SHORT_ONCE) return 2;
    errno = kind == BROKEN_ONCE ? EIO : ENOSPC;
    return 1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define WRITE(name, offset, rest)                                  \
    ssize_t name(int fd, const void *data, size_t count offset) {  \
        REAL(name);                                                \
        int found = fd_inside(fd) ? fault(1) : 0;                  \
        if (found == 1) return -1;                                 \
        if (found == 2 && count > 1) count /= 2;                   \
        return real(fd, data, count rest);                         \
    }
#define COMMA ,
WRITE(write, , )
WRITE(pwrite, COMMA off_t offset, COMMA offset)
WRITE(pwrite64, COMMA off64_t offset, COMMA offset)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    int found = fd_inside(fd) ? fault(1) : 0;
    if (found == 1) return -1;
    return real(fd, parts, found == 2 && count > 1 ? count / 2 : count);
}

#define BY_FD(name, parameters, arguments)         \
    int name parameters {                          \
        REAL(name);                                \
        if (fd_inside(fd) && fault(0)) return -1;  \
        return real arguments;                     \
    }
BY_FD(fsync, (int fd), (fd))
BY_FD(fdatasync, (int fd), (fd))
BY_FD(ftruncate, (int fd, off_t length), (fd, length))
BY_FD(ftruncate64, (int fd, off64_t length), (fd, length))

#define BY_PATH(name, parameters, arguments)        \
    int name parameters {                           \
        REAL(name);                                 \
        if (inside(path) && fault(0)) return -1;    \
        return real arguments;                      \
    }
BY_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
BY_PATH(rename, (const char *path, const char *to), (path, to))
BY_PATH(unlink, (const char *path), (path))

// Opening counts where it makes a file: a full disk has no room for a name either.
#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        REAL(name);                                                                  \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                \
        if (flags & O_CREAT && inside(path) && access(path, F_OK)) {                 \
            if (fault(0)) return -1;                                                 \
            errno = 0;                                                               \
        }                                                                            \
        return real(path, flags, mode);                                              \
    }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    int failed = real(now, zone);
    if (!failed) now->tv_sec += ahead;
    return failed;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
