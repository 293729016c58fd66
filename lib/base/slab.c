/*
 * Blocks of one size, cut from aligned pages.
 *
 * A page knows its free blocks by a list that runs through them, and cuts new ones only when that
 * list is empty, so that memory which was never needed is never touched. Pages that just got a free
 * block go to the front of the list of partial pages: full pages fill up first and sparse ones get
 * the chance to become empty.
 */
#include "base/slab.h"

#include "base/asan.h"
#include "base/mem.h"

#include <assert.h>
#include <stdbool.h>

#define PAGE_ALIGN 16384
/*
 * A page leaves room for malloc's own header, else aligned pages could only stand at every
 * other place.
 */
#define PAGE_BYTES (PAGE_ALIGN - 2 * sizeof(size_t))
#define ALIGN_MOST 64
#define EMPTY_KEEP 2

struct slab_page {
    struct slab_page *next;
    struct slab_page **link; /* what points at us */
    struct slab *slab;
    void *free;    /* blocks given back; each begins with a pointer to the next */
    uint32_t used; /* blocks in use */
    uint32_t cut;  /* offset of the first byte that never was part of a block */
};

void slab_init(struct slab *s, size_t block)
{
    assert(block > 0 && block <= 2048);
    *s = (struct slab){.block = (uint32_t)((block + 7) & ~(size_t)7)};
}

static void list_push(struct slab_page **list, struct slab_page *page)
{
    page->next = *list;
    page->link = list;
    if (page->next)
        page->next->link = &page->next;
    *list = page;
}

static void list_remove(struct slab_page *page)
{
    *page->link = page->next;
    if (page->next)
        page->next->link = page->link;
}

static void page_free(struct slab_page *page)
{
    ASAN_UNPOISON(page, PAGE_BYTES);
    mem_free(page, PAGE_BYTES);
}

void slab_trim(struct slab *s)
{
    while (s->empty) {
        struct slab_page *page = s->empty;

        list_remove(page);
        page_free(page);
    }
    s->empty_count = 0;
}

void slab_clear(struct slab *s)
{
    assert(s->used == 0);
    slab_trim(s);
}

/* Offset of the first block: behind the page's header, aligned as the block size allows. */
static uint32_t first_cut(uint32_t block)
{
    uint32_t align = block & (~block + 1);

    if (align > ALIGN_MOST)
        align = ALIGN_MOST;
    return ((uint32_t)sizeof(struct slab_page) + align - 1) & ~(align - 1);
}

/* A page with free blocks for the list of partial pages, which has none. */
static struct slab_page *page_get(struct slab *s)
{
    struct slab_page *page = s->empty;

    if (page) {
        list_remove(page);
        s->empty_count--;
    } else {
        page = mem_alloc_aligned(PAGE_BYTES, PAGE_ALIGN);
        if (!page)
            return NULL;
        *page = (struct slab_page){.slab = s, .cut = first_cut(s->block)};
        ASAN_POISON(page + 1, PAGE_BYTES - sizeof(*page));
    }
    list_push(&s->partial, page);
    return page;
}

static bool page_full(const struct slab *s, const struct slab_page *page)
{
    return !page->free && page->cut + s->block > PAGE_BYTES;
}

void *slab_alloc(struct slab *s)
{
    struct slab_page *page = s->partial;
    void *block;

    if (UNLIKELY(!page)) {
        page = page_get(s);
        if (!page)
            return NULL;
    }
    block = page->free;
    if (block) {
        ASAN_UNPOISON(block, s->block);
        page->free = *(void **)block;
    } else {
        block = (char *)page + page->cut;
        ASAN_UNPOISON(block, s->block);
        page->cut += s->block;
    }
    page->used++;
    s->used++;
    if (UNLIKELY(page_full(s, page)))
        list_remove(page);
    return block;
}

/* The page has just become empty: keep it spare, or give it back. */
static void page_retire(struct slab *s, struct slab_page *page)
{
    list_remove(page);
    if (s->empty_count >= EMPTY_KEEP) {
        page_free(page);
        return;
    }
    list_push(&s->empty, page);
    s->empty_count++;
}

static struct slab_page *page_of(void *block)
{
    return (struct slab_page *)(void *)((char *)block - ((uintptr_t)block & (PAGE_ALIGN - 1)));
}

void slab_return(void *block)
{
    slab_free(page_of(block)->slab, block);
}

void slab_free(struct slab *s, void *block)
{
    struct slab_page *page = page_of(block);

    assert(s->used > 0 && page->used > 0 && page->slab == s);
    if (UNLIKELY(page_full(s, page)))
        list_push(&s->partial, page);
    *(void **)block = page->free;
    page->free = block;
    ASAN_POISON(block, s->block);
    page->used--;
    s->used--;
    if (UNLIKELY(page->used == 0))
        page_retire(s, page);
}
