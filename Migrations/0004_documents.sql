-- The JSON documents that clients see, made here and nowhere else: camelCase, times in RFC 3339 UTC with
-- milliseconds, ids as strings.
--
-- The functions are single expressions over one row and all STABLE, so the planner puts them into the
-- calling query and a document costs no call. Concatenation is several times faster than json_build_object. Values that a
-- stranger can choose go through to_json; kind, platform and the states are the hub's own words.

CREATE FUNCTION json_time(t timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(to_char($1 AT TIME ZONE 'UTC', '"\""YYYY-MM-DD"T"HH24:MI:SS.MS"Z\""'), 'null') $$;

CREATE FUNCTION json_text(t text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(to_json($1)::text, 'null') $$;

-- A message. reply_id: our id of the message that it answers, when we have it.
-- A deleted message shows no content; the row keeps it.
CREATE FUNCTION message_json(m messages, reply_id uuid) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT '{"id":"' || ($1).id || '","conversationId":"' || ($1).conversation_id
  || '","accountId":"' || ($1).account_id || '","platform":"' || ($1).platform
  || CASE ($1).direction WHEN 0 THEN '","direction":"inbound' ELSE '","direction":"outbound' END
  || '","kind":"' || ($1).kind
  || '","text":' || CASE WHEN ($1).deleted_at IS NULL THEN json_text(($1).text) ELSE 'null' END
  || ',"sender":' || CASE WHEN ($1).sender_id IS NULL AND ($1).sender_name IS NULL THEN 'null' ELSE
       '{"id":' || json_text(($1).sender_id) || ',"name":' || json_text(($1).sender_name)
       || coalesce(',"avatar":' || to_json(($1).sender_avatar)::text, '') || '}' END
  || ',"attachments":' || CASE WHEN ($1).deleted_at IS NULL THEN coalesce(($1).attachments, '[]') ELSE '[]' END
  || ',"replyTo":' || CASE WHEN ($1).reply_external_id IS NULL THEN 'null' ELSE
       '{' || coalesce('"id":"' || $2 || '",', '') || '"externalId":' || json_text(($1).reply_external_id) || '}' END
  || ',"threadId":' || json_text(($1).thread_id)
  || ',"reactions":' || coalesce(($1).reactions, '[]')
  || ',"status":' || coalesce('"' || ($1).status || '"', 'null')
  || coalesce(',"statusReason":' || to_json(($1).status_reason)::text, '')
  || ',"sentAt":' || json_time(($1).sent_at) || ',"receivedAt":' || json_time(($1).received_at)
  || ',"editedAt":' || json_time(($1).edited_at) || ',"deletedAt":' || json_time(($1).deleted_at)
  || ',"version":' || ($1).version || ',"externalId":' || json_text(($1).external_id)
  || ',"details":' || CASE WHEN ($1).deleted_at IS NULL THEN coalesce(($1).details, 'null') ELSE 'null' END
  || '}'
$$;

-- The part of a conversation that is the same for everybody, without the closing brace.
CREATE FUNCTION conversation_head(c conversations) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT '{"id":"' || ($1).id || '","accountId":"' || ($1).account_id || '","platform":"' || ($1).platform
  || '","kind":"' || ($1).kind || '","title":' || json_text(($1).title)
  || ',"state":"' || ($1).state || '","snoozedUntil":' || json_time(($1).snoozed_until)
  || ',"assigneeId":' || json_text(($1).assignee_id)
  || ',"labels":' || CASE WHEN ($1).labels = '{}' THEN '[]' ELSE array_to_json(($1).labels)::text END
  || ',"priority":' || json_text(($1).priority)
  || ',"lastMessage":' || CASE WHEN ($1).last_message_id IS NULL THEN 'null' ELSE
       '{"id":"' || ($1).last_message_id || '","preview":' || json_text(($1).last_preview)
       || ',"kind":"' || ($1).last_kind
       || CASE ($1).last_direction WHEN 0 THEN '","direction":"inbound' ELSE '","direction":"outbound' END
       || '","sender":' || CASE WHEN ($1).last_sender_id IS NULL AND ($1).last_sender_name IS NULL THEN 'null'
            ELSE '{"id":' || json_text(($1).last_sender_id) || ',"name":' || json_text(($1).last_sender_name) || '}' END
       || ',"sentAt":' || json_time(($1).last_activity_at) || '}' END
  || ',"lastActivityAt":' || json_time(($1).last_activity_at)
  || ',"participants":' || ($1).participants || ',"participantCount":' || ($1).participant_count
  || ',"externalId":' || json_text(($1).external_id)
  || ',"capabilities":' || coalesce(($1).capabilities, 'null')
  || ',"replyWindow":' || coalesce(($1).reply_window, 'null')
  || ',"createdAt":' || json_time(($1).created_at)
$$;

-- What differs from user to user, with the closing brace.
CREATE FUNCTION conversation_tail(unread integer, muted boolean) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT ',"unreadCount":' || $1::text || CASE WHEN $2 THEN ',"muted":true}' ELSE ',"muted":false}' END $$;

-- An account, without its secrets.
CREATE FUNCTION account_json(a accounts) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT '{"id":"' || ($1).id || '","platform":"' || ($1).platform || '","name":' || json_text(($1).name)
  || ',"ownerId":' || json_text(($1).owner_id) || ',"accountKey":' || json_text(($1).key)
  || ',"state":"' || ($1).state || '","stateReason":' || json_text(($1).state_reason)
  || ',"stateAction":' || json_text(($1).state_action) || ',"externalId":' || json_text(($1).external_id)
  || ',"settings":' || ($1).settings::text
  || ',"createdAt":' || json_time(($1).created_at) || ',"updatedAt":' || json_time(($1).updated_at)
  || ',"deletedAt":' || json_time(($1).deleted_at) || '}'
$$;

-- The next two are PL/pgSQL because it keeps its plans: a SQL function that is not inlined is planned anew in
-- every statement that calls it.

-- {"unreadCounts":{platform:n},"totalUnread":n} of one user.
CREATE FUNCTION unread_json(tenant text, usr text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT '{"unreadCounts":{'
      || coalesce(string_agg('"' || u.platform || '":' || u.unread, ',' ORDER BY u.platform), '')
      || '},"totalUnread":' || coalesce(sum(u.unread), 0) || '}'
    FROM user_unread u WHERE u.tenant_id = $1 AND u.user_id = $2 AND u.unread <> 0);
END $$;

-- Our id of a message that another one answers.
CREATE FUNCTION reply_id(m messages) RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT r.id FROM messages r
    WHERE r.tenant_id = ($1).tenant_id AND r.conversation_id = ($1).conversation_id
      AND r.external_id = ($1).reply_external_id AND r.origin = ($1).origin);
END $$;
