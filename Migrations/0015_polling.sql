-- Polling: which account is read when and by whom, how far it has got, and what was found.
--
-- An account is one row. Who reads it holds the row's `node` for as long as the reading lasts; a node that has not
-- been seen for ten seconds holds nothing. `token` counts the takings: what an earlier holder still has on the way
-- moves no cursor. Cursors move in the transaction that stores what was read.

-- role: live reads everything; sweep fills holes beside webhooks; off.
-- interval_seconds: between two polls; it shortens while messages come. failures: in a row.
-- cursor, history_cursor, sweep_cursor: as the platform's poller wrote them (json). history: none, due or done;
-- history_after: what is older is not imported. swept_at: everything before has been looked for.
CREATE TABLE polls (
  tenant_id text COLLATE "C" NOT NULL,
  account_id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  role text NOT NULL CHECK (role IN ('live', 'sweep', 'off')),
  due_at timestamptz NOT NULL DEFAULT now(),
  interval_seconds double precision NOT NULL DEFAULT 5,
  failures integer NOT NULL DEFAULT 0,
  node text COLLATE "C",
  token bigint NOT NULL DEFAULT 0,
  cursor text,
  history text NOT NULL DEFAULT 'none' CHECK (history IN ('none', 'due', 'done')),
  history_cursor text,
  history_after timestamptz,
  sweep_cursor text,
  sweep_since timestamptz,
  swept_at timestamptz,
  recovered_by_sweep bigint NOT NULL DEFAULT 0,
  polled_at timestamptz,
  PRIMARY KEY (tenant_id, account_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- A row that is held is due at infinity, so this index has only those that wait.
CREATE INDEX polls_due ON polls (due_at) WHERE role <> 'off' AND node IS NULL;
CREATE INDEX polls_node ON polls (node) WHERE node IS NOT NULL;

-- Access tokens: sealed by the hub. claimed_until: somebody is getting a new one.
CREATE TABLE account_tokens (
  tenant_id text COLLATE "C" NOT NULL,
  account_id uuid NOT NULL,
  sealed bytea,
  expires_at timestamptz,
  claimed_until timestamptz,
  PRIMARY KEY (tenant_id, account_id)
);

-- Asks to be the one who gets a new token: for thirty seconds nobody else is.
CREATE FUNCTION claim_token(tenant text, account uuid, OUT mine boolean, OUT sealed bytea) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO account_tokens (tenant_id, account_id) VALUES (tenant, account) ON CONFLICT DO NOTHING;
  UPDATE account_tokens t SET claimed_until = clock_timestamp() + interval '30 seconds'
  WHERE t.tenant_id = tenant AND t.account_id = account
    AND (t.claimed_until IS NULL OR t.claimed_until < clock_timestamp());
  mine := FOUND;
  SELECT t.sealed INTO claim_token.sealed FROM account_tokens t WHERE t.tenant_id = tenant AND t.account_id = account;
END $$;

-- How an account is. Its users are told when it changes; one that was disabled stays so.
CREATE FUNCTION set_account_state(tenant text, account uuid, state text, reason text, action text)
RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  UPDATE accounts a SET state = set_account_state.state, state_reason = reason, state_action = action,
    updated_at = now()
  WHERE a.tenant_id = tenant AND a.id = account AND a.deleted_at IS NULL AND a.state <> 'disabled'
    AND (a.state, a.state_reason, a.state_action)
      IS DISTINCT FROM (set_account_state.state, reason, action);
  IF FOUND THEN RETURN QUERY SELECT * FROM account_changed_events(tenant, account); END IF;
END $$;

-- Decides how an account is polled. after: history from then on is imported, once; null: none is.
-- A role that is there stays as it is with its cursor. With live or sweep the account is due at once.
CREATE FUNCTION set_polling(tenant text, account uuid, platform text, role text, after timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO polls AS p (tenant_id, account_id, platform, role, history, history_after, swept_at)
  VALUES (tenant, account, set_polling.platform, set_polling.role, CASE WHEN after IS NULL THEN 'none' ELSE 'due' END,
    after, now())
  ON CONFLICT (tenant_id, account_id) DO UPDATE SET role = excluded.role, failures = 0,
    due_at = CASE WHEN p.node IS NULL THEN now() ELSE p.due_at END,
    history = CASE WHEN p.history = 'none' THEN excluded.history ELSE p.history END,
    history_after = coalesce(p.history_after, excluded.history_after);
END $$;

-- Takes accounts that are due.
CREATE FUNCTION take_polls(node text, lim integer) RETURNS SETOF polls LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH due AS (
      SELECT p.tenant_id, p.account_id FROM polls p
      WHERE p.role <> 'off' AND p.node IS NULL AND p.due_at <= now()
      ORDER BY p.due_at LIMIT lim FOR UPDATE SKIP LOCKED)
    UPDATE polls p SET node = take_polls.node, token = p.token + 1, due_at = 'infinity'
    FROM due d WHERE p.tenant_id = d.tenant_id AND p.account_id = d.account_id
    RETURNING p.*;
END $$;

-- Accounts that are held by nodes which are gone become free. Also what a node held that is not listed any more.
CREATE FUNCTION free_polls() RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_count integer;
BEGIN
  WITH held AS (
    SELECT DISTINCT p.node FROM polls p WHERE p.node IS NOT NULL),
  gone AS (
    SELECT h.node FROM held h WHERE NOT EXISTS (
      SELECT 1 FROM nodes n WHERE n.id = h.node AND n.seen_at > now() - interval '10 seconds')),
  freed AS (
    UPDATE polls p SET node = NULL, due_at = now() WHERE p.node IN (SELECT g.node FROM gone g) RETURNING 1)
  SELECT count(*) INTO v_count FROM freed;
  RETURN v_count;
END $$;

-- A page was read: the cursor moves, in the transaction that stored the page. mode: live, history or sweep.
-- done: of history and sweep, there is no more. delivery: the line of the ledger with the page, null for an empty one.
-- False, and nothing moves: the account is somebody else's by now.
CREATE FUNCTION poll_page(
  tenant text, account uuid, token bigint, mode text, cursor text, done boolean, delivery uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_new integer := 0;
BEGIN
  IF mode = 'sweep' AND delivery IS NOT NULL THEN
    SELECT coalesce(sum(d.message_count), 0) INTO v_new FROM deliveries d
    WHERE d.tenant_id = tenant AND d.id = delivery;
  END IF;
  UPDATE polls p SET polled_at = now(), failures = 0,
    cursor = CASE mode WHEN 'live' THEN poll_page.cursor ELSE p.cursor END,
    history_cursor = CASE mode WHEN 'history' THEN poll_page.cursor ELSE p.history_cursor END,
    history = CASE WHEN mode = 'history' AND done THEN 'done' ELSE p.history END,
    sweep_cursor = CASE WHEN mode <> 'sweep' THEN p.sweep_cursor WHEN done THEN NULL ELSE poll_page.cursor END,
    swept_at = CASE WHEN mode = 'sweep' AND done THEN p.sweep_since ELSE p.swept_at END,
    recovered_by_sweep = p.recovered_by_sweep + v_new
  WHERE p.tenant_id = tenant AND p.account_id = account AND p.token = poll_page.token;
  RETURN FOUND;
END $$;

-- A sweep begins: it will have looked for everything before now.
CREATE FUNCTION begin_sweep(tenant text, account uuid, token bigint) RETURNS void LANGUAGE sql AS $$
UPDATE polls p SET sweep_since = now(), sweep_cursor = NULL
WHERE p.tenant_id = $1 AND p.account_id = $2 AND p.token = $3
$$;

-- Gives an account back, until it is due again.
CREATE FUNCTION release_poll(
  tenant text, account uuid, token bigint, wait_seconds double precision, interval_seconds double precision,
  failures integer, forget_cursor boolean
) RETURNS void LANGUAGE sql AS $$
UPDATE polls p SET node = NULL, due_at = now() + make_interval(secs => $4), interval_seconds = $5, failures = $6,
  cursor = CASE WHEN $7 THEN NULL ELSE p.cursor END
WHERE p.tenant_id = $1 AND p.account_id = $2 AND p.token = $3
$$;

-- Something has to be looked for now: a message without an answer, or an outage.
CREATE FUNCTION poll_soon(tenant text, account uuid) RETURNS void LANGUAGE sql AS $$
UPDATE polls p SET due_at = least(p.due_at, now())
WHERE p.tenant_id = $1 AND p.account_id = $2 AND p.node IS NULL AND p.role <> 'off'
$$;

-- As before. quiet: what is stored was there before the account was connected. It is nobody's unread, reopens nothing
-- and is not pushed.
DROP FUNCTION ingest(
  uuid[], text[], uuid[], text[], timestamptz[], text[], bytea[], bytea[], integer[], text[], text[], integer[],
  integer[], uuid[], uuid[], text[], text[], text[], text[], smallint[], text[], text[], text[], text[], text[], text[],
  text[], text[], text[], text[], text[], timestamptz[], bigint[], integer[], text[], text[], text[], timestamptz[],
  bigint[], text[], boolean);
CREATE FUNCTION ingest(
  d_id uuid[], d_tenant text[], d_account uuid[], d_platform text[], d_received timestamptz[], d_headers text[],
  d_body bytea[], d_hash bytea[], d_parser integer[], d_state text[], d_reason text[], d_items integer[],
  m_delivery integer[], m_id uuid[], m_conv_id uuid[], m_conv_ext text[], m_conv_kind text[], m_conv_title text[],
  m_ext text[], m_dir smallint[], m_kind text[], m_text text[], m_sender_id text[], m_sender_name text[],
  m_sender_avatar text[], m_reply_ext text[], m_thread text[], m_attachments text[], m_details text[],
  m_preview text[], m_status text[], m_sent timestamptz[], m_order bigint[],
  c_delivery integer[], c_kind text[], c_conv_ext text[], c_ext text[], c_at timestamptz[], c_order bigint[],
  c_body text[], notify boolean, quiet boolean DEFAULT false
) RETURNS SETOF event_row LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET jit = off SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  n_m integer := coalesce(cardinality(m_id), 0);
  n_c integer := coalesce(cardinality(c_kind), 0);
  v_mconv uuid[];          -- the conversation of each message
  v_cconv uuid[];          -- the conversation of each change
  v_missing boolean := true;
  v_special boolean := false;  -- a conversation with waiting changes or a peer's read position
  v_slow boolean := n_c > 0;   -- documents have to be read again after the changes
  v_new uuid[] := '{}';    -- new messages in order, their place in m_*, and their documents
  v_at integer[] := '{}';
  v_json text[] := '{}';
  v_updated uuid[] := '{}';    -- messages with a message_update
  v_status_of uuid[] := '{}';  -- messages with a new status
  v_status text[] := '{}';
  v_touched uuid[] := '{}';    -- conversations changed otherwise than by a new message
  v_ct text[];             -- tenant, id and document head of each changed conversation
  v_ci uuid[];
  v_ch text[];
  u_tenant text[] := '{}';
  u_user text[] := '{}';
  u_platform text[] := '{}';
  u_delta integer[] := '{}';
  e_tenant text[];
  e_user text[];
  e_type text[];
  e_conversation uuid[];
  e_message uuid[];
  e_data text[];
  v_ids uuid[];
  v_d integer;
  v_counts integer[];
  v_effect change_effect;
  r record;
BEGIN
  -- 1. The conversations, locked: all of them, or none when one is missing, because making one locks its
  -- account first.
  IF n_m > 0 AND n_c = 0 THEN
    WITH k AS (
      SELECT d_tenant[i.d] AS t, d_account[i.d] AS a, i.ext, array_agg(i.ord) AS places
      FROM unnest(m_delivery, m_conv_ext) WITH ORDINALITY AS i(d, ext, ord)
      GROUP BY 1, 2, 3),
    found AS MATERIALIZED (
      SELECT c.tenant_id, c.id, k.places
      FROM k JOIN conversations c ON c.tenant_id = k.t AND c.account_id = k.a AND c.external_id = k.ext),
    locked AS MATERIALIZED (
      SELECT c.id, c.pending_count > 0 OR c.peer_read_at IS NOT NULL AS special, f.places
      FROM found f JOIN conversations c ON c.tenant_id = f.tenant_id AND c.id = f.id
      WHERE (SELECT count(*) FROM found) = (SELECT count(*) FROM k)
      ORDER BY c.id FOR NO KEY UPDATE OF c)
    SELECT array_agg(x.id ORDER BY x.place), count(*) < n_m, coalesce(bool_or(x.special), false)
    INTO v_mconv, v_missing, v_special
    FROM (SELECT l.id, l.special, unnest(l.places) AS place FROM locked l) x;
  END IF;
  IF v_missing AND n_m + n_c > 0 THEN
    IF 'migrate' = ANY (c_kind) THEN
      PERFORM 1 FROM accounts a
      WHERE (a.tenant_id, a.id) IN (SELECT d_tenant[x.d], d_account[x.d] FROM unnest(c_delivery) AS x(d))
      ORDER BY a.tenant_id, a.id FOR SHARE;
    END IF;
    SELECT lock_conversations(
        array_agg(d_tenant[k.d] ORDER BY k.part, k.ord), array_agg(d_account[k.d] ORDER BY k.part, k.ord),
        array_agg(d_platform[k.d] ORDER BY k.part, k.ord), array_agg(k.ext ORDER BY k.part, k.ord),
        array_agg(k.id ORDER BY k.part, k.ord), array_agg(k.kind ORDER BY k.part, k.ord),
        array_agg(k.make ORDER BY k.part, k.ord))
    INTO v_ids
    FROM (
      SELECT 1 AS part, i.ord, i.d, i.ext, i.id, i.kind, true AS make
      FROM unnest(m_delivery, m_conv_ext, m_conv_id, m_conv_kind) WITH ORDINALITY AS i(d, ext, id, kind, ord)
      UNION ALL
      SELECT 2, i.ord, i.d, i.ext, NULL, NULL, i.kind <> 'migrate'
      FROM unnest(c_delivery, c_conv_ext, c_kind) WITH ORDINALITY AS i(d, ext, kind, ord)
      UNION ALL
      SELECT 3, i.ord, i.d, i.body::json ->> 'to', NULL, NULL, false
      FROM unnest(c_delivery, c_kind, c_body) WITH ORDINALITY AS i(d, kind, body, ord)
      WHERE i.kind = 'migrate') k;
    v_mconv := v_ids[1:n_m];
    v_cconv := v_ids[n_m + 1:n_m + n_c];
    v_special := true;
  END IF;

  IF n_m > 0 THEN
    -- 2. The messages. One that is there already is left as it is.
    WITH ins AS (
      INSERT INTO messages AS m (
        tenant_id, id, conversation_id, account_id, platform, origin, external_id, direction, kind, text,
        sender_id, sender_name, sender_avatar, reply_external_id, thread_id, attachments, details, preview,
        status, sent_at, order_hint, received_at)
      SELECT d_tenant[i.d], i.id, v_mconv[i.ord], d_account[i.d], d_platform[i.d], i.conv_ext, i.ext, i.dir,
        i.kind, i.text, i.sender_id, i.sender_name, i.sender_avatar, i.reply_ext, i.thread,
        i.attachments, i.details, i.preview, i.status, i.sent, coalesce(i.ord_hint, 0), d_received[i.d]
      FROM unnest(m_delivery, m_id, m_conv_ext, m_ext, m_dir, m_kind, m_text, m_sender_id, m_sender_name,
          m_sender_avatar, m_reply_ext, m_thread, m_attachments, m_details, m_preview, m_status, m_sent, m_order)
        WITH ORDINALITY AS i(d, id, conv_ext, ext, dir, kind, text, sender_id, sender_name, sender_avatar,
          reply_ext, thread, attachments, details, preview, status, sent, ord_hint, ord)
      ON CONFLICT (tenant_id, conversation_id, external_id, origin) DO NOTHING
      RETURNING m.id, message_json(m, NULL) AS json)
    SELECT coalesce(array_agg(ins.id), '{}'), coalesce(array_agg(ins.json), '{}') INTO v_new, v_json FROM ins;

    IF cardinality(v_new) = n_m THEN
      v_at := ARRAY(SELECT generate_series(1, n_m));
    ELSE
      v_at := ARRAY(SELECT i.ord FROM unnest(m_id) WITH ORDINALITY AS i(id, ord)
        WHERE i.id = ANY (v_new) ORDER BY i.ord);
      -- A later parser understands what an earlier one did not.
      SELECT array_agg(u) INTO v_ids FROM upgrade_unsupported(
        ARRAY(SELECT d_tenant[i] FROM unnest(m_delivery) AS i), v_mconv, m_conv_ext, m_ext, m_kind, m_text,
        m_attachments, m_details, m_preview) AS u;
      IF v_ids IS NOT NULL THEN
        v_updated := ARRAY(SELECT x FROM unnest(v_ids) AS x WHERE x <> ALL (v_new));
        v_slow := true;
      END IF;
    END IF;
  END IF;

  IF cardinality(v_new) > 0 THEN
    IF array_remove(m_attachments, NULL) <> '{}' THEN
      PERFORM store_attachments(d_tenant[m_delivery[n.i]], n.id, m_attachments[n.i])
      FROM unnest(v_at, v_new) AS n(i, id) WHERE m_attachments[n.i] IS NOT NULL;
    END IF;
    IF array_remove(m_reply_ext, NULL) <> '{}' THEN v_slow := true; END IF;
    IF v_special THEN
      WITH done AS (
        UPDATE messages m SET status = 'read'
        FROM unnest(v_at, v_new) AS n(i, id)
        JOIN conversations c ON c.tenant_id = d_tenant[m_delivery[n.i]] AND c.id = v_mconv[n.i]
        WHERE m.tenant_id = c.tenant_id AND m.id = n.id AND m.direction = 1
          AND (m.sent_at, m.order_hint) <= (c.peer_read_at, c.peer_read_order)
        RETURNING 1)
      SELECT v_slow OR EXISTS (SELECT 1 FROM done) INTO v_slow;
    END IF;

    -- 3. Who wrote: only what is new or differs costs more than a look.
    IF EXISTS (
      SELECT 1 FROM unnest(v_at) AS n(i)
      LEFT JOIN participants p ON p.tenant_id = d_tenant[m_delivery[n.i]] AND p.conversation_id = v_mconv[n.i]
        AND p.id = m_sender_id[n.i]
      WHERE m_dir[n.i] = 0 AND m_sender_id[n.i] IS NOT NULL
        AND (p.id IS NULL OR p.name IS DISTINCT FROM m_sender_name[n.i]
          OR p.avatar IS DISTINCT FROM m_sender_avatar[n.i])) THEN
      PERFORM note_senders(
        array_agg(d_tenant[m_delivery[n.i]]), array_agg(v_mconv[n.i]), array_agg(m_sender_id[n.i]),
        array_agg(m_sender_name[n.i]), array_agg(m_sender_avatar[n.i]))
      FROM unnest(v_at) AS n(i) WHERE m_dir[n.i] = 0 AND m_sender_id[n.i] IS NOT NULL;
    END IF;

    -- 4. Unread: inbound messages behind each user's read position. What is imported from before was read then: the
    -- position moves behind it instead.
    IF quiet THEN
      WITH newest AS (
        SELECT DISTINCT ON (d_tenant[m_delivery[n.i]], v_mconv[n.i])
          d_tenant[m_delivery[n.i]] AS t, v_mconv[n.i] AS conv, m_sent[n.i] AS sent, coalesce(m_order[n.i], 0) AS ord, n.id
        FROM unnest(v_at, v_new) AS n(i, id)
        ORDER BY 1, 2, m_sent[n.i] DESC, coalesce(m_order[n.i], 0) DESC, n.id DESC),
      moved AS (
        UPDATE memberships s SET read_at = x.sent, read_order = x.ord, read_id = x.id,
          unread_count = count_unread(s.tenant_id, s.conversation_id, x.sent, x.ord, x.id)
        FROM newest x JOIN memberships o ON o.tenant_id = x.t AND o.conversation_id = x.conv
        WHERE s.tenant_id = o.tenant_id AND s.conversation_id = o.conversation_id AND s.user_id = o.user_id
          AND (o.read_at IS NULL OR (x.sent, x.ord, x.id) > (o.read_at, o.read_order, o.read_id))
        RETURNING s.tenant_id, s.user_id, s.platform, s.unread_count - o.unread_count AS n)
      SELECT coalesce(array_agg(x.tenant_id), '{}'), coalesce(array_agg(x.user_id), '{}'),
        coalesce(array_agg(x.platform), '{}'), coalesce(array_agg(x.n), '{}')
      INTO u_tenant, u_user, u_platform, u_delta FROM moved x;
    ELSE
      WITH more AS (
        SELECT s.tenant_id, s.conversation_id, s.user_id, count(*)::integer AS n
        FROM unnest(v_at, v_new) AS n(i, id)
        JOIN memberships s ON s.tenant_id = d_tenant[m_delivery[n.i]] AND s.conversation_id = v_mconv[n.i]
        WHERE m_dir[n.i] = 0
          AND (s.read_at IS NULL OR (m_sent[n.i], coalesce(m_order[n.i], 0), n.id) > (s.read_at, s.read_order, s.read_id))
        GROUP BY s.tenant_id, s.conversation_id, s.user_id),
      counted AS (
        UPDATE memberships s SET unread_count = s.unread_count + more.n FROM more
        WHERE s.tenant_id = more.tenant_id AND s.conversation_id = more.conversation_id
          AND s.user_id = more.user_id
        RETURNING s.tenant_id, s.user_id, s.platform, more.n)
      SELECT coalesce(array_agg(x.tenant_id), '{}'), coalesce(array_agg(x.user_id), '{}'),
        coalesce(array_agg(x.platform), '{}'), coalesce(array_agg(x.n), '{}')
      INTO u_tenant, u_user, u_platform, u_delta FROM counted x;
    END IF;

    -- 5. The conversations: the newest message only moves forward, an inbound message reopens.
    WITH newest AS (
      SELECT DISTINCT ON (x.t, x.conv) x.*,
        bool_or(x.dir = 0) OVER w AS inbound,
        first_value(x.ctitle) OVER t AS title, first_value(x.sent) OVER t AS title_at,
        first_value(x.ord) OVER t AS title_order
      FROM (
        SELECT d_tenant[m_delivery[n.i]] AS t, v_mconv[n.i] AS conv, n.id, n.i, m_sent[n.i] AS sent,
          coalesce(m_order[n.i], 0) AS ord, m_dir[n.i] AS dir, m_conv_title[n.i] AS ctitle
        FROM unnest(v_at, v_new) AS n(i, id)) x
      WINDOW w AS (PARTITION BY x.t, x.conv),
        t AS (PARTITION BY x.t, x.conv ORDER BY x.ctitle IS NULL, x.sent DESC, x.ord DESC, x.ctitle DESC)
      ORDER BY x.t, x.conv, x.sent DESC, x.ord DESC, x.id DESC),
    judged AS (
      SELECT x.*, c.last_message_id IS NULL
          OR (x.sent, x.ord, x.id) > (c.last_activity_at, c.last_order, c.last_message_id) AS newer,
        x.title IS NOT NULL AND (c.title_at IS NULL
          OR (x.title_at, x.title_order, x.title) > (c.title_at, c.title_order, c.title)) AS retitled
      FROM newest x JOIN conversations c ON c.tenant_id = x.t AND c.id = x.conv),
    moved AS (
      UPDATE conversations c SET
        last_message_id = CASE WHEN j.newer THEN j.id ELSE c.last_message_id END,
        last_activity_at = CASE WHEN j.newer THEN j.sent ELSE c.last_activity_at END,
        last_order = CASE WHEN j.newer THEN j.ord ELSE c.last_order END,
        last_kind = CASE WHEN j.newer THEN m_kind[j.i] ELSE c.last_kind END,
        last_direction = CASE WHEN j.newer THEN j.dir ELSE c.last_direction END,
        last_preview = CASE WHEN j.newer THEN m_preview[j.i] ELSE c.last_preview END,
        last_sender_id = CASE WHEN j.newer THEN m_sender_id[j.i] ELSE c.last_sender_id END,
        last_sender_name = CASE WHEN j.newer THEN m_sender_name[j.i] ELSE c.last_sender_name END,
        title = CASE WHEN j.retitled THEN j.title ELSE c.title END,
        title_at = CASE WHEN j.retitled THEN j.title_at ELSE c.title_at END,
        title_order = CASE WHEN j.retitled THEN j.title_order ELSE c.title_order END,
        kind = CASE WHEN c.kind = 'unknown' THEN coalesce(m_conv_kind[j.i], 'unknown') ELSE c.kind END,
        state = CASE WHEN j.inbound AND NOT quiet THEN 'open' ELSE c.state END,
        snoozed_until = CASE WHEN j.inbound AND NOT quiet THEN NULL ELSE c.snoozed_until END
      FROM judged j WHERE c.tenant_id = j.t AND c.id = j.conv
      RETURNING c.tenant_id, c.id, conversation_head(c) AS head)
    SELECT array_agg(x.tenant_id), array_agg(x.id), array_agg(x.head) INTO v_ct, v_ci, v_ch FROM moved x;

    -- 6a. Changes that came before their messages.
    IF v_special THEN
      FOR r IN
        WITH taken AS (
          DELETE FROM pending_changes p USING unnest(v_at) AS n(i)
          WHERE p.tenant_id = d_tenant[m_delivery[n.i]] AND p.conversation_id = v_mconv[n.i]
            AND p.external_id = m_ext[n.i] AND p.origin = m_conv_ext[n.i]
          RETURNING p.*, n.i),
        counted AS (
          UPDATE conversations c SET pending_count = c.pending_count - x.n
          FROM (SELECT tenant_id, conversation_id, count(*) AS n FROM taken GROUP BY 1, 2) x
          WHERE c.tenant_id = x.tenant_id AND c.id = x.conversation_id)
        SELECT t.* FROM taken t ORDER BY t.i, t.at, t.ord, t.kind, t.digest
      LOOP
        v_slow := true;
        v_effect := apply_change(
          r.tenant_id, r.conversation_id, r.origin, r.kind, r.external_id, r.at, r.ord, r.body);
        IF v_effect.effect = 'message' THEN v_updated := v_updated || v_effect.messages; END IF;
        IF v_effect.effect = 'status' THEN
          v_status_of := v_status_of || v_effect.messages;
          v_status := v_status || array_fill(v_effect.status, ARRAY[cardinality(v_effect.messages)]);
        END IF;
        IF v_effect.users IS NOT NULL THEN
          u_tenant := u_tenant || array_fill(r.tenant_id, ARRAY[cardinality(v_effect.users)]);
          u_user := u_user || v_effect.users;
          u_platform := u_platform || array_fill(d_platform[m_delivery[r.i]], ARRAY[cardinality(v_effect.users)]);
          u_delta := u_delta || array_fill(-1, ARRAY[cardinality(v_effect.users)]);
        END IF;
      END LOOP;
    END IF;
  END IF;

  -- 6b. The changes of this group.
  FOR i IN 1..n_c LOOP
    v_d := c_delivery[i];
    IF c_kind[i] = 'migrate' THEN
      v_ids := lock_conversations(
        ARRAY[d_tenant[v_d], d_tenant[v_d]], ARRAY[d_account[v_d], d_account[v_d]],
        ARRAY[d_platform[v_d], d_platform[v_d]], ARRAY[c_conv_ext[i], c_body[i]::json ->> 'to'],
        NULL, NULL, ARRAY[false, false]);
      IF v_ids[1] IS NULL AND v_ids[2] IS NULL THEN
        v_ids := lock_conversations(
          ARRAY[d_tenant[v_d], d_tenant[v_d]], ARRAY[d_account[v_d], d_account[v_d]],
          ARRAY[d_platform[v_d], d_platform[v_d]], ARRAY[c_conv_ext[i], c_body[i]::json ->> 'to'],
          NULL, NULL, ARRAY[false, true]);
      END IF;
      SELECT * INTO r FROM migrate_conversation(
        d_tenant[v_d], d_account[v_d], v_ids[1], c_conv_ext[i], v_ids[2], c_body[i]::json ->> 'to');
      IF r.kept IS NOT NULL THEN v_touched := v_touched || r.kept; END IF;
      IF r.gone IS NOT NULL THEN
        v_mconv := array_replace(v_mconv, r.gone, r.kept);
        v_cconv := array_replace(v_cconv, r.gone, r.kept);
        v_touched := array_replace(v_touched, r.gone, r.kept);
        v_ci := array_replace(v_ci, r.gone, r.kept);
        u_tenant := u_tenant || array_fill(d_tenant[v_d], ARRAY[coalesce(cardinality(r.u_users), 0)]);
        u_user := u_user || coalesce(r.u_users, '{}');
        u_platform := u_platform || array_fill(d_platform[v_d], ARRAY[coalesce(cardinality(r.u_users), 0)]);
        u_delta := u_delta || coalesce(r.u_deltas, '{}');
      END IF;
      CONTINUE;
    END IF;
    -- After a migration in this group the id has to be looked up again.
    IF v_cconv[i] IS NULL THEN CONTINUE; END IF;
    v_effect := apply_change(
      d_tenant[v_d], v_cconv[i], c_conv_ext[i], c_kind[i], c_ext[i], coalesce(c_at[i], d_received[v_d]),
      coalesce(c_order[i], 0), c_body[i]);
    CASE v_effect.effect
      WHEN 'message' THEN v_updated := v_updated || v_effect.messages;
      WHEN 'status' THEN
        v_status_of := v_status_of || v_effect.messages;
        v_status := v_status || array_fill(v_effect.status, ARRAY[cardinality(v_effect.messages)]);
      WHEN 'conversation' THEN v_touched := v_touched || v_cconv[i];
      ELSE NULL;
    END CASE;
    IF v_effect.users IS NOT NULL THEN
      v_touched := v_touched || v_cconv[i];
      u_tenant := u_tenant || array_fill(d_tenant[v_d], ARRAY[cardinality(v_effect.users)]);
      u_user := u_user || v_effect.users;
      u_platform := u_platform || array_fill(d_platform[v_d], ARRAY[cardinality(v_effect.users)]);
      u_delta := u_delta || array_fill(-1, ARRAY[cardinality(v_effect.users)]);
    END IF;
  END LOOP;

  -- 7. The ledger.
  v_counts := array_fill(0, ARRAY[cardinality(d_id)]);
  FOREACH v_d IN ARRAY v_at LOOP
    v_counts[m_delivery[v_d]] := v_counts[m_delivery[v_d]] + 1;
  END LOOP;
  INSERT INTO deliveries AS o (
    tenant_id, id, received_at, account_id, platform, headers, body, hash, parser, state, reason,
    item_count, message_count)
  SELECT d.tenant, d.id, d.received, d.account, d.platform, d.headers, d.body, d.hash, d.parser, d.state, d.reason,
    coalesce(d.items, 0), d.messages
  FROM unnest(d_id, d_tenant, d_account, d_platform, d_received, d_headers, d_body, d_hash, d_parser, d_state,
      d_reason, d_items, v_counts)
    AS d(id, tenant, account, platform, received, headers, body, hash, parser, state, reason, items, messages)
  ON CONFLICT (tenant_id, id, received_at) DO UPDATE
    SET state = excluded.state, reason = excluded.reason, parser = excluded.parser,
      item_count = excluded.item_count, message_count = o.message_count + excluded.message_count;

  IF cardinality(v_new) + cardinality(v_updated) + cardinality(v_status_of) + cardinality(v_touched) = 0 THEN
    RETURN;
  END IF;

  -- 8. The documents, and the events in each user's order.
  IF quiet THEN
    RETURN QUERY SELECT * FROM write_events(
      NULL, NULL, NULL, NULL, NULL, NULL, u_tenant, u_user, u_platform, u_delta, notify);
    RETURN;
  END IF;
  IF NOT v_slow THEN
    -- Looked up by index and by place in an array: joins between arrays would compare each with each.
    WITH drafts AS (
      SELECT s.tenant_id AS t, s.user_id, 1 AS rank, n.ord, 'new_message' AS type, s.conversation_id AS conv,
        n.id AS msg,
        '{"message":' || n.json || ',"conversation":' || v_ch[array_position(v_ci, s.conversation_id)]
          || conversation_tail(s.unread_count, s.muted) || '}' AS data
      FROM unnest(v_at, v_new, v_json) WITH ORDINALITY AS n(i, id, json, ord)
      JOIN memberships s ON s.tenant_id = d_tenant[m_delivery[n.i]] AND s.conversation_id = v_mconv[n.i]
      UNION ALL
      SELECT s.tenant_id, s.user_id, 4, c.ord, 'conversation_update', s.conversation_id, NULL,
        '{"conversation":' || c.head || conversation_tail(s.unread_count, s.muted) || '}'
      FROM unnest(v_ct, v_ci, v_ch) WITH ORDINALITY AS c(t, id, head, ord)
      JOIN memberships s ON s.tenant_id = c.t AND s.conversation_id = c.id)
    SELECT array_agg(x.t), array_agg(x.user_id), array_agg(x.type), array_agg(x.conv), array_agg(x.msg),
      array_agg(x.data)
    INTO e_tenant, e_user, e_type, e_conversation, e_message, e_data
    FROM (SELECT * FROM drafts ORDER BY rank, ord) x;
  ELSE
    SELECT * INTO e_tenant, e_user, e_type, e_conversation, e_message, e_data
    FROM draft_events(d_tenant, m_delivery, c_delivery, v_mconv, v_cconv, v_at, v_new, v_updated, v_status_of,
      v_status, v_touched);
  END IF;
  RETURN QUERY SELECT * FROM write_events(
    e_tenant, e_user, e_type, e_conversation, e_message, e_data, u_tenant, u_user, u_platform, u_delta, notify);
END $$;

DO $$
DECLARE
  v_table text;
  f record;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['polls', 'account_tokens'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO hub_writer', v_table);
    EXECUTE format('CREATE POLICY writer ON %I TO hub_writer USING (true) WITH CHECK (true)', v_table);
  END LOOP;
  FOR f IN
    SELECT p.oid::regprocedure AS signature FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN (
      'claim_token', 'set_account_state', 'set_polling', 'take_polls', 'free_polls', 'poll_page', 'begin_sweep',
      'release_poll', 'poll_soon', 'ingest')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.signature);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_writer', f.signature);
  END LOOP;
END $$;
