-- What platforms can do, as the hub that started last says. Conversations show it, with the time until which
-- they can be answered.

-- reply_window: how long after the other side's last message free messages can be sent; NULL: always.
-- after_reply_window: the member of `platform` with which a message can still be sent then.
CREATE TABLE platforms (
  name text COLLATE "C" PRIMARY KEY,
  capabilities text NOT NULL,
  reply_window interval,
  after_reply_window text
);
GRANT SELECT, INSERT, UPDATE, DELETE ON platforms TO hub_writer;
GRANT SELECT ON platforms TO hub_reader;

-- Now made from the table above.
ALTER TABLE conversations DROP COLUMN capabilities, DROP COLUMN reply_window;

-- Two members of a conversation's document. PL/pgSQL because it keeps its plans, as in 0004. Only a window asks
-- for the other side's last message, and only when ours came after it.
CREATE FUNCTION conversation_limits(c conversations) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
  p platforms;
  v_at timestamptz;
BEGIN
  SELECT * INTO p FROM platforms x WHERE x.name = c.platform;
  IF p.reply_window IS NULL THEN
    RETURN ',"capabilities":' || coalesce(p.capabilities, 'null') || ',"replyWindow":null';
  END IF;
  IF c.last_direction = 0 THEN
    v_at := c.last_activity_at;
  ELSE
    SELECT m.sent_at INTO v_at FROM messages m
    WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id AND m.direction = 0
    ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT 1;
  END IF;
  RETURN ',"capabilities":' || p.capabilities || ',"replyWindow":{"openUntil":' || json_time(v_at + p.reply_window)
    || ',"after":' || json_text(p.after_reply_window) || '}';
END $$;
REVOKE EXECUTE ON FUNCTION conversation_limits FROM PUBLIC;
GRANT EXECUTE ON FUNCTION conversation_limits TO hub_writer, hub_reader;

CREATE OR REPLACE FUNCTION conversation_head(c conversations) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
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
  || conversation_limits($1)
  || ',"createdAt":' || json_time(($1).created_at)
$$;
