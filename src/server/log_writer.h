/*
 * One destination of log lines, and the thread that waits for it.
 *
 * A disk may be slow, a pipe without reader, syslog without anybody who listens: whoever writes
 * there may wait for ever. So the loop only copies each line into a ring, and a thread of the
 * destination's own takes them from there. Lines that the ring has no room for are dropped, and a
 * line in their place tells how many. What a destination refuses (a full disk) is tried again until
 * it is taken.
 *
 * Until log_writer_start there is no thread, and lines are written at once: the process may still
 * fork, and whoever starts a broker wants to see all of it.
 *
 * All but the thread itself is called from the loop's thread.
 */
#ifndef SERVER_LOG_WRITER_H
#define SERVER_LOG_WRITER_H

#include "base/err.h"
#include "server/log_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_writer;

/* `owned`: the descriptor is closed with the writer. NULL without memory. */
MUST_CHECK struct log_writer *log_writer_new(int fd, bool owned, const struct log_style *style);
/* To syslog. */
MUST_CHECK struct log_writer *log_writer_new_syslog(const struct log_style *style);
/* From here on a thread writes. ERR_NOMEM, or ERR_SYSTEM (errno): it goes on without. */
MUST_CHECK enum err log_writer_start(struct log_writer *w);

/* The style of what the writer itself has to say. */
void log_writer_set_style(struct log_writer *w, const struct log_style *style);
/* `priority` with the facility; for syslog. With a thread the line waits for log_writer_publish. */
void log_writer_put(struct log_writer *w, int priority, const struct log_text *line);
/* What was put is the thread's now. */
void log_writer_publish(struct log_writer *w);
/* Go on with this descriptor in the place of the owned one; takes it. */
void log_writer_reopen(struct log_writer *w, int fd);
int log_writer_fd(const struct log_writer *w);
/* Lines that were dropped so far. */
uint64_t log_writer_lost(struct log_writer *w);

/* No more lines will come: write those that wait, for so long at most, then be done. */
void log_writer_finish(struct log_writer *w, unsigned timeout_ms);
/* Is it done? */
bool log_writer_is_done(struct log_writer *w);
/*
 * Frees a writer. One that is not done yet is waited for as long as log_writer_finish said; but
 * what it is refused now is not tried again. A thread that hangs in the system even then is left
 * behind: the process is about to end.
 */
void log_writer_free(struct log_writer *w);

#endif
