/*
 * Password hashes: known answers, what is refused, and what is made.
 *
 * The known answers come from Python's hashlib, from the distribution's mosquitto_passwd and from
 * libargon2's own encoder. The password is "secret" wherever nothing else is said.
 */
#include "auth/pwhash.h"

#include "auth/pwdigest.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>

#define SALT12 "dHdlbHZlIGJ5dGVz"
#define SALT64                                                                                     \
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
#define SHA512_12                                                                                  \
    "oVMYq+bpyGSukllfY8G/BwgLqTIAw9BrXgAOPSc8vg1V/thNI/ExEbZhTQHqP/DIk0w9bWIDUve2ZYQQLGvYUw=="
#define PBKDF2_101                                                                                 \
    "v/lj6L3NtZzRH+EyeyPkX06ZV2hBBVZqta7rtt0tD+UEtFehuQLthWWy1s9ZSdmRV5IZqoUymx/Udzry8Wtupw=="
#define ARGON_SALT "c2l4dGVlbiBieXRlcyBvaw"
#define ARGON_HASH "o1oi1nyMd+7cRbwFarPcTOzEfRbU9aFOztA2kvclUTY"

struct known {
    const char *text;
    enum pwhash_kind kind;
};

static const struct known known[] = {
    {"secret", PWHASH_PLAIN},
    {"$6$" SALT12 "$" SHA512_12, PWHASH_SHA512},
    {"$6$" SALT64 "$"
     "wEYf8F4/yHDmlCt3YmMXwFi//Ux0IOce8NucN+r/9QAuqoVaYz7SU9131YSsyqLHn9NUpM/F4yTaDANhOFpYTQ==",
     PWHASH_SHA512},
    {"$6$j2O0oDgkiHh4vYkS$"
     "QlZHp+l/mg5Cro2tfSpoDfhP+tKPHl9dAygv9zwg2qfu/C0+JsqZOBEunOzyQ56tfmg4ZoM+45QwOGbRFwUDFg==",
     PWHASH_SHA512},
    {"$7$101$" SALT12 "$" PBKDF2_101, PWHASH_PBKDF2},
    {"$7$1000$" SALT64 "$"
     "j5aX3DstWRgO5cjjfvKvsf7Z/KK812T4wGDMih+DCHQg8P7++fmj4sZcMp1smkEafZL0QZ29tE5ezahL/nyffw==",
     PWHASH_PBKDF2},
    {"$7$2$" SALT12 "$L2L2QxC05cPBeSIVx3td7j5ym459FiepSRbyeSu0PkQ=", PWHASH_PBKDF2},
    {"$7$101$HsSNxA8rgph7Mr5a$"
     "uUa+VvB5glhaTg5iu8mpuWXP1F2uHOos3ntcXeJP16KwPbubwQrJh71S2mJaVa56fF/+CUroDH7IcAVyriXfzw==",
     PWHASH_PBKDF2},
    {"$argon2id$v=19$m=64,t=2,p=1$" ARGON_SALT "$" ARGON_HASH, PWHASH_ARGON2ID},
    {"$argon2id$v=19$m=256,t=1,p=4$" ARGON_SALT "$"
     "+Mjfcym24bLdjDjMHDdbxnk1A/qu7XC1u9SU4Q+JHX23Ce7XAPBbUohvacV46O8ldd8GQHmkz135bp9mX+udfQ",
     PWHASH_ARGON2ID},
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        struct pwhash h;
        const char *why = NULL;

        if (pwhash_missing(known[i].kind)) {
            assert_err(pwhash_parse(str_c(known[i].text), &h, &why), ERR_UNSUPPORTED);
            assert_non_null(strstr(why, pwhash_missing(known[i].kind)));
            continue;
        }
        assert_ok(pwhash_parse(str_c(known[i].text), &h, &why));
        assert_int_equal(h.kind, known[i].kind);
        assert_true(pwhash_matches(&h, STR("secret")));
        assert_false(pwhash_matches(&h, STR("secreT")));
        assert_false(pwhash_matches(&h, STR("secre")));
        /* HMAC fills its key up with zeros, so PBKDF2 does not see those at the end. */
        assert_int_equal(pwhash_matches(&h, STR("secret\0")), h.kind == PWHASH_PBKDF2);
        assert_false(pwhash_matches(&h, STR("secretsecret")));
        assert_false(pwhash_matches(&h, STR("")));
        assert_false(pwhash_matches(&h, (struct str){0}));
    }
}

