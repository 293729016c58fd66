/*
 * A file that is there as a whole or not at all. It is opened before it is needed, so that nobody
 * measures for an hour and then learns that the directory is wrong.
 */
#ifndef BENCH_PAGE_FILE_H
#define BENCH_PAGE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/error.h"

struct page_file {
    FILE *out;       /* NULL: none is open */
    char *path;      /* where it shall be */
    char *temporary; /* where it is until then; NULL: it is written in place (a device, a pipe) */
};

bool page_file_open(struct page_file *f, const char *path, struct bench_error *error);

/* Puts it in its place; whatever stood there is replaced. False: nothing has changed there. */
bool page_file_keep(struct page_file *f, struct bench_error *error);

#endif
