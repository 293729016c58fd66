/*
 * Lines of a password file.
 *
 * What a wrong line holds is never shown: it may well be somebody's password.
 */
#include "auth/pwline.h"

#include "mqtt/utf8.h"

/* Editors of some systems begin a file with this. */
static const struct str byte_order_mark = {.p = "\xef\xbb\xbf", .n = 3};

/* Cut the next line off; its newline is taken but is not in *content. */
static struct str cut_line(struct str *rest, struct str *content)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct str raw = str_of(rest->p, end ? n + 1 : n);

    *content = str_of(rest->p, n);
    *rest = str_of(rest->p + raw.n, rest->n - raw.n);
    return raw;
}

const char *pwline_user_wrong(struct str user)
{
    if (user.n == 0)
        return "is empty";
    if (user.n > PWLINE_USER_MAX)
        return "is longer than 65535 bytes";
    if (memchr(user.p, ':', user.n))
        return "has a ':', which ends the name in a password file";
    if (!utf8_valid(user))
        return "has control characters or is not UTF-8";
    if (user.p[0] == '#')
        return "begins with '#', which makes its line a comment";
    if (!str_eq(str_trim(user), user))
        return "has blanks at its beginning or end, which a password file does not keep";
    return NULL;
}

static const char *name_fault(struct str user)
{
    if (!pwline_user_wrong(user))
        return NULL;
    if (user.n == 0)
        return "the user name is empty; " PWLINE_FORM;
    if (user.n > PWLINE_USER_MAX)
        return "the user name is longer than 65535 bytes; " PWLINE_FORM;
    return "the user name has control characters or is not UTF-8; " PWLINE_FORM;
}

/* NULL, or what is wrong with it; otherwise it is an entry. */
static const char *split(struct str content, struct pwline *out)
{
    const char *colon = memchr(content.p, ':', content.n);
    size_t n;

    if (content.n > PWLINE_MAX)
        return "the line is longer than 131071 bytes; " PWLINE_FORM;
    if (memchr(content.p, '\0', content.n))
        return "there is a zero byte in it; " PWLINE_FORM;
    if (!colon)
        return "there is no ':' in it; " PWLINE_FORM;
    n = (size_t)(colon - content.p);
    out->user = str_trim(str_of(content.p, n));
    out->value = str_trim(str_of(colon + 1, content.n - n - 1));
    return name_fault(out->user);
}

bool pwline_next(struct pwline_walk *walk, struct pwline *out)
{
    struct str content;
    struct str trimmed;

    if (walk->rest.n == 0)
        return false;
    *out = (struct pwline){.number = ++walk->number};
    out->raw = cut_line(&walk->rest, &content);
    if (walk->number == 1 && str_has_prefix(content, byte_order_mark))
        content = str_of(content.p + byte_order_mark.n, content.n - byte_order_mark.n);
    trimmed = str_trim(content);
    if (trimmed.n == 0 || trimmed.p[0] == '#')
        return true;
    out->wrong = split(content, out);
    out->kind = out->wrong ? PWLINE_WRONG : PWLINE_ENTRY;
    return true;
}
