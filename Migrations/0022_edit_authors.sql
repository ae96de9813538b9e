-- Where a platform passes on edits by anybody, only the message's sender edits it.

-- edit {..., author}: who edits, as the platform calls it; of another than the sender it is none. Without it the
-- platform has seen to that.
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
  IF v_body ->> 'author' <> coalesce(m.sender_id, '') THEN RETURN ROW('none', NULL, NULL, NULL)::change_effect; END IF;
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
