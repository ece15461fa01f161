#include "pooler/console/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/build.h"

#define MESSAGE_BYTES 512

struct session *session_create(struct process *process, uint64_t client_id)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->process = process;
	session->client_id = client_id;
	list_init(&session->statements);
	list_init(&session->portals);
	list_init(&session->wait.node);
	pg_buffer_init(&session->out);
	return session;
}

void session_free(struct session *session)
{
	snapshot_forget(&session->wish);
	admin_wait_forget(&session->wait);
	session_drop_all(session, &session->statements);
	session_drop_all(session, &session->portals);
	pg_buffer_clear(&session->out);
	free(session->text);
	free(session);
}

bool session_fail(struct session *session, const char *sqlstate, const char *detail, const char *hint,
		  const char *format, ...)
{
	char message[MESSAGE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	pg_build_error(&session->out, &(struct pg_report){ "ERROR", sqlstate, message, detail, hint });
	return false;
}

void session_notice(struct session *session, const char *message)
{
	pg_build_notice(&session->out, &(struct pg_report){ "NOTICE", "00000", message, NULL, NULL });
}

void session_complete(struct session *session, const char *tag)
{
	pg_build_command_complete(&session->out, tag);
}

void session_end_rows(struct session *session, size_t start)
{
	struct pg_buffer *out = &session->out;
	struct prepared *portal = session->portal;
	uint32_t count = 0;

	if (!portal || session->most_rows == 0 || out->failed) {
		session_complete(session, "SHOW");
		return;
	}
	size_t first = result_first_rows(out->data + start, out->length - start, session->most_rows, &count);
	portal->suspended = count == session->most_rows;
	if (!portal->suspended) {
		session_complete(session, "SHOW");
		return;
	}
	pg_buffer_put_bytes(&portal->rest, out->data + start + first, out->length - start - first);
	out->failed = out->failed || portal->rest.failed;
	out->length = start + first;
	pg_build_bare(out, PG_BACKEND_PORTAL_SUSPENDED);
}

struct prepared *session_find(struct list *list, const char *name)
{
	struct list *it, *spare;

	list_each(it, spare, list) {
		struct prepared *prepared = list_entry(it, struct prepared, node);
		if (strcmp(prepared->name, name) == 0)
			return prepared;
	}
	return NULL;
}

struct prepared *session_prepare(struct session *session, struct list *list, const char *name, const char *text)
{
	size_t name_bytes = strlen(name) + 1;
	size_t text_bytes = strlen(text) + 1;
	struct prepared *old = session_find(list, name);

	if (old)
		session_drop(session, old);
	if (session->prepared_count >= SESSION_PREPARED_MAX ||
	    session->prepared_bytes + name_bytes + text_bytes > SESSION_PREPARED_BYTES_MAX) {
		session_fail(session, "54000", NULL, "DEALLOCATE ALL drops them.",
			     "too many prepared statements in this session");
		return NULL;
	}
	struct prepared *made = calloc(1, sizeof(*made) + name_bytes + text_bytes);
	if (!made) {
		session_fail(session, "53200", NULL, NULL, "out of memory");
		return NULL;
	}
	pg_buffer_init(&made->rest);
	memcpy(made->memory, name, name_bytes);
	memcpy(made->memory + name_bytes, text, text_bytes);
	made->name = made->memory;
	made->text = made->memory + name_bytes;
	made->bytes = name_bytes + text_bytes;
	session->prepared_count++;
	session->prepared_bytes += made->bytes;
	list_append(list, &made->node);
	return made;
}

void session_drop(struct session *session, struct prepared *prepared)
{
	session->prepared_count--;
	session->prepared_bytes -= prepared->bytes;
	list_remove(&prepared->node);
	pg_buffer_clear(&prepared->rest);
	free(prepared);
}

void session_drop_all(struct session *session, struct list *list)
{
	while (!list_is_empty(list))
		session_drop(session, list_entry(list->next, struct prepared, node));
}
