/*
 * The outgoing messages of a persistence file in the order in which a flow can have them.
 */
#ifndef STORE_IMPORT_ROWS_H
#define STORE_IMPORT_ROWS_H

#include "store/import_tables.h"

/*
 * Leave out rows without client or message, and put the others in order: client by client, those
 * that have packet ids in front, their ids ascending. Sets begun and last_id of the clients.
 */
void import_settle_rows(struct import_tables *t);

#endif
