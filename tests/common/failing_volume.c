/*
 * A volume that fails, under a program that reads it: preloaded, this stands between the program
 * and pread64. Which file, and how, is told by the environment:
 *
 *   BAD_FILE            what the file's path ends in; all files without it
 *   BAD_FROM, BAD_TO    reads that touch these bytes fail with BAD_ERRNO
 *   BAD_SHORT           no read returns more than so many bytes
 *   BAD_DELAY           every read takes so many microseconds more
 *   BAD_CUT, BAD_BYTES  this file is truncated to so many bytes when BAD_FILE is read first
 *   BAD_REMOVE          this file is removed then
 *   BAD_LOG             every read is written there: offset, length, result, path
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long number(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text ? atol(text) : otherwise;
}

static int is_bad(const char *path)
{
    const char *end = getenv("BAD_FILE");
    size_t length = strlen(path), wanted = end ? strlen(end) : 0;

    return wanted <= length && (!end || strcmp(path + length - wanted, end) == 0);
}

static void log_read(const char *path, off64_t offset, size_t length, ssize_t result)
{
    const char *log = getenv("BAD_LOG");
    char line[4200];
    int fd, n;

    if (!log)
        return;
    n = snprintf(line, sizeof line, "%lld %zu %zd %s\n", (long long) offset, length, result, path);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (write(fd, line, n) != n)
        abort();
    close(fd);
}

ssize_t pread64(int fd, void *buffer, size_t length, off64_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);
    static atomic_flag happened = ATOMIC_FLAG_INIT;
    char link[64], path[4096];
    ssize_t n;

    if (!real)
        real = (ssize_t (*)(int, void *, size_t, off64_t)) dlsym(RTLD_NEXT, "pread64");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    if (!is_bad(path))
    {
        n = real(fd, buffer, length, offset);
        log_read(path, offset, length, n);
        return n;
    }
    if (!atomic_flag_test_and_set(&happened))
    {
        if (getenv("BAD_CUT") && truncate(getenv("BAD_CUT"), number("BAD_BYTES", 0)) != 0)
            abort();
        if (getenv("BAD_REMOVE") && unlink(getenv("BAD_REMOVE")) != 0)
            abort();
    }
    usleep(number("BAD_DELAY", 0));
    if (offset < number("BAD_TO", 0) && offset + (off64_t) length > number("BAD_FROM", 0))
    {
        log_read(path, offset, length, -1);
        errno = number("BAD_ERRNO", EIO);
        return -1;
    }
    if ((long) length > number("BAD_SHORT", length))
        length = number("BAD_SHORT", length);
    n = real(fd, buffer, length, offset);
    log_read(path, offset, length, n);
    return n;
}

ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    return pread64(fd, buffer, length, offset);
}