/* Every character of a hash and of a salt counts. */
static void no_character_is_idle(void **state)
{
    (void)state;
    if (pwhash_missing(PWHASH_PBKDF2))
        skip();
    for (size_t i = 7; known[4].text[i] != '\0'; i++) {
        char text[200];
        struct pwhash h;
        const char *why;

        (void)snprintf(text, sizeof(text), "%s", known[4].text);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        if (pwhash_parse(str_c(text), &h, &why) == ERR_OK)
            assert_false(pwhash_matches(&h, STR("secret")));
    }
}

/* A hash that has no bytes matches nothing. */
static void a_hash_of_nothing(void **state)
{
    struct pwhash h = {.kind = PWHASH_PLAIN};

    (void)state;
    assert_false(pwhash_matches(&h, STR("")));
    assert_false(pwhash_matches(&h, STR("x")));
}

static void an_empty_password_can_be_hashed(void **state)
{
    struct pwhash h;
    const char *why;

    (void)state;
    if (pwhash_missing(PWHASH_ARGON2ID))
        skip();
    assert_ok(pwhash_parse(STR("$argon2id$v=19$m=64,t=1,p=1$" ARGON_SALT "$"
                               "WL2okkhYp6HHQOLKRR4acyiWE0/"
                               "Ks9o2dl2FJ3w2253gDb20ETeBqxBMHRnAmtTAmI58+RzGQY5cdv3KvmBNNQ"),
                           &h, &why));
    assert_true(pwhash_matches(&h, STR("")));
    assert_true(pwhash_matches(&h, (struct str){0}));
    assert_false(pwhash_matches(&h, STR("x")));
}

static void passwords_that_look_odd(void **state)
{
    static const char *const plain[] = {"a",       "$",         "$$",   "$x",    "6$a$b", "$A$b",
                                        "$ 6$a$b", "$7",        "p w",  "a:b",   "$-",    "$6",
                                        "\xff",    "$argon2id", "$$6$", "$a b$", "#"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        struct pwhash h;
        const char *why;

        assert_ok(pwhash_parse(str_c(plain[i]), &h, &why));
        assert_int_equal(h.kind, PWHASH_PLAIN);
        assert_true(pwhash_matches(&h, str_c(plain[i])));
    }
}

/* What begins like a hash is one, or is an error: never a password. */
static void refused(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {"", "no password"},
        {"$2y$10$abcdefgh", "kind"},
        {"$5$a$b", "kind"},
        {"$argon2i$v=19$m=64,t=2,p=1$" ARGON_SALT "$" ARGON_HASH, "kind"},
        {"$argon2id-x$a", "kind"},
        {"$6$", "ends"},
        {"$6$" SALT12, "ends"},
        {"$6$" SALT12 "$", "base64"},
        {"$6$$" SHA512_12, "base64"},
        {"$6$" SALT12 "$" SHA512_12 "x", "base64"},
        {"$6$" SALT12 "$" SHA512_12 "$x", "base64"},
        {"$6$" SALT12 "$" SHA512_12 ":x", "base64"},
        {"$6$ " SALT12 "$" SHA512_12, "base64"},
        {"$6$dHdlbHZlIGJ5dGV$" SHA512_12, "base64"},
        {"$6$AAAA$" SHA512_12, "salt is shorter"},
        {"$6$" SALT12 "$AAAA", "too short"},
        {"$6$" SALT12 "$L2L2QxC05cPBeSIVx3td7j5ym459FiepSRbyeSu0PkQ=", "too short"},
        {"$6$" SALT64 "AAAA$" SHA512_12, "base64"},
        {"$7$", "rounds"},
        {"$7$101", "rounds"},
        {"$7$$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$0$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$-1$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$+101$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$101x$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$10000001$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$4294967397$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$99999999999999999999$" SALT12 "$" PBKDF2_101, "rounds"},
        {"$7$101$" SALT12 "$AAAAAAAAAAAAAAAAAAAA", "too short"},
        {"$argon2id$", "version"},
        {"$argon2id$m=64,t=2,p=1$" ARGON_SALT "$" ARGON_HASH, "version"},
        {"$argon2id$v=16$m=64,t=2,p=1$" ARGON_SALT "$" ARGON_HASH, "version"},
        {"$argon2id$v=19$m=64,t=2$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=64,t=2,p=$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=64,t=2,p=1,x=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$t=2,m=64,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=0,t=2,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=64,t=0,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=7,t=2,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=31,t=2,p=4$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=1048577,t=1,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=1048576,t=5,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=4294967295,t=4294967295,p=1$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=1024,t=2,p=65$" ARGON_SALT "$" ARGON_HASH, "cost"},
        {"$argon2id$v=19$m=64,t=2,p=1$" ARGON_SALT "==$" ARGON_HASH, "base64"},
        {"$argon2id$v=19$m=64,t=2,p=1$" ARGON_SALT "$" ARGON_HASH "=", "base64"},
        {"$argon2id$v=19$m=64,t=2,p=1$c2l4$" ARGON_HASH, "salt is shorter"},
        {"$argon2id$v=19$m=64,t=2,p=1$" ARGON_SALT, "ends"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pwhash h;
        const char *why = NULL;
        enum pwhash_kind kind = pwhash_kind_of(str_c(cases[i].text));
        enum err e = pwhash_parse(str_c(cases[i].text), &h, &why);

        assert_err(e, pwhash_missing(kind) ? ERR_UNSUPPORTED : ERR_MALFORMED);
        if (!pwhash_missing(kind) && !strstr(why, cases[i].why))
            fail_msg("%s: %s", cases[i].text, why);
    }
}

