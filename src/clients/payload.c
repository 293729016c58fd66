/*
 * Payloads from files and standard input. Neither needs to know its size before: a pipe or a device
 * serves as well as a file.
 */
#include "clients/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BYTES (64 * 1024)

static bool fail(const char *name, const char *why)
{
    fprintf(stderr, "Error: Unable to read %s: %s.\n", name, why);
    return false;
}

/* Room for more, at most a byte beyond what can be sent. */
static bool grow(struct client_payload *p, size_t *cap)
{
    size_t wanted = *cap ? *cap * 2 : FIRST_BYTES;
    uint8_t *data;

    if (p->n < *cap)
        return true;
    if (wanted > CLIENT_PAYLOAD_MAX + 1)
        wanted = CLIENT_PAYLOAD_MAX + 1;
    data = realloc(p->data, wanted);
    if (!data)
        return false;
    p->data = data;
    *cap = wanted;
    return true;
}

/* `cap` is what data has room for already. */
static bool read_all(int fd, const char *name, struct client_payload *p, size_t cap)
{
    ssize_t n;

    do {
        if (!grow(p, &cap))
            return fail(name, "out of memory");
        n = read(fd, p->data + p->n, cap - p->n);
        if (n < 0 && errno != EINTR)
            return fail(name, strerror(errno));
        p->n += n > 0 ? (size_t)n : 0;
    } while (n != 0 && p->n <= CLIENT_PAYLOAD_MAX);
    if (p->n > CLIENT_PAYLOAD_MAX)
        return fail(name, "a message has at most 268435455 bytes (256 MB)");
    return true;
}

/* Of a file whose size is known, room at once: it is not copied while it grows. */
static bool read_file(int fd, const char *name, struct client_payload *p)
{
    struct stat st;
    size_t cap = 0;

    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return fail(name, "it is a directory");
    if (S_ISREG(st.st_mode) && st.st_size > CLIENT_PAYLOAD_MAX)
        return fail(name, "a message has at most 268435455 bytes (256 MB)");
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
        cap = (size_t)st.st_size + 1;
        p->data = malloc(cap);
        if (!p->data)
            return fail(name, "out of memory");
    }
    return read_all(fd, name, p, cap);
}

static bool open_file(const char *path, struct client_payload *p)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *name = NULL;
    bool ok;

    if (fd < 0) {
        fprintf(stderr, "Error: Unable to open file \"%s\": %s.\n", path, strerror(errno));
        return false;
    }
    if (asprintf(&name, "file \"%s\"", path) < 0)
        name = NULL;
    ok = read_file(fd, name ? name : "the file", p);
    free(name);
    close(fd);
    return ok;
}

/* Nothing at all is rather the end of a command that has failed than a message; -n sends that. */
static bool read_stdin(struct client_payload *p)
{
    if (!read_all(STDIN_FILENO, "standard input", p, 0))
        return false;
    if (p->n == 0)
        fputs("Error: Zero length input.\nError loading input from stdin.\n", stderr);
    return p->n > 0;
}

bool client_payload_load(const struct client_settings *s, struct client_payload *payload)
{
    *payload = (struct client_payload){0};
    switch (s->source) {
    case SOURCE_FILE:
        return open_file(s->file, payload);
    case SOURCE_STDIN:
        return read_stdin(payload);
    case SOURCE_TEXT:
        payload->n = strlen(s->text);
        payload->data = (uint8_t *)strdup(s->text);
        return payload->data || fail("the message", "out of memory");
    default:
        return true;
    }
}

void client_payload_free(struct client_payload *payload)
{
    free(payload->data);
    *payload = (struct client_payload){0};
}
