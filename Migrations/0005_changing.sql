-- What every function that changes something builds on: writing events, finding and locking
-- conversations, applying one change.
--
-- Lock order, everywhere: accounts (by tenant, id; only to make conversations or change who sees them)
-- -> conversations (by id) -> memberships (covered by the conversation's lock) -> users (by tenant, id)
-- -> user_unread. The users' rows are shared by all writers, so they are locked
-- last, when everything that can be computed without them is done.

-- One event as the hub pushes it. data starts with '{' and has neither seq nor timestamp.
CREATE TYPE event_row AS (
  tenant_id text, user_id text, seq bigint, type text, at timestamptz,
  conversation_id uuid, message_id uuid, data text);

-- Writes events. e_*: the events in the order in which each user gets them. u_*: by how much unread totals
-- change; a user whose total of some platform really changes gets one unread_count_update after the rest.
-- notify: also pg_notify('hub_events', '[[tenant,user,seq],...]') with each user's last number, in as many
-- notifications as fit 7,999 bytes.
-- Locks users (sorted) and then user_unread until the commit. Not idempotent: each call writes rows.
CREATE FUNCTION write_events(
  e_tenant text[], e_user text[], e_type text[], e_conversation uuid[], e_message uuid[], e_data text[],
  u_tenant text[], u_user text[], u_platform text[], u_delta integer[], notify boolean
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz;
  v_delta bigint[];
  w_tenant text[];
  w_user text[];
  w_count bigint[];
  w_unread boolean[];
  w_base bigint[];
  v_payload text;
BEGIN
  SELECT array_agg(t), array_agg(u), array_agg(p), array_agg(d) INTO u_tenant, u_user, u_platform, v_delta
  FROM (
    SELECT x.t, x.u, x.p, sum(x.d) AS d FROM unnest(u_tenant, u_user, u_platform, u_delta) AS x(t, u, p, d)
    GROUP BY x.t, x.u, x.p HAVING sum(x.d) <> 0 ORDER BY x.t, x.u, x.p) s;

  SELECT array_agg(t), array_agg(u), array_agg(n), array_agg(changed) INTO w_tenant, w_user, w_count, w_unread
  FROM (
    SELECT x.t, x.u, sum(x.n)::bigint AS n, bool_or(x.changed) AS changed
    FROM (
      SELECT e.t, e.u, 1 AS n, false AS changed FROM unnest(e_tenant, e_user) AS e(t, u)
      UNION ALL
      SELECT DISTINCT d.t, d.u, 1, true FROM unnest(u_tenant, u_user) AS d(t, u)) x
    GROUP BY x.t, x.u ORDER BY x.t, x.u) s;
  IF w_user IS NULL THEN RETURN; END IF;

  IF cardinality(w_user) > 1 THEN
    PERFORM 1 FROM users u
    WHERE (u.tenant_id, u.id) IN (SELECT w.t, w.u FROM unnest(w_tenant, w_user) AS w(t, u))
    ORDER BY u.tenant_id, u.id FOR NO KEY UPDATE;
  END IF;
  WITH numbered AS (
    UPDATE users u SET event_seq = u.event_seq + w.n
    FROM unnest(w_tenant, w_user, w_count) AS w(t, u, n)
    WHERE u.tenant_id = w.t AND u.id = w.u
    RETURNING u.tenant_id, u.id, u.event_seq - w.n AS base)
  SELECT array_agg(n.base ORDER BY w.ord) INTO w_base
  FROM unnest(w_tenant, w_user) WITH ORDINALITY AS w(t, u, ord)
  LEFT JOIN numbered n ON n.tenant_id = w.t AND n.id = w.u;
  v_at := clock_timestamp();

  IF u_user IS NOT NULL THEN
    INSERT INTO user_unread AS t (tenant_id, user_id, platform, unread)
    SELECT x.t, x.u, x.p, x.d FROM unnest(u_tenant, u_user, u_platform, v_delta) AS x(t, u, p, d)
    ON CONFLICT (tenant_id, user_id, platform) DO UPDATE SET unread = t.unread + excluded.unread;
  END IF;

  IF notify THEN
    FOR v_payload IN
      SELECT '[' || string_agg(p.item, ',' ORDER BY p.ord) || ']'
      FROM (
        SELECT i.item, i.ord, sum(octet_length(i.item) + 1) OVER (ORDER BY i.ord) / 6000 AS chunk
        FROM (
          SELECT json_build_array(w.t, w.u, w.b + w.n)::text AS item, w.ord
          FROM unnest(w_tenant, w_user, w_base, w_count) WITH ORDINALITY AS w(t, u, b, n, ord)
          WHERE w.b IS NOT NULL) i) p
      GROUP BY p.chunk
    LOOP
      PERFORM pg_notify('hub_events', v_payload);
    END LOOP;
  END IF;

  RETURN QUERY
    WITH w AS (
      SELECT x.t, x.u, x.n, x.changed, x.base
      FROM unnest(w_tenant, w_user, w_count, w_unread, w_base) AS x(t, u, n, changed, base)
      WHERE x.base IS NOT NULL)
    INSERT INTO events AS e (tenant_id, user_id, seq, type, at, conversation_id, message_id, data)
    SELECT r.t, r.u, r.seq, r.type, v_at, r.conversation_id, r.message_id, r.data
    FROM (
      SELECT w.t, w.u, w.base + d.n AS seq, d.type, d.conversation_id, d.message_id, d.data
      FROM (
        SELECT x.*, row_number() OVER (PARTITION BY x.t, x.u ORDER BY x.ord) AS n
        FROM unnest(e_tenant, e_user, e_type, e_conversation, e_message, e_data) WITH ORDINALITY
          AS x(t, u, type, conversation_id, message_id, data, ord)) d
      JOIN w ON w.t = d.t AND w.u = d.u
      UNION ALL
      SELECT w.t, w.u, w.base + w.n, 'unread_count_update', NULL, NULL, unread_json(w.t, w.u)
      FROM w WHERE w.changed) r
    ORDER BY r.t, r.u, r.seq
    RETURNING e.tenant_id, e.user_id, e.seq, e.type, e.at, e.conversation_id, e.message_id, e.data;
END $$;

-- A UUIDv7 for rows whose id the hub did not make.
CREATE FUNCTION new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
SELECT encode(set_byte(set_byte(
    overlay(uuid_send(gen_random_uuid())
      PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    6, (get_byte(uuid_send(gen_random_uuid()), 0) & 15) | 112),
    8, (get_byte(uuid_send(gen_random_uuid()), 0) & 63) | 128), 'hex')::uuid
$$;

-- Finds the conversations of (account, platform conversation id), by current id or alias, and locks them in
-- the order of their ids. Missing ones are made when k_create says so, with a membership for each user of
-- the account. k_id: the id for a new conversation; null: one is made here. Returns ids in the order of
-- k_*; null where there is none. Locks: accounts FOR SHARE where a conversation is missing (sharing an
-- account waits for that, so no membership is forgotten), then conversations.
CREATE FUNCTION lock_conversations(
  k_tenant text[], k_account uuid[], k_platform text[], k_external text[], k_id uuid[], k_kind text[],
  k_create boolean[]
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
  v_ids uuid[];
  v_want integer;
  v_missing boolean;
  v_locked integer;
BEGIN
  FOR attempt IN 1..10 LOOP
    SELECT array_agg(coalesce(c.id, a.conversation_id) ORDER BY k.ord),
      bool_or(k.make AND c.id IS NULL AND a.conversation_id IS NULL)
    INTO v_ids, v_missing
    FROM unnest(k_tenant, k_account, k_external, k_create) WITH ORDINALITY AS k(t, a, ext, make, ord)
    LEFT JOIN conversations c ON c.tenant_id = k.t AND c.account_id = k.a AND c.external_id = k.ext
    LEFT JOIN conversation_aliases a
      ON a.tenant_id = k.t AND a.account_id = k.a AND a.external_id = k.ext AND c.id IS NULL;

    IF v_missing THEN
      PERFORM 1 FROM accounts a
      WHERE (a.tenant_id, a.id) IN (SELECT k.t, k.a FROM unnest(k_tenant, k_account) AS k(t, a))
      ORDER BY a.tenant_id, a.id FOR SHARE;
      WITH made AS (
        INSERT INTO conversations (tenant_id, id, account_id, platform, external_id, kind)
        SELECT DISTINCT ON (k.t, k.a, k.ext) k.t, coalesce(k.id, new_id()), k.a, k.p, k.ext,
          coalesce(k.kind, 'unknown')
        FROM unnest(k_tenant, k_account, k_platform, k_external, k_id, k_kind, k_create, v_ids)
          WITH ORDINALITY AS k(t, a, p, ext, id, kind, make, found, ord)
        WHERE k.make AND k.found IS NULL
        ORDER BY k.t, k.a, k.ext, k.kind IS NULL, k.ord
        ON CONFLICT (tenant_id, account_id, external_id) DO NOTHING
        RETURNING tenant_id, id, account_id, platform)
      INSERT INTO memberships (tenant_id, conversation_id, user_id, account_id, platform)
      SELECT m.tenant_id, m.id, u.user_id, m.account_id, m.platform
      FROM made m JOIN account_users u ON u.tenant_id = m.tenant_id AND u.account_id = m.account_id;
      CONTINUE;
    END IF;

    SELECT count(DISTINCT x) INTO v_want FROM unnest(v_ids) AS x WHERE x IS NOT NULL;
    -- A conversation can have been renamed or merged between finding and locking: look again.
    SELECT count(DISTINCT l.id) INTO v_locked
    FROM (
      SELECT c.id FROM conversations c
      WHERE (c.tenant_id, c.id) IN (SELECT k.t, k.id FROM unnest(k_tenant, v_ids) AS k(t, id))
      ORDER BY c.id FOR NO KEY UPDATE) l;
    IF v_locked = v_want THEN RETURN v_ids; END IF;
  END LOOP;
  RAISE EXCEPTION 'conversations keep changing' USING ERRCODE = 'serialization_failure';
END $$;

-- Rank on the status ladder. Every status moves only up, so any order of reports ends the same.
CREATE FUNCTION status_rank(status text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE $1 WHEN 'queued' THEN 1 WHEN 'sent' THEN 2 WHEN 'failed' THEN 3 WHEN 'delivered' THEN 4
  WHEN 'read' THEN 5 ELSE 0 END
$$;

-- What one change did: message (changed), status (of messages), conversation, pending, none.
-- users: whose unread count went down by one.
CREATE TYPE change_effect AS (effect text, messages uuid[], status text, users text[]);

-- A JSON array member as text; null when it is missing, null or empty.
CREATE FUNCTION json_part(body json, key text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN json_typeof($1 -> $2) IN ('array', 'object') AND ($1 -> $2)::text NOT IN ('[]', '{}')
  THEN ($1 -> $2)::text END
$$;

CREATE FUNCTION store_attachments(tenant text, message uuid, list text) RETURNS void LANGUAGE sql AS $$
DELETE FROM attachments WHERE tenant_id = $1 AND message_id = $2;
INSERT INTO attachments (
  tenant_id, message_id, position, kind, url, name, mime, size, width, height, duration, external_id, source)
SELECT $1, $2, a.ord, a.v ->> 'kind', a.v ->> 'url', a.v ->> 'name', a.v ->> 'mime',
  CASE json_typeof(a.v -> 'size') WHEN 'number' THEN (a.v ->> 'size')::numeric::bigint END,
  CASE json_typeof(a.v -> 'width') WHEN 'number' THEN (a.v ->> 'width')::numeric::integer END,
  CASE json_typeof(a.v -> 'height') WHEN 'number' THEN (a.v ->> 'height')::numeric::integer END,
  CASE json_typeof(a.v -> 'duration') WHEN 'number' THEN (a.v ->> 'duration')::double precision END,
  a.v ->> 'externalId', a.v::text
FROM json_array_elements(coalesce($3, '[]')::json) WITH ORDINALITY AS a(v, ord);
$$;

-- edit {text?, kind?, attachments?, details?, preview?}: a member that is missing is as it was in the original
-- message (not as in the edit before, so that any order ends the same). Last writer wins by (at, ord).
CREATE FUNCTION apply_edit(m messages, at timestamptz, ord bigint, body text) RETURNS change_effect
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

-- A delete is final. Who had the message unread has one less.
CREATE FUNCTION apply_delete(m messages, at timestamptz) RETURNS change_effect LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_at timestamptz := apply_delete.at;
  v_users text[];
BEGIN
  IF m.deleted_at IS NOT NULL THEN
    IF v_at < m.deleted_at THEN
      UPDATE messages SET deleted_at = v_at WHERE tenant_id = m.tenant_id AND id = m.id;
    END IF;
    RETURN ROW('none', NULL, NULL, NULL)::change_effect;
  END IF;
  UPDATE messages SET deleted_at = v_at WHERE tenant_id = m.tenant_id AND id = m.id;
  IF m.direction = 0 THEN
    WITH less AS (
      UPDATE memberships s SET unread_count = s.unread_count - 1
      WHERE s.tenant_id = m.tenant_id AND s.conversation_id = m.conversation_id
        AND (s.read_at IS NULL OR (m.sent_at, m.order_hint, m.id) > (s.read_at, s.read_order, s.read_id))
      RETURNING s.user_id)
    SELECT array_agg(user_id) INTO v_users FROM less;
  END IF;
  RETURN ROW('message', ARRAY[m.id], NULL, v_users)::change_effect;
END $$;

-- reaction {op: 'add'|'remove'|'replace', emoji: [..], actor: {id, name}}; replace: exactly these from now on.
CREATE FUNCTION apply_reaction(m messages, at timestamptz, ord bigint, body text) RETURNS change_effect
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
    WHERE (excluded.at, excluded.ord, excluded.active) > (r.at, r.ord, r.active);

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

-- status {status, reason?}: moves up the ladder or is only kept in the history.
CREATE FUNCTION apply_status(m messages, at timestamptz, body text) RETURNS change_effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_status text := body::json ->> 'status';
  v_reason text;
  v_at timestamptz := apply_status.at;
BEGIN
  IF status_rank(v_status) = 0 THEN RETURN ROW('none', NULL, NULL, NULL)::change_effect; END IF;
  INSERT INTO statuses AS s (tenant_id, message_id, status, at, reason)
  VALUES (m.tenant_id, m.id, v_status, v_at, body::json ->> 'reason')
  ON CONFLICT (tenant_id, message_id, status) DO UPDATE SET at = excluded.at, reason = excluded.reason
    WHERE excluded.at < s.at OR (excluded.at = s.at AND coalesce(excluded.reason, '') < coalesce(s.reason, ''));
  IF status_rank(v_status) < status_rank(m.status) THEN RETURN ROW('none', NULL, NULL, NULL)::change_effect; END IF;
  SELECT s.reason INTO v_reason FROM statuses s
  WHERE s.tenant_id = m.tenant_id AND s.message_id = m.id AND s.status = v_status;
  IF (v_status, v_reason) IS NOT DISTINCT FROM (m.status, m.status_reason) THEN
    RETURN ROW('none', NULL, NULL, NULL)::change_effect;
  END IF;
  UPDATE messages SET status = v_status, status_reason = v_reason
  WHERE tenant_id = m.tenant_id AND id = m.id;
  RETURN ROW(CASE WHEN v_status IS DISTINCT FROM m.status THEN 'status' ELSE 'none' END, ARRAY[m.id], v_status, NULL)::change_effect;
END $$;

-- The other side has read our messages up to a position. Messages that come later but lie before it
-- are read when they are stored (ingest).
CREATE FUNCTION apply_peer_read(c conversations, up_to timestamptz, up_to_order bigint) RETURNS change_effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_ids uuid[];
BEGIN
  IF c.peer_read_at IS NOT NULL AND (up_to, up_to_order) <= (c.peer_read_at, c.peer_read_order) THEN
    RETURN ROW('none', NULL, NULL, NULL)::change_effect;
  END IF;
  UPDATE conversations SET peer_read_at = up_to, peer_read_order = up_to_order
  WHERE tenant_id = c.tenant_id AND id = c.id;
  WITH changed AS (
    UPDATE messages m SET status = 'read', status_reason = (
      SELECT s.reason FROM statuses s
      WHERE s.tenant_id = m.tenant_id AND s.message_id = m.id AND s.status = 'read')
    WHERE m.tenant_id = c.tenant_id AND m.conversation_id = c.id AND m.direction = 1
      AND (m.sent_at, m.order_hint) <= (up_to, up_to_order)
      AND (c.peer_read_at IS NULL OR (m.sent_at, m.order_hint) > (c.peer_read_at, c.peer_read_order))
      AND m.status IS DISTINCT FROM 'read'
    RETURNING m.id, m.sent_at, m.order_hint)
  SELECT array_agg(id ORDER BY sent_at, order_hint, id) INTO v_ids FROM changed;
  RETURN ROW(CASE WHEN v_ids IS NULL THEN 'none' ELSE 'status' END, v_ids, 'read', NULL)::change_effect;
END $$;

-- Renders the first twenty participants into the conversation.
CREATE FUNCTION refresh_participants(tenant text, conversation uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE conversations c SET
    participant_count = (
      SELECT count(*) FROM participants p
      WHERE p.tenant_id = $1 AND p.conversation_id = $2 AND p.active),
    participants = coalesce((
      SELECT '[' || string_agg('{"id":' || to_json(f.id)::text || ',"name":' || json_text(f.shown)
        || coalesce(',"avatar":' || to_json(f.avatar)::text, '') || '}', ',' ORDER BY f.id) || ']'
      FROM (
        SELECT p.id, coalesce(p.name, p.joined_name) AS shown, p.avatar FROM participants p
        WHERE p.tenant_id = $1 AND p.conversation_id = $2 AND p.active
        ORDER BY p.id LIMIT 20) f), '[]')
  WHERE c.tenant_id = $1 AND c.id = $2;
END $$;

-- membership {joined: [{id, name}], left: [id or {id}]}: last writer wins for each participant.
CREATE FUNCTION apply_membership(c conversations, at timestamptz, ord bigint, body text) RETURNS change_effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_body json := body;
  v_at timestamptz := apply_membership.at;
  v_ord bigint := apply_membership.ord;
  v_before text;
BEGIN
  INSERT INTO participants AS p (tenant_id, conversation_id, id, joined_name, active, member_at, member_order)
  SELECT DISTINCT ON (x.id) c.tenant_id, c.id, x.id, x.name, x.active, v_at, v_ord
  FROM (
    SELECT j ->> 'id' AS id, j ->> 'name' AS name, true AS active
    FROM json_array_elements(coalesce(v_body -> 'joined', '[]')) AS j
    UNION ALL
    SELECT CASE json_typeof(l) WHEN 'object' THEN l ->> 'id' ELSE l #>> '{}' END, NULL, false
    FROM json_array_elements(coalesce(v_body -> 'left', '[]')) AS l) x
  WHERE x.id IS NOT NULL
  ORDER BY x.id, x.active DESC
  ON CONFLICT (tenant_id, conversation_id, id) DO UPDATE
    SET joined_name = excluded.joined_name, active = excluded.active, member_at = excluded.member_at,
      member_order = excluded.member_order
    WHERE p.member_at IS NULL OR (excluded.member_at, excluded.member_order, excluded.active)
      > (p.member_at, p.member_order, p.active);
  PERFORM refresh_participants(c.tenant_id, c.id);
  SELECT n.participants || n.participant_count INTO v_before FROM conversations n
  WHERE n.tenant_id = c.tenant_id AND n.id = c.id;
  RETURN ROW(CASE WHEN v_before = c.participants || c.participant_count THEN 'none' ELSE 'conversation' END,
    NULL, NULL, NULL)::change_effect;
END $$;

-- Applies one change to a conversation whose lock the caller holds. A change of a message that has not come
-- is kept as pending; the same change again is the same row.
CREATE FUNCTION apply_change(
  tenant text, conversation uuid, origin text, kind text, external text, at timestamptz, ord bigint, body text
) RETURNS change_effect LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_origin text := apply_change.origin;
  v_kind text := apply_change.kind;
  v_at timestamptz := apply_change.at;
  v_ord bigint := coalesce(apply_change.ord, 0);
  v_body text := coalesce(apply_change.body, '{}');
  v_external text := external;
  m messages;
  c conversations;
BEGIN
  IF v_kind = 'read' THEN v_external := coalesce(v_external, v_body::json ->> 'upToExternalId'); END IF;
  IF v_external IS NOT NULL AND v_kind IN ('edit', 'delete', 'reaction', 'status', 'read') THEN
    SELECT * INTO m FROM messages
    WHERE tenant_id = tenant AND conversation_id = conversation AND external_id = v_external
      AND origin = v_origin;
    IF NOT FOUND THEN
      INSERT INTO pending_changes (
        tenant_id, conversation_id, origin, external_id, kind, at, ord, digest, body)
      VALUES (tenant, conversation, v_origin, v_external, v_kind, v_at, v_ord, md5(v_body), v_body)
      ON CONFLICT DO NOTHING;
      IF FOUND THEN
        UPDATE conversations SET pending_count = pending_count + 1
        WHERE tenant_id = tenant AND id = conversation;
      END IF;
      RETURN ROW('pending', NULL, NULL, NULL)::change_effect;
    END IF;
    CASE v_kind
      WHEN 'edit' THEN RETURN apply_edit(m, v_at, v_ord, v_body);
      WHEN 'delete' THEN RETURN apply_delete(m, v_at);
      WHEN 'reaction' THEN RETURN apply_reaction(m, v_at, v_ord, v_body);
      WHEN 'status' THEN RETURN apply_status(m, v_at, v_body);
      ELSE NULL;
    END CASE;
  END IF;
  SELECT * INTO c FROM conversations WHERE tenant_id = tenant AND id = conversation;
  CASE v_kind
    WHEN 'read' THEN
      IF v_external IS NOT NULL THEN RETURN apply_peer_read(c, m.sent_at, m.order_hint); END IF;
      RETURN apply_peer_read(
        c, coalesce((v_body::json ->> 'upToAt')::timestamptz, v_at), 9223372036854775807);
    WHEN 'conversation' THEN
      IF v_body::json ->> 'title' IS NOT NULL AND (c.title_at IS NULL
        OR (v_at, v_ord, v_body::json ->> 'title') > (c.title_at, c.title_order, c.title)) THEN
        UPDATE conversations SET title = v_body::json ->> 'title', title_at = v_at, title_order = v_ord
        WHERE tenant_id = tenant AND id = conversation;
        IF c.title IS DISTINCT FROM v_body::json ->> 'title' THEN
          RETURN ROW('conversation', NULL, NULL, NULL)::change_effect;
        END IF;
      END IF;
    WHEN 'membership' THEN RETURN apply_membership(c, v_at, v_ord, v_body);
    ELSE NULL;
  END CASE;
  RETURN ROW('none', NULL, NULL, NULL)::change_effect;
END $$;