/* The dearest that are let through; the next dearer ones are refused above. */
static void limits_are_allowed(void **state)
{
    static const char *const cases[] = {
        "$7$10000000$" SALT12 "$" PBKDF2_101,
        "$argon2id$v=19$m=1048576,t=4,p=1$" ARGON_SALT "$" ARGON_HASH,
        "$argon2id$v=19$m=512,t=8192,p=64$" ARGON_SALT "$" ARGON_HASH,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pwhash h;
        const char *why;
        enum pwhash_kind kind = pwhash_kind_of(str_c(cases[i]));

        assert_err(pwhash_parse(str_c(cases[i]), &h, &why),
                   pwhash_missing(kind) ? ERR_UNSUPPORTED : ERR_OK);
    }
}

/* What is made, and how its text begins. */
static void made_and_checked(void **state)
{
    static const struct {
        enum pwhash_kind kind;
        const char *begins;
        uint8_t salt;
    } kinds[] = {
        {PWHASH_SHA512, "$6$", 12},
        {PWHASH_PBKDF2, "$7$3$", 12},
        {PWHASH_ARGON2ID, "$argon2id$v=19$m=47104,t=1,p=1$", 64},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        char one[PWHASH_TEXT_MAX];
        char two[PWHASH_TEXT_MAX];
        struct pwhash h;
        const char *why;

        if (pwhash_missing(kinds[i].kind)) {
            assert_err(pwhash_make(kinds[i].kind, 3, STR("pw"), one), ERR_UNSUPPORTED);
            assert_string_equal(one, "");
            continue;
        }
        assert_ok(pwhash_make(kinds[i].kind, 3, STR("pw"), one));
        assert_ok(pwhash_make(kinds[i].kind, 3, STR("pw"), two));
        assert_string_not_equal(one, two);
        assert_memory_equal(one, kinds[i].begins, strlen(kinds[i].begins));
        assert_ok(pwhash_parse(str_c(one), &h, &why));
        assert_int_equal(h.kind, kinds[i].kind);
        assert_int_equal(h.salt_len, kinds[i].salt);
        assert_int_equal(h.hash_len, 64);
        assert_true(pwhash_matches(&h, STR("pw")));
        assert_false(pwhash_matches(&h, STR("pW")));
    }
}

static void not_made(void **state)
{
    char text[PWHASH_TEXT_MAX];

    (void)state;
    assert_err(pwhash_make(PWHASH_PLAIN, 3, STR("pw"), text), ERR_INVAL);
    if (pwhash_missing(PWHASH_PBKDF2))
        skip();
    assert_err(pwhash_make(PWHASH_PBKDF2, 0, STR("pw"), text), ERR_INVAL);
    assert_err(pwhash_make(PWHASH_PBKDF2, PWHASH_ROUNDS_MAX + 1, STR("pw"), text), ERR_INVAL);
}

