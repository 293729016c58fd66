/*
 * Passwords from a file or the environment, and arguments that are overwritten. What is read is
 * overwritten too, once it is kept.
 */
#include "clients/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD_MAX 65535 /* bytes, MQTT 3.1.1, 3.1.3.5 */

static bool keep(struct client_settings *s, const struct client_row *row, char *password)
{
    if (strlen(password) > PASSWORD_MAX)
        return client_refuse(s, "%s: a password has at most %d bytes.", row->name, PASSWORD_MAX);
    return client_keep(&s->password, password);
}

static bool read_line(struct client_settings *s, const struct client_row *row, FILE *f,
                      const char *path)
{
    char line[PASSWORD_MAX + 3]; /* \r, \n and the NUL */
    bool ok;

    errno = 0;
    if (!fgets(line, sizeof(line), f))
        return client_refuse(s, "%s: cannot read a password from \"%s\": %s.", row->name, path,
                             errno ? strerror(errno) : "it is empty");
    line[strcspn(line, "\r\n")] = 0;
    ok = keep(s, row, line);
    explicit_bzero(line, sizeof(line));
    return ok;
}

bool client_secret_file(struct client_settings *s, const struct client_row *row, const char *value)
{
    static char buffer[BUFSIZ]; /* of our own, so that it can be overwritten */
    FILE *f = fopen(value, "re");
    bool ok;

    if (!f)
        return client_refuse(s, "%s: cannot read a password from \"%s\": %s.", row->name, value,
                             strerror(errno));
    setvbuf(f, buffer, _IOFBF, sizeof(buffer));
    ok = read_line(s, row, f, value);
    fclose(f);
    explicit_bzero(buffer, sizeof(buffer));
    return ok;
}

bool client_secret_env(struct client_settings *s, const struct client_row *row, const char *value)
{
    char *password = getenv(value);

    if (!password)
        return client_refuse(s, "%s: there is no environment variable \"%s\".", row->name, value);
    return keep(s, row, password);
}

void client_secret_wipe(char *text)
{
    memset(text, '*', strlen(text));
}
