/*
 * The release. Nothing else says it.
 */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#define MOSQUITTO_VERSION "0.1.0"

#endif
