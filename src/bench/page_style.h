/*
 * How a page looks: in the light and in the dark, on wide and on narrow screens.
 */
#ifndef BENCH_PAGE_STYLE_H
#define BENCH_PAGE_STYLE_H

extern const char page_style[];

#endif
