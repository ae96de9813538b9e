-- What a user does to conversations: reading, marking unread, state, labels.
--
-- Each function returns the events that it wrote, in the shape of ingest, and writes nothing when nothing
-- changes. A user who does not see the conversation gets no_data_found (P0002), the same as for one that does
-- not exist. Locks: the conversation, its membership, then users and user_unread (write_events).

-- Sets a read position, recounts and returns the events. position null: nothing is read.
CREATE FUNCTION move_read_position(s memberships, at timestamptz, ord bigint, id uuid) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
DECLARE
  v_count integer;
BEGIN
  IF ($2, $3, $4) IS NOT DISTINCT FROM (s.read_at, s.read_order, s.read_id) THEN RETURN; END IF;
  v_count := count_unread(s.tenant_id, s.conversation_id, $2, $3, $4);
  UPDATE memberships m SET read_at = $2, read_order = $3, read_id = $4, unread_count = v_count
  WHERE m.tenant_id = s.tenant_id AND m.conversation_id = s.conversation_id AND m.user_id = s.user_id;
  IF v_count = s.unread_count THEN RETURN; END IF;
  RETURN QUERY SELECT w.* FROM conversations c, write_events(
    ARRAY[s.tenant_id], ARRAY[s.user_id], ARRAY['conversation_update'], ARRAY[s.conversation_id],
    ARRAY[NULL::uuid],
    ARRAY['{"conversation":' || conversation_head(c) || conversation_tail(v_count, s.muted) || '}'],
    ARRAY[s.tenant_id], ARRAY[s.user_id], ARRAY[s.platform], ARRAY[v_count - s.unread_count],
    hub_has_peers()) w
  WHERE c.tenant_id = s.tenant_id AND c.id = s.conversation_id;
END $$;

-- Whether other hub nodes are alive, so that they have to be told.
CREATE FUNCTION hub_has_peers() RETURNS boolean LANGUAGE sql STABLE AS $$
SELECT count(*) > 1 FROM (SELECT 1 FROM nodes WHERE seen_at > now() - interval '30 seconds' LIMIT 2) n
$$;

-- Locks a conversation that the user sees and returns the user's membership.
CREATE FUNCTION lock_membership(tenant text, usr text, conversation uuid) RETURNS memberships
LANGUAGE plpgsql AS $$
DECLARE
  s memberships;
BEGIN
  PERFORM 1 FROM conversations c
  WHERE c.tenant_id = tenant AND c.id = conversation
    AND EXISTS (SELECT 1 FROM account_users a
      WHERE a.tenant_id = tenant AND a.account_id = c.account_id AND a.user_id = usr)
  FOR NO KEY UPDATE OF c;
  IF FOUND THEN
    SELECT * INTO s FROM memberships m
    WHERE m.tenant_id = tenant AND m.conversation_id = conversation AND m.user_id = usr FOR NO KEY UPDATE;
  END IF;
  IF s.user_id IS NULL THEN
    RAISE EXCEPTION 'no such conversation' USING ERRCODE = 'no_data_found';
  END IF;
  RETURN s;
END $$;

-- Reads up to a message (null: all). The position never moves back.
CREATE FUNCTION mark_read(tenant text, usr text, conversation uuid, up_to uuid) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
DECLARE
  s memberships := lock_membership(tenant, usr, conversation);
  m messages;
BEGIN
  IF up_to IS NULL THEN
    SELECT * INTO m FROM messages x
    WHERE x.tenant_id = tenant AND x.conversation_id = conversation
    ORDER BY x.sent_at DESC, x.order_hint DESC, x.id DESC LIMIT 1;
    IF NOT FOUND THEN RETURN; END IF;
  ELSE
    SELECT * INTO m FROM messages x
    WHERE x.tenant_id = tenant AND x.id = up_to AND x.conversation_id = conversation;
    IF NOT FOUND THEN RAISE EXCEPTION 'no such message' USING ERRCODE = 'no_data_found'; END IF;
  END IF;
  IF s.read_at IS NULL OR (m.sent_at, m.order_hint, m.id) > (s.read_at, s.read_order, s.read_id) THEN
    RETURN QUERY SELECT * FROM move_read_position(s, m.sent_at, m.order_hint, m.id);
  END IF;
END $$;

