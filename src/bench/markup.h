/*
 * Text inside HTML and SVG.
 */
#ifndef BENCH_MARKUP_H
#define BENCH_MARKUP_H

#include <stdio.h>

/* Writes a text so that it is text wherever it stands, inside quotes too. */
void markup_text(FILE *out, const char *text);

#endif
