/*
 * Options of what is kept on disk.
 */
#include "conf/rows.h"

static const struct option_word sync_modes[] = {
    {"write", 0, WORD_ASSIGNS}, {"fsync", 1, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

static const struct option_word recover_modes[] = {
    {"strict", 0, WORD_ASSIGNS}, {"salvage", 1, WORD_ASSIGNS}, {NULL, 0, WORD_ADDS}};

static const struct conf_option rows[] = {
    {
        .name = "persistence",
        .alias = "retained_persistence",
        .since = "1.4",
        .type = OPTION_BOOL,
        GLOBAL(persistence),
        .needs = FEATURE_PERSISTENCE,
        .as_is = "false",
        .flags = OPT_STOPS,
        .doc = "Store sessions, subscriptions, queued and retained messages on disk before they "
               "are acknowledged, so that they survive the broker.",
    },
    {
        .name = "persistence_location",
        .since = "1.4",
        .type = OPTION_TEXT,
        GLOBAL(persistence_location),
        .max = 4000,
        .needs = FEATURE_PERSISTENCE,
        .doc = "Directory of the store; it is made if only its last component is missing.",
    },
    {
        .name = "persistence_file",
        .since = "1.4",
        .type = OPTION_TEXT,
        GLOBAL(persistence_file),
        .max = 200,
        .text = "mosquitto.db",
        .needs = FEATURE_PERSISTENCE,
        .doc = "Name of the store: it is a directory of this name with .journal behind it.",
    },
    {
        .name = "persistence_sync",
        .since = "ours",
        .type = OPTION_CHOICE,
        GLOBAL(persistence_fsync),
        .words = sync_modes,
        .needs = FEATURE_PERSISTENCE,
        .doc = "What comes before an acknowledgement: that the system has taken the data (write) "
               "or that the disk has them (fsync).",
    },
    {
        .name = "persistence_sync_interval",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(persistence_sync_interval),
        .min = 1,
        .max = 3600,
        .fallback = 1,
        .unit = "seconds",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD,
        .doc = "With persistence_sync write, have the disk take what was written so often.",
    },
    {
        .name = "persistence_segment_size",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(persistence_segment_size),
        .min = 64 << 10,
        .max = 1 << 30,
        .fallback = 32 << 20,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_SIZE,
        .doc = "Size at which a file of the store is followed by the next.",
    },
    {
        .name = "persistence_max_size",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(persistence_max_size),
        .min = 1 << 20,
        .max = INT64_MAX,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD | OPT_SIZE | OPT_ZERO,
        .doc = "Size of the whole store above which publishers are paused, as on a full disk, "
               "until readers have taken enough; 0 means no limit.",
    },
    {
        .name = "persistence_max_unsynced",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(persistence_max_unsynced),
        .min = 64 << 10,
        .max = INT64_MAX,
        .fallback = 64 << 20,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Publishers are paused while more than this waits in memory to be stored.",
    },
    {
        .name = "persistence_memory_limit",
        .since = "ours",
        .type = OPTION_INT,
        GLOBAL(persistence_memory_limit),
        .max = INT64_MAX,
        .unit = "bytes",
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD | OPT_SIZE,
        .doc = "Memory that queued messages may take; those above it are on disk only until it is "
               "their turn; 0 means no limit.",
    },
    {
        .name = "persistence_recover",
        .since = "ours",
        .type = OPTION_CHOICE,
        GLOBAL(persistence_salvage),
        .words = recover_modes,
        .needs = FEATURE_PERSISTENCE,
        .flags = OPT_RELOAD,
        .doc = "What to do at the start with a damaged store: refuse to start (strict) or keep all "
               "that can be read and a copy of the damaged files (salvage).",
    },
    {
        .name = "persistent_client_expiration",
        .since = "1.4",
        .type = OPTION_PERIOD,
        GLOBAL(persistent_client_expiration_s),
        .flags = OPT_RELOAD,
        .doc = "Drop the session of a client that has been away for so long.",
    },
};

const struct option_rows options_storage = {rows, ARRAY_SIZE(rows)};
