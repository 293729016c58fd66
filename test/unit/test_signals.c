/*
 * Signals that come before anybody reads them.
 */
#include "server/signals.h"
#include "unit/unit.h"

#include <signal.h>
#include <unistd.h>

static void what_comes_during_the_start_waits(void **state)
{
    int fd = -1;

    (void)state;
    signals_hold();
    assert_int_equal(raise(SIGHUP), 0);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(signals_open(&fd), ERR_OK);
    assert_int_equal(signals_next(fd), SIGNAL_RELOAD);
    assert_int_equal(signals_next(fd), SIGNAL_SAVE);
    assert_int_equal(signals_next(fd), SIGNAL_NONE);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(what_comes_during_the_start_waits)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
