-- Who somebody is: the best that was ever said. A message that names its sender by id only, or has no picture,
-- takes nothing away from what an earlier one said.

COMMENT ON COLUMN participants.name IS 'from the newest of the participant''s messages that has a name';
COMMENT ON COLUMN participants.avatar IS 'from the newest of the participant''s messages that has one';

-- Brings the participants up to date with new inbound messages: t_*, one element for each message, name and
-- avatar null where it has none. Name and avatar are each those of the newest message that has one, in whatever
-- order they come. What no new message has is not looked for.
CREATE OR REPLACE FUNCTION note_senders(
  t_tenant text[], t_conversation uuid[], t_id text[], t_name text[], t_avatar text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN
    WITH senders AS (
      SELECT t.tenant, t.conversation, t.id, bool_or(t.name IS NOT NULL) AS has_name,
        bool_or(t.avatar IS NOT NULL) AS has_avatar
      FROM unnest(t_tenant, t_conversation, t_id, t_name, t_avatar) AS t(tenant, conversation, id, name, avatar)
      GROUP BY t.tenant, t.conversation, t.id),
    named AS (
      SELECT s.tenant, s.conversation, s.id,
        CASE WHEN s.has_name THEN (
          SELECT m.sender_name FROM messages m
          WHERE m.tenant_id = s.tenant AND m.conversation_id = s.conversation AND m.sender_id = s.id
            AND m.direction = 0 AND m.sender_name IS NOT NULL
          ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT 1) END AS name,
        CASE WHEN s.has_avatar THEN (
          SELECT m.sender_avatar FROM messages m
          WHERE m.tenant_id = s.tenant AND m.conversation_id = s.conversation AND m.sender_id = s.id
            AND m.direction = 0 AND m.sender_avatar IS NOT NULL
          ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT 1) END AS avatar
      FROM senders s),
    changed AS (
      INSERT INTO participants AS p (tenant_id, conversation_id, id, name, avatar)
      SELECT n.tenant, n.conversation, n.id, n.name, n.avatar FROM named n
      ON CONFLICT (tenant_id, conversation_id, id) DO UPDATE
        SET name = coalesce(excluded.name, p.name), avatar = coalesce(excluded.avatar, p.avatar)
        WHERE (p.name, p.avatar)
          IS DISTINCT FROM (coalesce(excluded.name, p.name), coalesce(excluded.avatar, p.avatar))
      RETURNING p.tenant_id, p.conversation_id)
    SELECT DISTINCT c.tenant_id, c.conversation_id FROM changed c
  LOOP
    PERFORM refresh_participants(r.tenant_id, r.conversation_id);
  END LOOP;
END $$;

-- The conversation goes on under another platform id. Both ids can be known already as two conversations:
-- then the newer becomes part of the older (by id), nothing is lost: message ids are unique within their
-- origin. Returns null, or the conversations as they were: (kept, gone or null).
-- The caller holds the locks of both.
CREATE OR REPLACE FUNCTION migrate_conversation(
  tenant text, account uuid, from_id uuid, from_ext text, to_id uuid, to_ext text,
  OUT kept uuid, OUT gone uuid, OUT u_users text[], OUT u_deltas integer[]
) LANGUAGE plpgsql AS $$
DECLARE
  v_gone conversations;
  v_to text;
BEGIN
  IF from_id = to_id THEN RETURN; END IF;
  IF to_id IS NULL THEN
    UPDATE conversations c SET external_id = to_ext
    WHERE c.tenant_id = tenant AND c.id = from_id AND c.external_id = from_ext;
    INSERT INTO conversation_aliases (tenant_id, account_id, external_id, conversation_id)
    VALUES (tenant, account, CASE WHEN FOUND THEN from_ext ELSE to_ext END, from_id);
    kept := from_id;
    RETURN;
  END IF;
  IF from_id IS NULL THEN
    INSERT INTO conversation_aliases (tenant_id, account_id, external_id, conversation_id)
    VALUES (tenant, account, from_ext, to_id);
    kept := to_id;
    RETURN;
  END IF;

  kept := least(from_id, to_id);
  gone := greatest(from_id, to_id);
  SELECT c.external_id INTO v_to FROM conversations c WHERE c.tenant_id = tenant AND c.id = to_id;
  SELECT * INTO v_gone FROM conversations c WHERE c.tenant_id = tenant AND c.id = gone;
  DELETE FROM conversations c WHERE c.tenant_id = tenant AND c.id = gone;
  UPDATE conversation_aliases a SET conversation_id = kept
  WHERE a.tenant_id = tenant AND a.conversation_id = gone;
  INSERT INTO conversation_aliases (tenant_id, account_id, external_id, conversation_id)
  SELECT tenant, account, x, kept
  FROM (
    SELECT v_gone.external_id AS x
    UNION SELECT c.external_id FROM conversations c WHERE c.tenant_id = tenant AND c.id = kept) s
  WHERE x <> v_to;
  UPDATE messages m SET conversation_id = kept WHERE m.tenant_id = tenant AND m.conversation_id = gone;
  UPDATE pending_changes p SET conversation_id = kept WHERE p.tenant_id = tenant AND p.conversation_id = gone;

  INSERT INTO participants AS p (
    tenant_id, conversation_id, id, name, avatar, joined_name, active, member_at, member_order)
  SELECT g.tenant_id, kept, g.id, g.name, g.avatar, g.joined_name, g.active, g.member_at, g.member_order
  FROM participants g WHERE g.tenant_id = tenant AND g.conversation_id = gone
  ON CONFLICT (tenant_id, conversation_id, id) DO UPDATE
    SET joined_name = excluded.joined_name, active = excluded.active, member_at = excluded.member_at,
      member_order = excluded.member_order
    WHERE excluded.member_at IS NOT NULL AND (p.member_at IS NULL
      OR (excluded.member_at, excluded.member_order) > (p.member_at, p.member_order));
  DELETE FROM participants g WHERE g.tenant_id = tenant AND g.conversation_id = gone;
  UPDATE participants p SET name = l.names[1], avatar = l.avatars[1]
  FROM (
    SELECT m.sender_id,
      array_agg(m.sender_name ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC)
        FILTER (WHERE m.sender_name IS NOT NULL) AS names,
      array_agg(m.sender_avatar ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC)
        FILTER (WHERE m.sender_avatar IS NOT NULL) AS avatars
    FROM messages m
    WHERE m.tenant_id = tenant AND m.conversation_id = kept AND m.direction = 0 AND m.sender_id IS NOT NULL
    GROUP BY m.sender_id) l
  WHERE p.tenant_id = tenant AND p.conversation_id = kept AND p.id = l.sender_id;

  UPDATE conversations c SET
    external_id = v_to,
    kind = CASE WHEN to_id = gone AND v_gone.kind <> 'unknown' OR c.kind = 'unknown' THEN v_gone.kind ELSE c.kind END,
    title = CASE WHEN later.wins THEN v_gone.title ELSE c.title END,
    title_at = CASE WHEN later.wins THEN v_gone.title_at ELSE c.title_at END,
    title_order = CASE WHEN later.wins THEN v_gone.title_order ELSE c.title_order END,
    state = CASE WHEN 'open' IN (c.state, v_gone.state) THEN 'open' ELSE c.state END,
    last_message_id = l.id, last_activity_at = l.sent_at, last_order = l.order_hint, last_kind = l.kind,
    last_direction = l.direction, last_preview = CASE WHEN l.deleted_at IS NULL THEN l.preview END,
    last_sender_id = l.sender_id, last_sender_name = l.sender_name,
    pending_count = c.pending_count + v_gone.pending_count
  FROM (SELECT 1) one
  LEFT JOIN LATERAL (
    SELECT m.* FROM messages m WHERE m.tenant_id = tenant AND m.conversation_id = kept
    ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT 1) l ON true
  CROSS JOIN LATERAL (
    SELECT v_gone.title_at IS NOT NULL AND (o.title_at IS NULL
      OR (v_gone.title_at, v_gone.title_order, v_gone.title) > (o.title_at, o.title_order, o.title)) AS wins
    FROM conversations o WHERE o.tenant_id = tenant AND o.id = kept) later
  WHERE c.tenant_id = tenant AND c.id = kept;
  PERFORM refresh_participants(tenant, kept);
  IF v_gone.peer_read_at IS NOT NULL THEN
    PERFORM apply_peer_read(c, v_gone.peer_read_at, v_gone.peer_read_order)
    FROM conversations c WHERE c.tenant_id = tenant AND c.id = kept;
  END IF;
  UPDATE messages m SET status = 'read'
  FROM conversations c
  WHERE c.tenant_id = tenant AND c.id = kept AND m.tenant_id = tenant AND m.conversation_id = kept
    AND m.direction = 1 AND m.status IS DISTINCT FROM 'read'
    AND (m.sent_at, m.order_hint) <= (c.peer_read_at, c.peer_read_order);

  -- The later read position of the two counts; unread is counted anew behind it.
  WITH pos AS (
    SELECT DISTINCT ON (s.user_id) s.user_id, s.read_at, s.read_order, s.read_id,
      sum(s.unread_count) OVER (PARTITION BY s.user_id) AS before
    FROM memberships s WHERE s.tenant_id = tenant AND s.conversation_id IN (kept, gone)
    ORDER BY s.user_id, s.read_at DESC NULLS LAST, s.read_order DESC, s.read_id DESC),
  counted AS (
    UPDATE memberships s SET read_at = p.read_at, read_order = p.read_order, read_id = p.read_id,
      unread_count = count_unread(tenant, kept, p.read_at, p.read_order, p.read_id)
    FROM pos p WHERE s.tenant_id = tenant AND s.conversation_id = kept AND s.user_id = p.user_id
    RETURNING s.user_id, (s.unread_count - p.before)::integer AS delta)
  SELECT array_agg(user_id), array_agg(delta) INTO u_users, u_deltas FROM counted;
  DELETE FROM memberships s WHERE s.tenant_id = tenant AND s.conversation_id = gone;
END $$;

-- reaction {op: 'add'|'remove'|'replace', emoji: [..], actor: {id, name}}; replace: exactly these from now on. Of the
-- same change with and without the actor's name the one with it stays.
CREATE OR REPLACE FUNCTION apply_reaction(m messages, at timestamptz, ord bigint, body text) RETURNS change_effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_body json := body;
  v_op text := v_body ->> 'op';
  v_actor text := v_body -> 'actor' ->> 'id';
  v_name text := v_body -> 'actor' ->> 'name';
  v_at timestamptz := apply_reaction.at;
  v_ord bigint := apply_reaction.ord;
  v_emoji text[];
  v_shown text;
BEGIN
  v_actor := coalesce(v_actor, '');
  v_emoji := ARRAY(SELECT DISTINCT x FROM json_array_elements_text(
    CASE json_typeof(v_body -> 'emoji') WHEN 'array' THEN v_body -> 'emoji'
      WHEN 'string' THEN json_build_array(v_body ->> 'emoji') ELSE '[]' END) AS x WHERE x <> '');
  -- Older than the actor's last whole replacement: it was overwritten before it came.
  PERFORM 1 FROM reactions r
  WHERE r.tenant_id = m.tenant_id AND r.message_id = m.id AND r.actor_id = v_actor AND r.emoji = ''
    AND (r.at, r.ord) > (v_at, v_ord);
  IF FOUND THEN RETURN ROW('none', NULL, NULL, NULL)::change_effect; END IF;

  IF v_op = 'replace' THEN
    DELETE FROM reactions r
    WHERE r.tenant_id = m.tenant_id AND r.message_id = m.id AND r.actor_id = v_actor
      AND (r.at, r.ord) < (v_at, v_ord);
    INSERT INTO reactions (tenant_id, message_id, actor_id, emoji, actor_name, active, at, ord)
    VALUES (m.tenant_id, m.id, v_actor, '', v_name, false, v_at, v_ord)
    ON CONFLICT DO NOTHING;
  END IF;
  INSERT INTO reactions AS r (tenant_id, message_id, actor_id, emoji, actor_name, active, at, ord)
  SELECT m.tenant_id, m.id, v_actor, x, v_name, v_op <> 'remove', v_at, v_ord FROM unnest(v_emoji) AS x
  ON CONFLICT (tenant_id, message_id, actor_id, emoji) DO UPDATE
    SET active = excluded.active, at = excluded.at, ord = excluded.ord, actor_name = excluded.actor_name
    WHERE (excluded.at, excluded.ord, excluded.active, coalesce(excluded.actor_name, ''))
      > (r.at, r.ord, r.active, coalesce(r.actor_name, ''));

  SELECT '[' || string_agg(
      '{"emoji":' || to_json(g.emoji)::text || ',"count":' || g.n || ',"actors":' || g.actors || '}', ','
      ORDER BY g.first_at, g.first_ord, g.emoji) || ']'
  INTO v_shown
  FROM (
    SELECT r.emoji, count(*) AS n, min(r.at) AS first_at, min(r.ord) AS first_ord,
      '[' || string_agg('{"id":' || to_json(r.actor_id)::text || ',"name":' || json_text(r.actor_name) || '}', ','
        ORDER BY r.at, r.ord, r.actor_id) || ']' AS actors
    FROM reactions r
    WHERE r.tenant_id = m.tenant_id AND r.message_id = m.id AND r.active
    GROUP BY r.emoji) g;
  IF v_shown IS NOT DISTINCT FROM m.reactions THEN RETURN ROW('none', NULL, NULL, NULL)::change_effect; END IF;
  UPDATE messages SET reactions = v_shown WHERE tenant_id = m.tenant_id AND id = m.id;
  RETURN ROW(CASE WHEN m.deleted_at IS NULL THEN 'message' ELSE 'none' END, ARRAY[m.id], NULL, NULL)::change_effect;
END $$;
