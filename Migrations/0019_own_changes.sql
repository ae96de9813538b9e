-- What the account itself did on its platform, and the platform's echo of it, are one and the same.

-- reaction {op: 'add'|'remove'|'replace', emoji: [..], actor: {id, name}, own}; replace: exactly these from now on. Of
-- the same change with and without the actor's name the one with it stays. own: the account itself reacted, whoever
-- did it here and whatever the platform calls it: all of these are one actor, "own".
CREATE OR REPLACE FUNCTION apply_reaction(m messages, at timestamptz, ord bigint, body text) RETURNS change_effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_body json := body;
  v_op text := v_body ->> 'op';
  v_own boolean := coalesce((v_body ->> 'own')::boolean, false);
  v_actor text := CASE WHEN v_own THEN 'own' ELSE coalesce(v_body -> 'actor' ->> 'id', '') END;
  v_name text := CASE WHEN v_own THEN NULL ELSE v_body -> 'actor' ->> 'name' END;
  v_at timestamptz := apply_reaction.at;
  v_ord bigint := apply_reaction.ord;
  v_emoji text[];
  v_shown text;
BEGIN
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

CREATE OR REPLACE FUNCTION apply_edit(m messages, at timestamptz, ord bigint, body text) RETURNS change_effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_body json := body;
  v_keys text[] := ARRAY(SELECT json_object_keys(v_body));
  v_digest text := md5(body);
  v_at timestamptz := apply_edit.at;
  v_ord bigint := apply_edit.ord;
  o message_versions;
  e message_versions;
BEGIN
  IF (m.edited_at, m.edited_order, m.edited_digest) IS NOT DISTINCT FROM (v_at, v_ord, v_digest) THEN
    RETURN ROW('none', NULL, NULL, NULL)::change_effect;
  END IF;
  IF m.edited_at IS NOT NULL THEN
    SELECT * INTO o FROM message_versions v
    WHERE v.tenant_id = m.tenant_id AND v.message_id = m.id AND v.original;
  ELSE
    o.kind := m.kind; o.text := m.text; o.attachments := m.attachments; o.details := m.details;
    o.preview := m.preview;
  END IF;
  e.tenant_id := m.tenant_id; e.message_id := m.id; e.original := false;
  e.at := v_at; e.ord := v_ord; e.digest := v_digest;
  e.kind := coalesce(v_body ->> 'kind', o.kind);
  e.text := CASE WHEN 'text' = ANY (v_keys) THEN v_body ->> 'text' ELSE o.text END;
  e.attachments := CASE WHEN 'attachments' = ANY (v_keys) THEN json_part(v_body, 'attachments')
    ELSE o.attachments END;
  e.details := CASE WHEN 'details' = ANY (v_keys) THEN json_part(v_body, 'details') ELSE o.details END;
  e.preview := CASE WHEN 'preview' = ANY (v_keys) THEN v_body ->> 'preview'
    WHEN 'text' = ANY (v_keys) THEN left(v_body ->> 'text', 140) ELSE o.preview END;

  -- The second of the two that tell of an edit that was made here: the outbox and the platform.
  IF m.direction = 1 AND m.edited_at IS NOT NULL AND e.text IS NOT DISTINCT FROM m.text AND EXISTS (
    SELECT FROM outbox b
    WHERE b.tenant_id = m.tenant_id AND b.message_id = m.id AND b.action = 'edit' AND b.state IN ('sending', 'done')
      AND b.body::json ->> 'text' = e.text)
  THEN
    RETURN ROW('none', NULL, NULL, NULL)::change_effect;
  END IF;

  IF m.edited_at IS NOT NULL
    AND (v_at, v_ord, v_digest) < (m.edited_at, m.edited_order, m.edited_digest) THEN
    INSERT INTO message_versions VALUES (e.*) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      UPDATE messages SET version = version + 1 WHERE tenant_id = m.tenant_id AND id = m.id;
    END IF;
    RETURN ROW('none', NULL, NULL, NULL)::change_effect;
  END IF;

  INSERT INTO message_versions (
    tenant_id, message_id, original, at, ord, digest, kind, text, attachments, details, preview)
  VALUES (
    m.tenant_id, m.id, m.edited_at IS NULL, coalesce(m.edited_at, m.sent_at),
    coalesce(m.edited_order, m.order_hint), coalesce(m.edited_digest, ''), m.kind, m.text, m.attachments,
    m.details, m.preview);
  UPDATE messages SET kind = e.kind, text = e.text, attachments = e.attachments, details = e.details,
    preview = e.preview, edited_at = v_at, edited_order = v_ord, edited_digest = v_digest,
    version = version + 1
  WHERE tenant_id = m.tenant_id AND id = m.id;
  IF e.attachments IS DISTINCT FROM m.attachments THEN
    PERFORM store_attachments(m.tenant_id, m.id, e.attachments);
  END IF;
  RETURN ROW(CASE WHEN m.deleted_at IS NULL THEN 'message' ELSE 'none' END, ARRAY[m.id], NULL, NULL)::change_effect;
END $$;
