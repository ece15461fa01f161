/*
 * The version of pgweir.
 */
#ifndef POOLER_VERSION_H
#define POOLER_VERSION_H

#define PGWEIR_VERSION "0.1.0"

#endif
