-- What the reader role asks. The functions run with the caller's rights: row-level security bounds them to
-- hub.tenant and hub.user, and each query names tenant and user besides.

-- Conversations that the user sees, newest activity first, after (before_at, before_id) of the page before.
-- Each state of each of the user's accounts gives its newest `lim` from the index, then they are merged: the
-- cost does not grow with the size of an account. Where the user has few unread conversations, `unread` true
-- goes over those instead; where many, the walk finds them soon. The planner is held to the indices: what it
-- guesses from an empty or a freshly filled table would be kept for the life of the connection.
CREATE FUNCTION list_conversations(
  tenant text, usr text, platform text, state text, unread boolean, account uuid, before_at timestamptz,
  before_id uuid, lim integer
) RETURNS TABLE (id uuid, last_activity_at timestamptz, data text) LANGUAGE plpgsql STABLE
SET jit = off SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  few_unread constant integer := 1000;
  v_states text[] := CASE WHEN list_conversations.state IS NULL
    THEN ARRAY['open', 'pending', 'snoozed', 'closed'] ELSE ARRAY[list_conversations.state] END;
  v_at timestamptz := coalesce(list_conversations.before_at, 'infinity');
  v_id uuid := coalesce(list_conversations.before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
BEGIN
  IF list_conversations.unread AND few_unread > (
    SELECT count(*) FROM (
      SELECT 1 FROM memberships s WHERE s.tenant_id = tenant AND s.user_id = usr AND s.has_unread
      LIMIT few_unread) n) THEN
    RETURN QUERY
      SELECT c.id, c.last_activity_at, conversation_head(c) || conversation_tail(s.unread_count, s.muted)
      FROM memberships s
      JOIN conversations c ON c.tenant_id = s.tenant_id AND c.id = s.conversation_id
      WHERE s.tenant_id = tenant AND s.user_id = usr AND s.has_unread
        AND (list_conversations.account IS NULL OR s.account_id = list_conversations.account)
        AND (list_conversations.platform IS NULL OR s.platform = list_conversations.platform)
        AND c.state = ANY (v_states) AND (c.last_activity_at, c.id) < (v_at, v_id)
      ORDER BY c.last_activity_at DESC, c.id DESC LIMIT lim;
    RETURN;
  END IF;
  RETURN QUERY
    SELECT f.id, f.last_activity_at, f.head || conversation_tail(s.unread_count, s.muted)
    FROM (
      SELECT c.* FROM account_users u
      CROSS JOIN unnest(v_states) AS st (state)
      CROSS JOIN LATERAL (
        SELECT x.id, x.last_activity_at, conversation_head(x) AS head FROM conversations x
        WHERE x.tenant_id = tenant AND x.account_id = u.account_id AND x.state = st.state
          AND (x.last_activity_at, x.id) < (v_at, v_id)
          AND (list_conversations.unread IS NULL OR EXISTS (
            SELECT 1 FROM memberships k
            WHERE k.tenant_id = tenant AND k.conversation_id = x.id AND k.user_id = usr
              AND k.has_unread = list_conversations.unread))
        ORDER BY x.last_activity_at DESC, x.id DESC LIMIT lim) c
      WHERE u.tenant_id = tenant AND u.user_id = usr
        AND (list_conversations.account IS NULL OR u.account_id = list_conversations.account)
        AND (list_conversations.platform IS NULL OR EXISTS (
          SELECT 1 FROM accounts a
          WHERE a.tenant_id = tenant AND a.id = u.account_id AND a.platform = list_conversations.platform))
      ORDER BY c.last_activity_at DESC, c.id DESC LIMIT lim) f
    JOIN memberships s ON s.tenant_id = tenant AND s.conversation_id = f.id AND s.user_id = usr
    ORDER BY f.last_activity_at DESC, f.id DESC;
END $$;

CREATE FUNCTION get_conversation(tenant text, usr text, conversation uuid) RETURNS TABLE (data text)
LANGUAGE sql STABLE AS $$
SELECT conversation_head(c) || conversation_tail(s.unread_count, s.muted)
FROM conversations c
JOIN memberships s ON s.tenant_id = c.tenant_id AND s.conversation_id = c.id AND s.user_id = $2
WHERE c.tenant_id = $1 AND c.id = $3
$$;

-- Messages of a conversation by position.
--   last:   the newest `lim`, newest first
--   before: those before the anchor, newest first
--   after:  those after the anchor, oldest first
--   around: the anchor with half of `lim` on each side, newest first
-- An anchor that is not in the conversation, or a conversation that the user does not see: no rows.
CREATE FUNCTION list_messages(tenant text, usr text, conversation uuid, mode text, anchor uuid, lim integer)
RETURNS TABLE (id uuid, data text) LANGUAGE plpgsql STABLE
SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  a record;
BEGIN
  PERFORM 1 FROM memberships s
  WHERE s.tenant_id = tenant AND s.conversation_id = conversation AND s.user_id = usr;
  IF NOT FOUND THEN RETURN; END IF;
  IF mode = 'last' THEN
    RETURN QUERY
      SELECT m.id, message_json(m, CASE WHEN m.reply_external_id IS NOT NULL THEN reply_id(m) END)
      FROM messages m WHERE m.tenant_id = tenant AND m.conversation_id = conversation
      ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC LIMIT lim;
    RETURN;
  END IF;
  SELECT m.sent_at, m.order_hint, m.id INTO a FROM messages m
  WHERE m.tenant_id = tenant AND m.id = anchor AND m.conversation_id = conversation;
  IF NOT FOUND THEN RETURN; END IF;
  IF mode IN ('after', 'around') THEN
    RETURN QUERY
      SELECT x.id, x.data FROM (
        SELECT m.id, m.sent_at, m.order_hint,
          message_json(m, CASE WHEN m.reply_external_id IS NOT NULL THEN reply_id(m) END) AS data
        FROM messages m WHERE m.tenant_id = tenant AND m.conversation_id = conversation
          AND (m.sent_at, m.order_hint, m.id) > (a.sent_at, a.order_hint, a.id)
        ORDER BY m.sent_at, m.order_hint, m.id LIMIT CASE mode WHEN 'after' THEN lim ELSE lim / 2 END) x
      ORDER BY CASE mode WHEN 'after' THEN x.sent_at END, CASE mode WHEN 'after' THEN x.order_hint END,
        CASE mode WHEN 'after' THEN x.id END, x.sent_at DESC, x.order_hint DESC, x.id DESC;
  END IF;
  IF mode IN ('before', 'around') THEN
    RETURN QUERY
      SELECT m.id, message_json(m, CASE WHEN m.reply_external_id IS NOT NULL THEN reply_id(m) END)
      FROM messages m WHERE m.tenant_id = tenant AND m.conversation_id = conversation
        AND (m.sent_at, m.order_hint, m.id) <= (a.sent_at, a.order_hint, a.id)
        AND (mode = 'around' OR m.id <> a.id)
      ORDER BY m.sent_at DESC, m.order_hint DESC, m.id DESC
      LIMIT CASE mode WHEN 'before' THEN lim ELSE lim - lim / 2 END;
  END IF;
END $$;

CREATE FUNCTION get_message(tenant text, usr text, message uuid) RETURNS TABLE (data text)
LANGUAGE sql STABLE AS $$
SELECT message_json(m, CASE WHEN m.reply_external_id IS NOT NULL THEN reply_id(m) END)
FROM messages m
JOIN memberships s ON s.tenant_id = m.tenant_id AND s.conversation_id = m.conversation_id AND s.user_id = $2
WHERE m.tenant_id = $1 AND m.id = $3
$$;

CREATE FUNCTION unread_counts(tenant text, usr text) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT unread_json($1, $2) $$;

-- A user's events after a number, oldest first.
CREATE FUNCTION list_events(tenant text, usr text, after bigint, lim integer)
RETURNS TABLE (seq bigint, type text, at timestamptz, data text) LANGUAGE sql STABLE AS $$
SELECT e.seq, e.type, e.at, e.data FROM events e
WHERE e.tenant_id = $1 AND e.user_id = $2 AND e.seq > $3 ORDER BY e.seq LIMIT $4
$$;

-- Where a user's log begins and ends: events up to floor have been dropped, seq is the last.
CREATE FUNCTION event_bounds(tenant text, usr text) RETURNS TABLE (floor bigint, seq bigint)
LANGUAGE sql STABLE AS
$$ SELECT u.event_floor, u.event_seq FROM users u WHERE u.tenant_id = $1 AND u.id = $2 $$;

-- Accounts as the reader may see them: account_json reads whole rows, so the secrets are left out here.
-- The view runs with its owner's rights and names the bounds itself.
CREATE VIEW account_documents WITH (security_barrier) AS
SELECT a.tenant_id, a.id, a.created_at, account_json(a) AS data FROM accounts a
WHERE a.tenant_id = (SELECT current_setting('hub.tenant', true)) AND a.deleted_at IS NULL
  AND a.id IN (
    SELECT u.account_id FROM account_users u
    WHERE u.tenant_id = (SELECT current_setting('hub.tenant', true))
      AND u.user_id = (SELECT current_setting('hub.user', true)));

-- Accounts that the user sees, oldest first, as (id, data).
CREATE FUNCTION list_accounts(tenant text, usr text) RETURNS TABLE (id uuid, data text)
LANGUAGE sql STABLE AS $$
SELECT d.id, d.data FROM account_documents d
WHERE d.tenant_id = $1 AND d.id IN (
  SELECT u.account_id FROM account_users u WHERE u.tenant_id = $1 AND u.user_id = $2)
ORDER BY d.created_at, d.id
$$;

-- Recounts everything from the messages: a row for each number that is not right. tenant null: all tenants.
-- Empty when all is well. For the writer role: it looks across users.
CREATE FUNCTION verify_unread(tenant text DEFAULT NULL)
RETURNS TABLE (kind text, tenant_id text, user_id text, place text, stored bigint, counted bigint)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH counted AS (
      SELECT s.tenant_id, s.user_id, s.conversation_id, s.platform, s.unread_count,
        count_unread(s.tenant_id, s.conversation_id, s.read_at, s.read_order, s.read_id) AS n
      FROM memberships s WHERE tenant IS NULL OR s.tenant_id = tenant),
    totals AS (
      SELECT c.tenant_id, c.user_id, c.platform, sum(c.n)::bigint AS n FROM counted c GROUP BY 1, 2, 3),
    stored AS (
      SELECT u.tenant_id, u.user_id, u.platform, u.unread FROM user_unread u
      WHERE tenant IS NULL OR u.tenant_id = tenant)
    SELECT 'conversation', c.tenant_id, c.user_id, c.conversation_id::text, c.unread_count::bigint, c.n::bigint
    FROM counted c WHERE c.n <> c.unread_count
    UNION ALL
    SELECT 'platform', coalesce(t.tenant_id, s.tenant_id), coalesce(t.user_id, s.user_id),
      coalesce(t.platform, s.platform), coalesce(s.unread, 0), coalesce(t.n, 0)
    FROM totals t FULL JOIN stored s
      ON s.tenant_id = t.tenant_id AND s.user_id = t.user_id AND s.platform = t.platform
    WHERE coalesce(s.unread, 0) <> coalesce(t.n, 0)
    UNION ALL
    SELECT 'membership', u.tenant_id, u.user_id, c.id::text, 0, 1
    FROM account_users u
    JOIN conversations c ON c.tenant_id = u.tenant_id AND c.account_id = u.account_id
    WHERE (tenant IS NULL OR u.tenant_id = tenant) AND NOT EXISTS (
      SELECT 1 FROM memberships s
      WHERE s.tenant_id = u.tenant_id AND s.conversation_id = c.id AND s.user_id = u.user_id);
END $$;
