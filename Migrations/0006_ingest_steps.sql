-- The steps of ingest that only some groups need: migration of a conversation, senders, upgrades of unsupported
-- messages, and the events of a group with changes.

-- The conversation goes on under another platform id. Both ids can be known already as two conversations:
-- then the newer becomes part of the older (by id), nothing is lost: message ids are unique within their
-- origin. Returns null, or the conversations as they were: (kept, gone or null).
-- The caller holds the locks of both.
CREATE FUNCTION migrate_conversation(
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
  UPDATE participants p SET name = l.sender_name, avatar = l.sender_avatar
  FROM (
    SELECT DISTINCT ON (m.sender_id) m.sender_id, m.sender_name, m.sender_avatar FROM messages m
    WHERE m.tenant_id = tenant AND m.conversation_id = kept AND m.direction = 0 AND m.sender_id IS NOT NULL
    ORDER BY m.sender_id, m.sent_at DESC, m.order_hint DESC, m.id DESC) l
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

-- Inbound messages that are not deleted, behind a read position (null: all).
CREATE FUNCTION count_unread(tenant text, conversation uuid, at timestamptz, ord bigint, id uuid)
RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF $3 IS NULL THEN
    RETURN (SELECT count(*) FROM messages m
      WHERE m.tenant_id = $1 AND m.conversation_id = $2 AND m.direction = 0 AND m.deleted_at IS NULL);
  END IF;
  RETURN (SELECT count(*) FROM messages m
    WHERE m.tenant_id = $1 AND m.conversation_id = $2 AND m.direction = 0 AND m.deleted_at IS NULL
      AND (m.sent_at, m.order_hint, m.id) > ($3, $4, $5));
END $$;

-- Brings the participants up to date with new inbound messages: t_*, one element for each message.
-- A participant's name is that of the newest message, in whatever order they come.
CREATE FUNCTION note_senders(t_tenant text[], t_conversation uuid[], t_id text[], t_name text[], t_avatar text[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN
    WITH senders AS (
      SELECT DISTINCT t.tenant, t.conversation, t.id FROM unnest(t_tenant, t_conversation, t_id)
        AS t(tenant, conversation, id)),
    named AS (
      SELECT s.tenant, s.conversation, s.id, l.sender_name, l.sender_avatar
      FROM senders s CROSS JOIN LATERAL (
        SELECT m.sender_name, m.sender_avatar FROM messages m
        WHERE m.tenant_id = s.tenant AND m.conversation_id = s.conversation AND m.sender_id = s.id
          AND m.direction = 0
        ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT 1) l),
    changed AS (
      INSERT INTO participants AS p (tenant_id, conversation_id, id, name, avatar)
      SELECT n.tenant, n.conversation, n.id, n.sender_name, n.sender_avatar FROM named n
      ON CONFLICT (tenant_id, conversation_id, id) DO UPDATE
        SET name = excluded.name, avatar = excluded.avatar
        WHERE (p.name, p.avatar) IS DISTINCT FROM (excluded.name, excluded.avatar)
      RETURNING p.tenant_id, p.conversation_id)
    SELECT DISTINCT c.tenant_id, c.conversation_id FROM changed c
  LOOP
    PERFORM refresh_participants(r.tenant_id, r.conversation_id);
  END LOOP;
END $$;

-- Gives messages that were stored as 'unsupported' the content that a later parser read from the same
-- platform message. One that was edited since keeps the edit; its original version is upgraded.
-- Returns the ids of the changed messages.
CREATE FUNCTION upgrade_unsupported(
  i_tenant text[], i_conversation uuid[], i_origin text[], i_external text[], i_kind text[], i_text text[],
  i_attachments text[], i_details text[], i_preview text[]
) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT DISTINCT ON (m.id) m.id, m.tenant_id, m.edited_at, i.*
    FROM unnest(i_tenant, i_conversation, i_origin, i_external, i_kind, i_text, i_attachments, i_details, i_preview)
      WITH ORDINALITY AS i(t, conv, origin, ext, kind, text, attachments, details, preview, ord)
    JOIN messages m ON m.tenant_id = i.t AND m.conversation_id = i.conv AND m.external_id = i.ext
      AND m.origin = i.origin
    WHERE i.kind <> 'unsupported' AND (m.kind = 'unsupported' OR m.edited_at IS NOT NULL)
    ORDER BY m.id, i.ord
  LOOP
    IF r.edited_at IS NULL THEN
      UPDATE messages m SET kind = r.kind, text = r.text, attachments = r.attachments, details = r.details,
        preview = r.preview
      WHERE m.tenant_id = r.tenant_id AND m.id = r.id;
      PERFORM store_attachments(r.tenant_id, r.id, r.attachments);
      RETURN NEXT r.id;
    ELSE
      UPDATE message_versions v SET kind = r.kind, text = r.text, attachments = r.attachments,
        details = r.details, preview = r.preview
      WHERE v.tenant_id = r.tenant_id AND v.message_id = r.id AND v.original AND v.kind = 'unsupported';
    END IF;
  END LOOP;
END $$;

-- The events of a group with changes: everything is read again as it is after the last change, and the
-- previews of the conversations follow their last messages.
CREATE FUNCTION draft_events(
  d_tenant text[], m_delivery integer[], c_delivery integer[], m_conv uuid[], c_conv uuid[], v_at integer[],
  v_new uuid[], v_updated uuid[], v_status_of uuid[], v_status text[], v_touched uuid[],
  OUT e_tenant text[], OUT e_user text[], OUT e_type text[], OUT e_conversation uuid[], OUT e_message uuid[],
  OUT e_data text[]
) LANGUAGE plpgsql AS $$
DECLARE
  v_tenants text[] := ARRAY(SELECT DISTINCT x FROM unnest(d_tenant) AS x);
  v_all uuid[] := ARRAY(SELECT DISTINCT x FROM unnest(v_new || v_updated || v_status_of) AS x);
  v_repreviewed uuid[];
BEGIN
  WITH changed AS (
    UPDATE conversations c SET last_kind = m.kind,
      last_preview = CASE WHEN m.deleted_at IS NULL THEN m.preview END
    FROM messages m
    WHERE m.tenant_id = ANY (v_tenants) AND m.id = ANY (v_all)
      AND c.tenant_id = m.tenant_id AND c.id = m.conversation_id AND c.last_message_id = m.id
      AND (c.last_kind, c.last_preview) IS DISTINCT FROM
        (m.kind, CASE WHEN m.deleted_at IS NULL THEN m.preview END)
    RETURNING c.id)
  SELECT coalesce(array_agg(id), '{}') INTO v_repreviewed FROM changed;

  WITH n AS (
    SELECT DISTINCT ON (x.id) x.* FROM (
      SELECT 1 AS rank, u.ord, u.id, NULL AS status FROM unnest(v_new) WITH ORDINALITY AS u(id, ord)
      UNION ALL SELECT 2, u.ord, u.id, NULL FROM unnest(v_updated) WITH ORDINALITY AS u(id, ord)) x
    ORDER BY x.id, x.rank, x.ord),
  s AS (
    SELECT DISTINCT ON (u.id) 3 AS rank, u.ord, u.id, u.status
    FROM unnest(v_status_of, v_status) WITH ORDINALITY AS u(id, status, ord)
    WHERE u.id <> ALL (v_new) ORDER BY u.id, u.ord DESC),
  touched AS (
    SELECT DISTINCT x.id FROM (
      SELECT unnest(v_touched || v_repreviewed) AS id
      UNION ALL
      SELECT m.conversation_id FROM messages m WHERE m.tenant_id = ANY (v_tenants) AND m.id = ANY (v_new)) x),
  audience AS MATERIALIZED (
    SELECT c.tenant_id, c.id, c.created_at, k.user_id,
      conversation_head(c) || conversation_tail(k.unread_count, k.muted) AS json
    FROM touched t JOIN conversations c ON c.tenant_id = ANY (v_tenants) AND c.id = t.id
    JOIN memberships k ON k.tenant_id = c.tenant_id AND k.conversation_id = c.id),
  drafts AS (
    SELECT k.tenant_id, k.user_id, n.rank, n.ord,
      CASE n.rank WHEN 1 THEN 'new_message' ELSE 'message_update' END AS type, m.conversation_id AS conv, m.id AS msg,
      '{"message":' || message_json(m, CASE WHEN m.reply_external_id IS NOT NULL THEN reply_id(m) END)
        || CASE n.rank WHEN 1 THEN ',"conversation":' || a.json ELSE '' END || '}' AS data
    FROM n JOIN messages m ON m.tenant_id = ANY (v_tenants) AND m.id = n.id
    JOIN memberships k ON k.tenant_id = m.tenant_id AND k.conversation_id = m.conversation_id
    LEFT JOIN audience a ON a.tenant_id = m.tenant_id AND a.id = m.conversation_id AND a.user_id = k.user_id
    UNION ALL
    SELECT k.tenant_id, k.user_id, s.rank, s.ord, 'message_status_update', m.conversation_id, m.id,
      '{"messageId":"' || m.id || '","conversationId":"' || m.conversation_id || '","status":"' || s.status || '"}'
    FROM s JOIN messages m ON m.tenant_id = ANY (v_tenants) AND m.id = s.id
    JOIN memberships k ON k.tenant_id = m.tenant_id AND k.conversation_id = m.conversation_id
    UNION ALL
    SELECT a.tenant_id, a.user_id, 4, row_number() OVER (ORDER BY a.id), 'conversation_update', a.id, NULL,
      '{"conversation":' || a.json || '}'
    FROM audience a)
  SELECT array_agg(x.tenant_id), array_agg(x.user_id), array_agg(x.type), array_agg(x.conv), array_agg(x.msg),
    array_agg(x.data)
  INTO e_tenant, e_user, e_type, e_conversation, e_message, e_data
  FROM (SELECT * FROM drafts ORDER BY rank, ord) x;
END $$;
