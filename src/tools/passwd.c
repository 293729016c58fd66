/*
 * mosquitto_passwd: keeps the password file of a broker.
 *
 * What takes long comes before the file is locked: the question for a password, and its hash. No
 * message shows a password, no core file keeps one, and one that came on the command line is
 * overwritten there at once.
 */
#include "auth/pwhash.h"
#include "auth/pwline.h"
#include "base/mem.h"
#include "tools/passwd_edit.h"
#include "tools/passwd_file.h"
#include "tools/passwd_options.h"
#include "tools/passwd_prompt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Everything that is overwritten at the end. */
struct secrets {
    char password[PWLINE_PASSWORD_MAX + 1];
    char again[PWLINE_PASSWORD_MAX + 1];
    char hash[PWHASH_TEXT_MAX];
    struct buf before, after; /* texts of the file */
};

static void say(const char *fmt, const char *what)
{
    fprintf(stderr, fmt, what);
}

/* --- the password --- */

static enum err take_argument(char *argument, struct secrets *s)
{
    size_t n = strlen(argument);
    const char *why = NULL;

    if (n == 0)
        why = "Empty password";
    else if (n > PWLINE_PASSWORD_MAX)
        why = "The password is longer than 65535 bytes";
    else
        memcpy(s->password, argument, n + 1);
    pwhash_wipe(argument, n);
    if (why)
        say("Error: %s.\n", why);
    return why ? ERR_INVAL : ERR_OK;
}

static enum err explain_hash(enum err e, enum pwhash_kind kind)
{
    if (e == ERR_UNSUPPORTED)
        say("Error: This mosquitto_passwd cannot make such hashes; that needs a build with "
            "%s=yes.\n",
            pwhash_missing(kind));
    else if (e == ERR_SYSTEM)
        say("Error: Cannot make a hash: %s.\n", "the system gives no random numbers");
    else if (e == ERR_INVAL)
        say("Error: Cannot make a hash: %s.\n", err_word(e));
    return e;
}

static enum err get_hash(const struct passwd_options *o, struct secrets *s)
{
    enum err e;

    if (pwhash_missing(o->kind))
        return explain_hash(ERR_UNSUPPORTED, o->kind);
    e = o->password ? take_argument(o->password, s)
                    : passwd_prompt(s->password, s->again, sizeof(s->password));
    if (e)
        return e;
    return explain_hash(pwhash_make(o->kind, o->rounds, str_c(s->password), s->hash), o->kind);
}

/* --- what is done with the file --- */

static enum err set_user(const struct passwd_options *o, struct passwd_file *f, struct secrets *s)
{
    struct str before = o->create ? (struct str){0} : buf_str(&s->before);
    bool found = false;
    enum err e = passwd_edit_set(before, o->path, str_c(o->user), s->hash, &s->after, &found);

    if (!e)
        e = passwd_file_write(f, buf_str(&s->before), buf_str(&s->after));
    if (!e && o->create && s->before.len > 0)
        say("Warning: %s was there already and has been overwritten.\n", o->path);
    if (!e)
        printf("%s password for user %s\n", found ? "Updating" : "Adding", o->user);
    return e;
}

static enum err delete_user(const struct passwd_options *o, struct passwd_file *f,
                            struct secrets *s)
{
    bool found = false;
    enum err e =
        passwd_edit_delete(buf_str(&s->before), o->path, str_c(o->user), &s->after, &found);

    if (!e && !found) {
        say("Warning: User %s not found in password file.\n", o->user);
        return ERR_NOT_FOUND;
    }
    return e ? e : passwd_file_write(f, buf_str(&s->before), buf_str(&s->after));
}

static enum err hash_all(const struct passwd_options *o, struct passwd_file *f, struct secrets *s)
{
    struct passwd_counts counts;
    enum err e = explain_hash(
        passwd_edit_hash_all(buf_str(&s->before), o->path, o->kind, o->rounds, &s->after, &counts),
        o->kind);

    if (!e && counts.hashed > 0)
        e = passwd_file_write(f, buf_str(&s->before), buf_str(&s->after));
    if (!e)
        printf("Passwords hashed: %zu; hashed already: %zu\n", counts.hashed, counts.left);
    return e;
}

static enum err change_file(const struct passwd_options *o, struct secrets *s)
{
    struct passwd_file f;
    enum err e = passwd_file_open(o->path, o->create, &f);

    if (e)
        return e;
    e = passwd_file_read(&f, &s->before);
    if (!e && o->action == PASSWD_SET)
        e = set_user(o, &f, s);
    else if (!e && o->action == PASSWD_DELETE)
        e = delete_user(o, &f, s);
    else if (!e)
        e = hash_all(o, &f, s);
    passwd_file_close(&f);
    return e;
}

/* --- the whole --- */

/* Nobody is asked for a password that then has no place to go. */
static enum err check_place(const struct passwd_options *o)
{
    if (o->print || o->create || access(o->path, F_OK) == 0 || errno != ENOENT)
        return ERR_OK;
    say("Error: There is no password file %s; -c makes one.\n", o->path);
    return ERR_NOT_FOUND;
}

static enum err run(const struct passwd_options *o, struct secrets *s)
{
    enum err e = check_place(o);

    if (!e && o->action == PASSWD_SET)
        e = get_hash(o, s);
    if (!e && !o->print)
        e = change_file(o, s);
    else if (!e)
        printf("%s:%s\n", o->user, s->hash);
    if (!e && fflush(stdout) != 0) {
        say("Error: Cannot write to standard output: %s.\n", strerror(errno));
        e = ERR_SYSTEM;
    }
    return e;
}

static void forget_text(struct buf *text)
{
    if (text->data)
        pwhash_wipe(text->data, text->cap);
    buf_clear(text);
}

int main(int argc, char **argv)
{
    static const struct rlimit no_core = {0, 0};
    struct passwd_options options;
    struct secrets *secrets;
    enum err e;
    int code;

    (void)setrlimit(RLIMIT_CORE, &no_core);
    if (!passwd_options_parse(argc, argv, &options, &code))
        return code;
    secrets = mem_zalloc(sizeof(*secrets));
    if (!secrets) {
        fputs("Error: Out of memory.\n", stderr);
        return EXIT_FAILURE;
    }
    e = run(&options, secrets);
    if (e == ERR_NOMEM)
        fputs("Error: Out of memory.\n", stderr);
    if (options.password)
        pwhash_wipe(options.password, strlen(options.password));
    forget_text(&secrets->before);
    forget_text(&secrets->after);
    pwhash_wipe(secrets, sizeof(*secrets));
    mem_free(secrets, sizeof(*secrets));
    return e ? EXIT_FAILURE : EXIT_SUCCESS;
}
