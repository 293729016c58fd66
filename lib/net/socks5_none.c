/*
 * What is said to who wants a SOCKS5 proxy of a build that is without.
 */
#include "net/socks5.h"

enum err socks5_begin(struct socks5 *s, struct str host, uint16_t port, struct str username,
                      struct str password)
{
    (void)host;
    (void)port;
    (void)username;
    (void)password;
    *s = (struct socks5){.why = "a proxy needs a build with WITH_SOCKS=yes"};
    return ERR_UNSUPPORTED;
}

enum err socks5_step(struct socks5 *s, const uint8_t *p, size_t n, size_t *used)
{
    (void)s;
    (void)p;
    (void)n;
    *used = 0;
    return ERR_UNSUPPORTED;
}
