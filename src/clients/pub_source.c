/*
 * Lines, in one buffer that is read into in large blocks:
 *
 *   data |begin … oldest that is not done|next … not taken|scanned … unfinished line|end
 *
 * A line that is done is passed over by looking for its end again, which is faster than to keep a
 * list of their lengths. The buffer moves to the front when it has no room behind.
 */
#include "clients/pub_source.h"

#include "clients/setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (256 * 1024)
#define AHEAD (512 * 1024) /* what is read while nothing can be taken */

struct pub_source {
    bool lines;

    uint8_t *data;
    size_t cap, begin, next, scanned, end;
    bool eof;

    struct client_payload payload; /* repeated */
    long left;
    long taken;     /* and not done */
    double delay_s; /* between two of them */
    int64_t due_ms; /* the next; 0: at once */
};

struct pub_source *pub_source_new(const struct pub_settings *s)
{
    struct pub_source *src = calloc(1, sizeof(*src));

    if (!src) {
        fputs("Error: Out of memory.\n", stderr);
        return NULL;
    }
    src->lines = s->common.source == SOURCE_LINES;
    src->left = s->repeat;
    src->delay_s = s->repeat_delay_s;
    if (!src->lines && !client_payload_load(&s->common, &src->payload)) {
        pub_source_free(src);
        return NULL;
    }
    return src;
}

void pub_source_free(struct pub_source *src)
{
    if (!src)
        return;
    free(src->data);
    client_payload_free(&src->payload);
    free(src);
}

/* --- lines --- */

/* Behind the line that begins at `from`; 0: it has no end yet. The last line needs none. */
static size_t line_end(const struct pub_source *src, size_t from, size_t search)
{
    const uint8_t *newline = memchr(src->data + search, '\n', src->end - search);

    if (newline)
        return (size_t)(newline - src->data) + 1;
    return src->eof && src->end > from ? src->end : 0;
}

static enum pub_state look_at_line(struct pub_source *src, const uint8_t **data, size_t *n)
{
    size_t from = src->scanned > src->next ? src->scanned : src->next;
    size_t end = src->end > src->next ? line_end(src, src->next, from) : 0;

    if (!end) {
        src->scanned = src->end;
        return src->eof ? PUB_END : PUB_INPUT;
    }
    src->scanned = end - 1;
    *data = src->data + src->next;
    *n = end - src->next;
    if ((*data)[*n - 1] == '\n')
        --*n;
    return PUB_READY;
}

static bool make_room(struct pub_source *src)
{
    size_t kept = src->end - src->begin;
    uint8_t *data;

    if (src->cap - src->end >= BLOCK)
        return true;
    if (kept > 0 && src->begin > 0)
        memmove(src->data, src->data + src->begin, kept);
    src->next -= src->begin;
    src->scanned = src->scanned > src->begin ? src->scanned - src->begin : 0;
    src->begin = 0;
    src->end = kept;
    if (src->cap - src->end >= BLOCK)
        return true;
    data = realloc(src->data, src->cap * 2 + BLOCK);
    if (!data) {
        fputs("Error: Out of memory.\n", stderr);
        return false;
    }
    src->data = data;
    src->cap = src->cap * 2 + BLOCK;
    return true;
}

bool pub_source_wants(const struct pub_source *src)
{
    return src->lines && !src->eof && src->end - src->begin < AHEAD;
}

bool pub_source_read(struct pub_source *src)
{
    ssize_t n;

    if (src->end - src->next > CLIENT_PAYLOAD_MAX) {
        fputs("Error: A line has more than 268435455 bytes, which no message can have.\n", stderr);
        return false;
    }
    if (!make_room(src))
        return false;
    n = read(STDIN_FILENO, src->data + src->end, src->cap - src->end);
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        fprintf(stderr, "Error: Unable to read standard input: %s.\n", strerror(errno));
        return false;
    }
    src->end += n > 0 ? (size_t)n : 0;
    src->eof = n == 0;
    return true;
}

/* --- both --- */

enum pub_state pub_source_look(struct pub_source *src, const uint8_t **data, size_t *n)
{
    if (src->lines)
        return look_at_line(src, data, n);
    *data = src->payload.data;
    *n = src->payload.n;
    if (src->left == 0)
        return PUB_END;
    return pub_source_wait_ms(src) > 0 ? PUB_LATER : PUB_READY;
}

void pub_source_take(struct pub_source *src)
{
    if (src->lines) {
        src->next = line_end(src, src->next, src->next);
        return;
    }
    src->left--;
    src->taken++;
    if (src->delay_s > 0)
        src->due_ms = client_now_ms() + (int64_t)(src->delay_s * 1000);
}

void pub_source_done(struct pub_source *src)
{
    if (src->lines)
        src->begin = line_end(src, src->begin, src->begin);
    else
        src->taken--;
}

void pub_source_rewind(struct pub_source *src)
{
    src->next = src->scanned = src->begin;
    src->left += src->taken;
    src->taken = 0;
}

int pub_source_fd(const struct pub_source *src)
{
    return src->lines ? STDIN_FILENO : -1;
}

int pub_source_wait_ms(const struct pub_source *src)
{
    int64_t wait = src->due_ms ? src->due_ms - client_now_ms() : 0;

    return wait > 0 ? (int)wait : 0;
}

long pub_source_left(const struct pub_source *src, bool *more)
{
    long count = 0;

    *more = src->lines && !src->eof;
    if (!src->lines)
        return src->left;
    for (size_t at = src->next, end; at < src->end && (end = line_end(src, at, at)); at = end)
        count++;
    return count;
}
