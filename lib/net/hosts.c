/*
 * Names for which nobody needs to be asked.
 */
#include "net/hosts.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/str.h"

#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define HOSTS_PATH "/etc/hosts"
#define HOSTS_SIZE_MAX (4 << 20)
#define LABEL_MAX 63
/* Longer than any address, with the longest name of an interface. */
#define ADDRESS_TEXT_MAX 80

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Without the dot that says that a name is whole. */
static struct str without_dot(struct str s)
{
    return s.n > 1 && s.p[s.n - 1] == '.' ? str_of(s.p, s.n - 1) : s;
}

bool host_is_name(const char *name)
{
    struct str s = without_dot(str_c(name));
    size_t label = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && label > 0) {
            label = 0;
        } else if (!is_name_byte(s.p[i]) || ++label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0 && s.n <= HOST_NAME_LENGTH;
}

/* Case does not matter, nor does the last dot. */
static bool same(struct str a, struct str b)
{
    a = without_dot(a);
    b = without_dot(b);
    return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static void add_text(struct str text, int family, struct addresses *out)
{
    char z[ADDRESS_TEXT_MAX];
    if (text.n < sizeof(z)) {
        memcpy(z, text.p, text.n);
        z[text.n] = '\0';
        (void)addresses_parse(out, z, family);
    }
}

static void read_line(struct str line, struct str name, int family, struct addresses *out)
{
    const char *comment = memchr(line.p, '#', line.n);
    if (comment) {
        line.n = (size_t)(comment - line.p);
    }
    line = str_trim(line);
    struct str address = str_token(&line);
    for (struct str s = str_token(&line); s.n > 0; s = str_token(&line)) {
        if (same(s, name)) {
            add_text(address, family, out);
            return;
        }
    }
}

static void read_lines(struct str text, struct str name, int family, struct addresses *out)
{
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        struct str line = str_of(text.p, end ? (size_t)(end - text.p) : text.n);
        size_t used = line.n + (end ? 1 : 0);
        read_line(line, name, family, out);
        text = str_of(text.p + used, text.n - used);
    }
}

/* RFC 6761: whatever name servers say, this is us. */
static void add_localhost(struct str name, int family, struct addresses *out)
{
    static const struct str local = STR(".localhost");
    name = without_dot(name);
    struct str end = name.n > local.n ? str_of(name.p + name.n - local.n, local.n) : STR("");
    if (!same(name, STR("localhost")) && !same(end, local)) {
        return;
    }
    const uint32_t loopback = htonl(INADDR_LOOPBACK);
    if (family != AF_INET) {
        addresses_add(out, AF_INET6, &in6addr_loopback, 0);
    }
    if (family != AF_INET6) {
        addresses_add(out, AF_INET, &loopback, 0);
    }
}

enum err hosts_find(const char *path, const char *name, int family, struct addresses *out)
{
    struct buf text = {0};
    size_t before = addresses_count(out);
    enum err e = file_read(path ? path : HOSTS_PATH, HOSTS_SIZE_MAX, &text);
    if (e == ERR_OK && text.data) {
        read_lines(buf_str(&text), str_c(name), family, out);
    }
    buf_clear(&text);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (addresses_count(out) == before) {
        add_localhost(str_c(name), family, out);
    }
    return addresses_count(out) > before ? ERR_OK : ERR_NOT_FOUND;
}
