/*
 * While a connection has a job, its input waits, with the packet at its front.
 */
#include "core/job.h"

#include "base/mem.h"

enum err job_begin(struct conn *c, uint32_t codes)
{
    struct conn_job *job = mem_zalloc(sizeof(*job));

    if (!job)
        return ERR_NOMEM;
    if (codes > 0 && buf_reserve_exact(&job->codes, codes)) {
        mem_free(job, sizeof(*job));
        return ERR_NOMEM;
    }
    c->job = job;
    return ERR_OK;
}

void job_end(struct broker *b, struct conn *c)
{
    if (!c->job)
        return;
    if (c->job->walk)
        trie_walk_free(&b->trie, c->job->walk);
    buf_clear(&c->job->codes);
    mem_free(c->job, sizeof(*c->job));
    c->job = NULL;
}