/* --- base64 --- */

static void base64_there_and_back(void **state)
{
    uint8_t bytes[64];

    (void)state;
    if (pwhash_missing(PWHASH_SHA512))
        skip();
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 5);
    for (size_t n = 1; n <= sizeof(bytes); n++) {
        for (int padded = 0; padded < 2; padded++) {
            char text[PWDIGEST_BASE64_TEXT + 1];
            uint8_t again[64];
            size_t got;
            size_t length = pwdigest_base64_write(bytes, n, padded, text);

            assert_int_equal(length, padded ? (n + 2) / 3 * 4 : (n * 8 + 5) / 6);
            assert_int_equal(strlen(text), length);
            assert_ok(pwdigest_base64_read(str_c(text), padded, again, &got));
            assert_int_equal(got, n);
            assert_memory_equal(bytes, again, n);
        }
    }
}

static void base64_is_strict(void **state)
{
    static const struct {
        const char *text;
        bool padded;
    } cases[] = {
        {"", true},         {"A", true},        {"AA", true},    {"AAA", true},    {"====", true},
        {"A===", true},     {"AA=A", true},     {"AB==", true},  {"AAB=", true},   {" AAA", true},
        {"AAA ", true},     {"AA A", true},     {"AAA\n", true}, {"\nAAAA", true}, {"AA-_", true},
        {"AAAA=", true},    {"", false},        {"A", false},    {"AA==", false},  {"AB", false},
        {"AAB", false},     {"AAAAA", false},   {"AA A", false}, {"A=", false},    {"-AAA", true},
        {"AAAA====", true}, {"AA==AAAA", true}, {"AA\0A", true},
    };

    (void)state;
    if (pwhash_missing(PWHASH_SHA512))
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t out[64];
        size_t n;

        if (pwdigest_base64_read(str_c(cases[i].text), cases[i].padded, out, &n) != ERR_MALFORMED)
            fail_msg("case %zu: \"%s\"", i, cases[i].text);
    }
}

static void base64_of_too_much(void **state)
{
    char text[200];
    uint8_t out[64];
    size_t n;

    (void)state;
    if (pwhash_missing(PWHASH_SHA512))
        skip();
    memset(text, 'A', sizeof(text));
    assert_err(pwdigest_base64_read(str_of(text, 88), true, out, &n), ERR_TOO_LARGE);
    assert_err(pwdigest_base64_read(str_of(text, 87), false, out, &n), ERR_TOO_LARGE);
    assert_err(pwdigest_base64_read(str_of(text, 92), true, out, &n), ERR_TOO_LARGE);
    assert_err(pwdigest_base64_read(str_of(text, 200), true, out, &n), ERR_TOO_LARGE);
    assert_ok(pwdigest_base64_read(str_of(text, 84), true, out, &n));
    assert_int_equal(n, 63);
}

/* --- threads --- */

static void *check_often(void *arg)
{
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
            struct pwhash h;
            const char *why;

            if (pwhash_parse(str_c(known[i].text), &h, &why))
                continue;
            if (!pwhash_matches(&h, STR("secret")) || pwhash_matches(&h, STR("wrong")))
                *(bool *)arg = true;
        }
    }
    return NULL;
}

static void on_many_threads(void **state)
{
    pthread_t threads[4];
    bool wrong[4] = {false};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, check_often, &wrong[i]), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(wrong[i]);
    }
}

static void wiping(void **state)
{
    char secret[] = "secret";

    (void)state;
    pwhash_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_equal(secret[i], 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(known_answers),
        UNIT_TEST(no_character_is_idle),
        UNIT_TEST(a_hash_of_nothing),
        UNIT_TEST(an_empty_password_can_be_hashed),
        UNIT_TEST(passwords_that_look_odd),
        UNIT_TEST(refused),
        UNIT_TEST(limits_are_allowed),
        UNIT_TEST(made_and_checked),
        UNIT_TEST(not_made),
        UNIT_TEST(base64_there_and_back),
        UNIT_TEST(base64_is_strict),
        UNIT_TEST(base64_of_too_much),
        UNIT_TEST(on_many_threads),
        UNIT_TEST(wiping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