-- Makes a message and all after it unread: the position becomes that of the message before it. A position
-- that lies before the message already stays.
CREATE FUNCTION mark_unread(tenant text, usr text, conversation uuid, from_id uuid) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
DECLARE
  s memberships := lock_membership(tenant, usr, conversation);
  m messages;
  p messages;
BEGIN
  SELECT * INTO m FROM messages x
  WHERE x.tenant_id = tenant AND x.id = from_id AND x.conversation_id = conversation;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such message' USING ERRCODE = 'no_data_found'; END IF;
  IF s.read_at IS NULL OR (s.read_at, s.read_order, s.read_id) < (m.sent_at, m.order_hint, m.id) THEN
    RETURN;
  END IF;
  SELECT * INTO p FROM messages x
  WHERE x.tenant_id = tenant AND x.conversation_id = conversation
    AND (x.sent_at, x.order_hint, x.id) < (m.sent_at, m.order_hint, m.id)
  ORDER BY x.sent_at DESC, x.order_hint DESC, x.id DESC LIMIT 1;
  RETURN QUERY SELECT * FROM move_read_position(s, p.sent_at, p.order_hint, p.id);
END $$;

-- Changes a conversation: {state?, snoozedUntil?, assigneeId?, labels?, priority?, muted?}; a member that is
-- missing stays. muted is the user's own; the rest is everybody's and everybody gets a conversation_update.
-- state other than snoozed forgets snoozedUntil. The values have been checked by the hub.
CREATE FUNCTION set_conversation(tenant text, usr text, conversation uuid, patch json) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
DECLARE
  s memberships := lock_membership(tenant, usr, conversation);
  k text[] := ARRAY(SELECT json_object_keys(patch));
  v_shared boolean;
  v_muted boolean := coalesce((patch ->> 'muted')::boolean, s.muted);
BEGIN
  UPDATE conversations c SET state = n.state, snoozed_until = n.snoozed_until, assignee_id = n.assignee_id,
    labels = n.labels, priority = n.priority
  FROM (
    SELECT o.id,
      CASE WHEN 'state' = ANY (k) THEN patch ->> 'state' ELSE o.state END AS state,
      CASE WHEN 'state' = ANY (k) AND patch ->> 'state' <> 'snoozed' THEN NULL
        WHEN 'snoozedUntil' = ANY (k) THEN (patch ->> 'snoozedUntil')::timestamptz
        ELSE o.snoozed_until END AS snoozed_until,
      CASE WHEN 'assigneeId' = ANY (k) THEN patch ->> 'assigneeId' ELSE o.assignee_id END AS assignee_id,
      CASE WHEN 'labels' = ANY (k) THEN ARRAY(SELECT json_array_elements_text(
        CASE json_typeof(patch -> 'labels') WHEN 'array' THEN patch -> 'labels' ELSE '[]' END))
        ELSE o.labels END AS labels,
      CASE WHEN 'priority' = ANY (k) THEN patch ->> 'priority' ELSE o.priority END AS priority
    FROM conversations o WHERE o.tenant_id = tenant AND o.id = conversation) n
  WHERE c.tenant_id = tenant AND c.id = n.id
    AND (c.state, c.snoozed_until, c.assignee_id, c.labels, c.priority)
      IS DISTINCT FROM (n.state, n.snoozed_until, n.assignee_id, n.labels, n.priority);
  v_shared := FOUND;
  UPDATE memberships m SET muted = v_muted
  WHERE m.tenant_id = tenant AND m.conversation_id = conversation AND m.user_id = usr AND m.muted <> v_muted;
  IF NOT v_shared AND NOT FOUND THEN RETURN; END IF;
  RETURN QUERY SELECT w.* FROM (
    SELECT array_agg(m.tenant_id) AS t, array_agg(m.user_id) AS u, array_agg('conversation_update'::text) AS y,
      array_agg(c.id) AS c, array_agg(NULL::uuid) AS m,
      array_agg('{"conversation":' || conversation_head(c) || conversation_tail(m.unread_count, m.muted) || '}') AS d
    FROM conversations c JOIN memberships m ON m.tenant_id = c.tenant_id AND m.conversation_id = c.id
    WHERE c.tenant_id = tenant AND c.id = conversation AND (v_shared OR m.user_id = usr)) e,
    write_events(e.t, e.u, e.y, e.c, e.m, e.d, NULL, NULL, NULL, NULL, hub_has_peers()) w;
END $$;
