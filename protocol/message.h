/*
 * The names of PostgreSQL's messages.
 *
 * One letter opens every message after the startup packet. The same letter may mean different things in the two
 * directions ('D' is Describe from a client and DataRow from a server), so each direction has its own names.
 *
 * Source: PostgreSQL manual, "Message Formats" and "Message Flow".
 */
#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

/* From the client (frontend). */
enum pg_frontend_type {
	PG_FRONTEND_BIND = 'B',
	PG_FRONTEND_CLOSE = 'C',
	PG_FRONTEND_COPY_DATA = 'd',
	PG_FRONTEND_COPY_DONE = 'c',
	PG_FRONTEND_COPY_FAIL = 'f',
	PG_FRONTEND_DESCRIBE = 'D',
	PG_FRONTEND_EXECUTE = 'E',
	PG_FRONTEND_FLUSH = 'H',
	PG_FRONTEND_FUNCTION_CALL = 'F',
	PG_FRONTEND_PARSE = 'P',
	PG_FRONTEND_PASSWORD = 'p', /* also SASLInitialResponse, SASLResponse, GSSResponse */
	PG_FRONTEND_QUERY = 'Q',
	PG_FRONTEND_SYNC = 'S',
	PG_FRONTEND_TERMINATE = 'X',
};

/* From the server (backend). */
enum pg_backend_type {
	PG_BACKEND_AUTHENTICATION = 'R',
	PG_BACKEND_BIND_COMPLETE = '2',
	PG_BACKEND_CANCEL_KEY = 'K', /* BackendKeyData */
	PG_BACKEND_CLOSE_COMPLETE = '3',
	PG_BACKEND_COMMAND_COMPLETE = 'C',
	PG_BACKEND_COPY_BOTH = 'W',
	PG_BACKEND_COPY_DATA = 'd',
	PG_BACKEND_COPY_DONE = 'c',
	PG_BACKEND_COPY_IN = 'G',
	PG_BACKEND_COPY_OUT = 'H',
	PG_BACKEND_DATA_ROW = 'D',
	PG_BACKEND_EMPTY_QUERY = 'I',
	PG_BACKEND_ERROR = 'E',
	PG_BACKEND_FUNCTION_RESULT = 'V',
	PG_BACKEND_NEGOTIATE_VERSION = 'v',
	PG_BACKEND_NO_DATA = 'n',
	PG_BACKEND_NOTICE = 'N',
	PG_BACKEND_NOTIFICATION = 'A',
	PG_BACKEND_PARAMETER_DESCRIPTION = 't',
	PG_BACKEND_PARAMETER_STATUS = 'S',
	PG_BACKEND_PARSE_COMPLETE = '1',
	PG_BACKEND_PORTAL_SUSPENDED = 's',
	PG_BACKEND_READY = 'Z', /* ReadyForQuery */
	PG_BACKEND_ROW_DESCRIPTION = 'T',
};

/* The status byte of ReadyForQuery. */
enum pg_transaction_status {
	PG_TRANSACTION_IDLE = 'I',
	PG_TRANSACTION_OPEN = 'T',
	PG_TRANSACTION_FAILED = 'E',
};

/* The code in an Authentication message. */
enum pg_authentication {
	PG_AUTH_OK = 0,
	PG_AUTH_CLEARTEXT = 3,
	PG_AUTH_MD5 = 5,
	PG_AUTH_GSS = 7,
	PG_AUTH_GSS_CONTINUE = 8,
	PG_AUTH_SSPI = 9,
	PG_AUTH_SASL = 10,
	PG_AUTH_SASL_CONTINUE = 11,
	PG_AUTH_SASL_FINAL = 12,
};

/* PostgreSQL's bound on the length of any message: MaxAllocSize less one. A longer one is refused by the server. */
#define PG_MESSAGE_LENGTH_MAX 0x3ffffffeu

/* The longest name of a database, role or setting, without its NUL: NAMEDATALEN less one. */
#define PG_NAME_BYTES_MAX 63

#endif
