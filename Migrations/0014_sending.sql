-- Sending: what users want to be done on a platform, and how far it got.
--
-- A job is a row from the moment it is asked for. A worker takes it (sending) before the platform is called, so
-- after a crash it is known that a call may have gone out. Then it ends (done, dead), waits for another try
-- (queued) or for news of what became of it (unknown). Jobs of a conversation are done one after the other.
--
-- Lock order: as in 0005; jobs after their conversation.

-- ord: the order within a conversation: rows are made under the conversation's lock.
-- action, body: what is to be done, as the hub wrote it. matches: what an echo of the message would say.
-- is_repeatable: the platform does it once however often it is asked with the job's id.
-- node: who is at it. due_at: not before; of an unknown job: when it is given up.
CREATE TABLE outbox (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  ord bigint GENERATED ALWAYS AS IDENTITY,
  account_id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  conversation_id uuid NOT NULL,
  message_id uuid,
  user_id text COLLATE "C" NOT NULL,
  action text NOT NULL CHECK (action IN ('message', 'edit', 'delete', 'react', 'read')),
  body text NOT NULL,
  matches text,
  is_repeatable boolean NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sending', 'unknown', 'done', 'dead')),
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  node text COLLATE "C",
  reason text,
  can_retry boolean,
  created_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE INDEX outbox_due ON outbox (due_at) WHERE state IN ('queued', 'unknown');
CREATE INDEX outbox_sending ON outbox (node) WHERE state = 'sending';
CREATE INDEX outbox_open ON outbox (tenant_id, conversation_id, ord)
  WHERE state IN ('queued', 'sending', 'unknown');
CREATE INDEX outbox_dead ON outbox (tenant_id, account_id, id DESC) WHERE state = 'dead';
CREATE INDEX outbox_message ON outbox (tenant_id, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;

-- Idempotency-Key of a user's requests. hash: of the request, so that another one is told apart.
CREATE TABLE idempotency_keys (
  tenant_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  hash bytea NOT NULL,
  result_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, user_id, key)
);

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Files that users brought to send them. file: as the hub wrote it (json); its content is in the file store.
CREATE TABLE uploads (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  file text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);

-- Whether sending a failed message again can help.
ALTER TABLE messages ADD COLUMN can_retry boolean;

-- unknown: the platform did not answer, so the message may be there.
CREATE OR REPLACE FUNCTION status_rank(status text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE $1 WHEN 'queued' THEN 1 WHEN 'unknown' THEN 2 WHEN 'sent' THEN 3 WHEN 'failed' THEN 4
  WHEN 'delivered' THEN 5 WHEN 'read' THEN 6 ELSE 0 END
$$;

-- What stands for the platform's id of a message that the platform has not got yet.
CREATE FUNCTION local_id(message uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT 'local:' || $1 $$;

-- As before, with canRetry, and without an external id that is not the platform's.
CREATE OR REPLACE FUNCTION message_json(m messages, reply_id uuid) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
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
  || CASE WHEN ($1).can_retry IS NULL OR ($1).status <> 'failed' THEN '' WHEN ($1).can_retry THEN ',"canRetry":true'
       ELSE ',"canRetry":false' END
  || ',"sentAt":' || json_time(($1).sent_at) || ',"receivedAt":' || json_time(($1).received_at)
  || ',"editedAt":' || json_time(($1).edited_at) || ',"deletedAt":' || json_time(($1).deleted_at)
  || ',"version":' || ($1).version || ',"externalId":'
  || CASE WHEN ($1).external_id = 'local:' || ($1).id THEN 'null' ELSE json_text(($1).external_id) END
  || ',"details":' || CASE WHEN ($1).deleted_at IS NULL THEN coalesce(($1).details, 'null') ELSE 'null' END
  || '}'
$$;

-- As before; a status update says why a message failed and whether trying again can help.
CREATE OR REPLACE FUNCTION draft_events(
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
      '{"messageId":"' || m.id || '","conversationId":"' || m.conversation_id || '","status":"' || s.status || '"'
        || CASE WHEN s.status IN ('failed', 'unknown')
             THEN coalesce(',"reason":' || to_json(m.status_reason)::text, '') ELSE '' END
        || CASE WHEN s.status = 'failed' AND m.can_retry IS NOT NULL
             THEN ',"canRetry":' || m.can_retry::text ELSE '' END || '}'
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

-- Writes the events of what was changed in one tenant: new messages, changed messages, new statuses (one for each
-- message), conversations that changed otherwise.
CREATE FUNCTION change_events(
  tenant text, new uuid[], updated uuid[], status_of uuid[], status text[], touched uuid[]
) RETURNS SETOF event_row LANGUAGE sql AS $$
SELECT w.* FROM draft_events(ARRAY[$1], NULL, NULL, NULL, NULL, NULL, $2, $3, $4, $5, $6) d,
  write_events(d.e_tenant, d.e_user, d.e_type, d.e_conversation, d.e_message, d.e_data, NULL, NULL, NULL, NULL,
    hub_has_peers()) w
$$;

-- Keeps an Idempotency-Key (null: none was given). Raises HB409 when it stands for another request, and HB208 with
-- the id of the first result when it stands for this one.
CREATE FUNCTION take_idempotency_key(tenant text, usr text, key text, hash bytea, result uuid) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  k idempotency_keys;
BEGIN
  IF take_idempotency_key.key IS NULL THEN RETURN; END IF;
  INSERT INTO idempotency_keys (tenant_id, user_id, key, hash, result_id)
  VALUES (tenant, usr, take_idempotency_key.key, take_idempotency_key.hash, result) ON CONFLICT DO NOTHING;
  IF FOUND THEN RETURN; END IF;
  SELECT * INTO k FROM idempotency_keys i
  WHERE i.tenant_id = tenant AND i.user_id = usr AND i.key = take_idempotency_key.key;
  IF k.hash = take_idempotency_key.hash THEN
    RAISE EXCEPTION '%', k.result_id USING ERRCODE = 'HB208';
  END IF;
  RAISE EXCEPTION 'the key stands for another request' USING ERRCODE = 'HB409';
END $$;

-- Makes a message of a user, and the job that sends it. What the other side wrote last is answered: the message does
-- not stand before it, even where the platform's clock is a little ahead.
-- Raises no_data_found when the user does not see the conversation; see take_idempotency_key.
CREATE FUNCTION queue_message(
  tenant text, usr text, conversation uuid, message uuid, job uuid, kind text, text text, attachments text,
  details text, preview text, reply_external text, thread text, at timestamptz, body text, matches text,
  is_repeatable boolean, key text, key_hash bytea
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  s memberships := lock_membership(tenant, usr, conversation);
  c conversations;
  v_at timestamptz := queue_message.at;
BEGIN
  PERFORM take_idempotency_key(tenant, usr, queue_message.key, key_hash, message);
  SELECT * INTO c FROM conversations x WHERE x.tenant_id = tenant AND x.id = conversation;
  IF c.last_activity_at BETWEEN v_at AND v_at + interval '5 minutes' THEN
    v_at := c.last_activity_at + interval '1 microsecond';
  END IF;
  INSERT INTO messages (
    tenant_id, id, conversation_id, account_id, platform, origin, external_id, direction, kind, text, sender_id,
    reply_external_id, thread_id, attachments, details, preview, status, sent_at, order_hint, received_at)
  VALUES (
    tenant, message, conversation, c.account_id, c.platform, c.external_id, local_id(message), 1,
    queue_message.kind, queue_message.text, usr, reply_external, queue_message.thread, queue_message.attachments,
    queue_message.details, queue_message.preview, 'queued', v_at, 0, queue_message.at);
  IF queue_message.attachments IS NOT NULL THEN
    PERFORM store_attachments(tenant, message, queue_message.attachments);
  END IF;
  IF c.last_message_id IS NULL
    OR (v_at, 0, message) > (c.last_activity_at, c.last_order, c.last_message_id) THEN
    UPDATE conversations x SET last_message_id = message, last_activity_at = v_at, last_order = 0,
      last_kind = queue_message.kind, last_direction = 1, last_preview = queue_message.preview,
      last_sender_id = usr, last_sender_name = NULL
    WHERE x.tenant_id = tenant AND x.id = conversation;
  END IF;
  INSERT INTO outbox (
    tenant_id, id, account_id, platform, conversation_id, message_id, user_id, action, body, matches, is_repeatable)
  VALUES (
    tenant, job, c.account_id, c.platform, conversation, message, usr, 'message', queue_message.body,
    queue_message.matches, queue_message.is_repeatable);
  RETURN QUERY SELECT * FROM change_events(tenant, ARRAY[message], '{}', '{}', '{}', '{}');
END $$;

-- A job that is no message: an edit, a deletion, a reaction, a read receipt. message: which one it is about.
-- Raises no_data_found when the user does not see the conversation; see take_idempotency_key.
CREATE FUNCTION queue_action(
  tenant text, usr text, conversation uuid, message uuid, job uuid, action text, body text, is_repeatable boolean,
  key text, key_hash bytea
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  s memberships := lock_membership(tenant, usr, conversation);
BEGIN
  PERFORM take_idempotency_key(tenant, usr, queue_action.key, key_hash, job);
  INSERT INTO outbox (
    tenant_id, id, account_id, platform, conversation_id, message_id, user_id, action, body, is_repeatable)
  VALUES (
    tenant, job, s.account_id, s.platform, conversation, message, usr, queue_action.action, queue_action.body,
    queue_action.is_repeatable);
END $$;

-- Takes jobs that are due: of each conversation the first that has not ended, and none while an earlier one of it
-- is under way.
CREATE FUNCTION take_jobs(node text, lim integer) RETURNS SETOF outbox LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH due AS (
      SELECT o.tenant_id, o.id FROM outbox o
      WHERE o.state = 'queued' AND o.due_at <= now() AND NOT EXISTS (
        SELECT 1 FROM outbox p
        WHERE p.tenant_id = o.tenant_id AND p.conversation_id = o.conversation_id AND p.ord < o.ord
          AND p.state IN ('queued', 'sending', 'unknown'))
      ORDER BY o.due_at, o.ord LIMIT lim FOR UPDATE SKIP LOCKED)
    UPDATE outbox o SET state = 'sending', attempts = o.attempts + 1, node = take_jobs.node
    FROM due d WHERE o.tenant_id = d.tenant_id AND o.id = d.id
    RETURNING o.*;
END $$;

-- A worker's job under its conversation's lock; nothing when it is not this worker's any more.
CREATE FUNCTION lock_job(tenant text, job uuid, node text) RETURNS outbox LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox;
BEGIN
  PERFORM 1 FROM conversations c
  WHERE c.tenant_id = tenant
    AND c.id = (SELECT x.conversation_id FROM outbox x WHERE x.tenant_id = tenant AND x.id = job)
  FOR NO KEY UPDATE;
  SELECT * INTO o FROM outbox x
  WHERE x.tenant_id = tenant AND x.id = job AND x.state = 'sending' AND x.node = lock_job.node FOR UPDATE;
  RETURN o;
END $$;

-- The message of a job is on the platform, under this id. What came for it before is applied. An echo that was stored
-- as a message of its own gives way: it is the same one.
-- Locks: the caller holds the conversation.
CREATE FUNCTION settle_message(
  tenant text, message uuid, external text, at timestamptz, ord bigint, status text
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  m messages;
  v_twin uuid;
  v_effect change_effect;
  r record;
BEGIN
  SELECT * INTO m FROM messages x WHERE x.tenant_id = tenant AND x.id = message;
  IF NOT FOUND THEN RETURN; END IF;
  IF external IS NOT NULL AND m.external_id = local_id(m.id) THEN
    UPDATE messages x SET external_id = local_id(x.id), deleted_at = coalesce(x.deleted_at, clock_timestamp())
    WHERE x.tenant_id = tenant AND x.conversation_id = m.conversation_id AND x.external_id = external
      AND x.origin = m.origin AND x.direction = 1 AND x.id <> m.id
    RETURNING x.id INTO v_twin;
    UPDATE messages x SET external_id = external, sent_at = coalesce(settle_message.at, x.sent_at),
      order_hint = coalesce(settle_message.ord, x.order_hint), can_retry = NULL
    WHERE x.tenant_id = tenant AND x.id = m.id;
    UPDATE conversations c SET last_activity_at = x.sent_at, last_order = x.order_hint
    FROM messages x
    WHERE c.tenant_id = tenant AND c.id = m.conversation_id AND c.last_message_id = m.id
      AND x.tenant_id = tenant AND x.id = m.id
      AND (x.sent_at, x.order_hint) > (c.last_activity_at, c.last_order);
  END IF;
  -- An answer of the platform is stronger than what was thought of a call without one.
  IF m.status IN ('failed', 'unknown', 'queued') THEN
    UPDATE messages x SET status = 'queued', status_reason = NULL, can_retry = NULL
    WHERE x.tenant_id = tenant AND x.id = m.id;
  END IF;
  SELECT * INTO m FROM messages x WHERE x.tenant_id = tenant AND x.id = message;
  PERFORM apply_status(m, coalesce(settle_message.at, clock_timestamp()),
    json_build_object('status', settle_message.status)::text);
  FOR r IN
    WITH taken AS (
      DELETE FROM pending_changes p
      WHERE p.tenant_id = tenant AND p.conversation_id = m.conversation_id AND p.external_id = m.external_id
        AND p.origin = m.origin
      RETURNING p.*),
    counted AS (
      UPDATE conversations c SET pending_count = c.pending_count - x.n
      FROM (SELECT count(*) AS n FROM taken) x
      WHERE c.tenant_id = tenant AND c.id = m.conversation_id AND x.n > 0)
    SELECT * FROM taken ORDER BY at, ord, kind, digest
  LOOP
    v_effect := apply_change(tenant, r.conversation_id, r.origin, r.kind, r.external_id, r.at, r.ord, r.body);
  END LOOP;
  UPDATE messages x SET status = 'read' FROM conversations c
  WHERE x.tenant_id = tenant AND x.id = m.id AND c.tenant_id = tenant AND c.id = m.conversation_id
    AND (x.sent_at, x.order_hint) <= (c.peer_read_at, c.peer_read_order) AND x.status <> 'read';
  SELECT * INTO m FROM messages x WHERE x.tenant_id = tenant AND x.id = message;
  RETURN QUERY SELECT * FROM change_events(
    tenant, '{}', array_remove(ARRAY[m.id, v_twin], NULL), ARRAY[m.id], ARRAY[m.status], '{}');
END $$;

-- A message job ended well.
CREATE FUNCTION job_sent(
  tenant text, job uuid, node text, external text, at timestamptz, ord bigint, status text
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox := lock_job(tenant, job, job_sent.node);
BEGIN
  IF o.id IS NULL THEN RETURN; END IF;
  UPDATE outbox x SET state = 'done', finished_at = now(), reason = NULL WHERE x.tenant_id = tenant AND x.id = job;
  RETURN QUERY SELECT * FROM settle_message(tenant, o.message_id, external, job_sent.at, job_sent.ord, job_sent.status);
END $$;

-- A job that is no message ended well: the change is applied here as well. kind null: nothing is to be applied.
CREATE FUNCTION job_applied(
  tenant text, job uuid, node text, kind text, external text, at timestamptz, body text
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox := lock_job(tenant, job, job_applied.node);
  m messages;
  v_effect change_effect;
BEGIN
  IF o.id IS NULL THEN RETURN; END IF;
  UPDATE outbox x SET state = 'done', finished_at = now(), reason = NULL WHERE x.tenant_id = tenant AND x.id = job;
  IF job_applied.kind IS NULL OR o.message_id IS NULL THEN RETURN; END IF;
  SELECT * INTO m FROM messages x WHERE x.tenant_id = tenant AND x.id = o.message_id;
  v_effect := apply_change(
    tenant, o.conversation_id, m.origin, job_applied.kind, external, job_applied.at, 0, job_applied.body);
  IF v_effect.effect = 'message' THEN
    RETURN QUERY SELECT * FROM change_events(tenant, '{}', v_effect.messages, '{}', '{}', '{}');
  END IF;
END $$;

-- A job is tried again later. counts false: the try does not count, because the platform was not asked.
CREATE FUNCTION job_later(tenant text, job uuid, node text, due timestamptz, reason text, counts boolean)
RETURNS void LANGUAGE sql AS $$
UPDATE outbox o SET state = 'queued', due_at = $4, reason = $5, node = NULL,
  attempts = CASE WHEN $6 THEN o.attempts ELSE greatest(o.attempts - 1, 0) END
WHERE o.tenant_id = $1 AND o.id = $2 AND o.state = 'sending' AND o.node = $3
$$;

-- A job ended badly.
CREATE FUNCTION job_failed(tenant text, job uuid, node text, reason text, can_retry boolean)
RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox := lock_job(tenant, job, job_failed.node);
BEGIN
  IF o.id IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM bury_job(o, job_failed.reason, job_failed.can_retry);
END $$;

CREATE FUNCTION bury_job(o outbox, reason text, can_retry boolean) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  UPDATE outbox x SET state = 'dead', finished_at = now(), reason = bury_job.reason, can_retry = bury_job.can_retry
  WHERE x.tenant_id = o.tenant_id AND x.id = o.id;
  IF o.action <> 'message' THEN RETURN; END IF;
  UPDATE messages m SET status = 'failed', status_reason = bury_job.reason, can_retry = bury_job.can_retry
  WHERE m.tenant_id = o.tenant_id AND m.id = o.message_id AND status_rank(m.status) <= status_rank('failed');
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO statuses AS s (tenant_id, message_id, status, at, reason)
  VALUES (o.tenant_id, o.message_id, 'failed', now(), bury_job.reason)
  ON CONFLICT (tenant_id, message_id, status) DO UPDATE SET reason = excluded.reason;
  RETURN QUERY SELECT * FROM change_events(o.tenant_id, '{}', '{}', ARRAY[o.message_id], ARRAY['failed'], '{}');
END $$;

-- The platform did not answer: until `until` news of the message may come, then the job is given up.
CREATE FUNCTION job_unknown(tenant text, job uuid, node text, until timestamptz, reason text)
RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox := lock_job(tenant, job, job_unknown.node);
BEGIN
  IF o.id IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM doubt_job(o, until, job_unknown.reason);
END $$;

CREATE FUNCTION doubt_job(o outbox, until timestamptz, reason text) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  UPDATE outbox x SET state = 'unknown', due_at = until, reason = doubt_job.reason, node = NULL
  WHERE x.tenant_id = o.tenant_id AND x.id = o.id;
  UPDATE messages m SET status = 'unknown', status_reason = doubt_job.reason
  WHERE m.tenant_id = o.tenant_id AND m.id = o.message_id AND m.status = 'queued' AND o.action = 'message';
  IF NOT FOUND THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM change_events(o.tenant_id, '{}', '{}', ARRAY[o.message_id], ARRAY['unknown'], '{}');
END $$;

-- Jobs of nodes that are gone: the call may have been made, so they are repeated where that does no harm and are
-- unknown elsewhere. Unknown ones whose time is up are given up. One at a time, each under its conversation's lock.
CREATE FUNCTION recover_jobs(wait interval, lost text, given_up text) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  r record;
  o outbox;
BEGIN
  FOR r IN
    SELECT x.tenant_id, x.id, x.conversation_id FROM outbox x
    WHERE x.state = 'sending' AND NOT EXISTS (
      SELECT 1 FROM nodes n WHERE n.id = x.node AND n.seen_at > now() - interval '10 seconds')
    UNION ALL
    SELECT x.tenant_id, x.id, x.conversation_id FROM outbox x WHERE x.state = 'unknown' AND x.due_at <= now()
    ORDER BY 1, 3, 2 LIMIT 500
  LOOP
    PERFORM 1 FROM conversations c WHERE c.tenant_id = r.tenant_id AND c.id = r.conversation_id FOR NO KEY UPDATE;
    SELECT * INTO o FROM outbox x WHERE x.tenant_id = r.tenant_id AND x.id = r.id FOR UPDATE;
    IF o.state = 'unknown' AND o.due_at <= now() THEN
      RETURN QUERY SELECT * FROM bury_job(o, given_up, true);
    ELSIF o.state = 'sending' AND NOT EXISTS (
      SELECT 1 FROM nodes n WHERE n.id = o.node AND n.seen_at > now() - interval '10 seconds') THEN
      IF o.is_repeatable THEN
        UPDATE outbox x SET state = 'queued', due_at = now(), node = NULL, reason = lost
        WHERE x.tenant_id = o.tenant_id AND x.id = o.id;
      ELSE
        RETURN QUERY SELECT * FROM doubt_job(o, now() + wait, lost);
      END IF;
    END IF;
  END LOOP;
END $$;

-- Messages that the platform says this account sent: those that the hub sent itself and has no id of yet are
-- recognised, and get the id before they could be stored twice. By the id that the hub gave (token) where the
-- platform repeats it, otherwise by what they say, the oldest first.
-- Arrays, one element for each message. Locks: accounts, conversations, jobs.
CREATE FUNCTION recognise_echoes(
  k_tenant text[], k_account uuid[], k_conversation text[], k_external text[], k_matches text[], k_token uuid[],
  k_sent timestamptz[], k_order bigint[], k_status text[]
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  r record;
  o outbox;
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM outbox x
    JOIN (SELECT DISTINCT k.t, k.a FROM unnest(k_tenant, k_account) AS k(t, a)) k
      ON x.tenant_id = k.t AND x.account_id = k.a
    WHERE x.action = 'message' AND (x.state IN ('queued', 'sending', 'unknown')
      OR x.state = 'dead' AND x.finished_at > now() - interval '1 day')) THEN
    RETURN;
  END IF;
  PERFORM 1 FROM accounts a
  WHERE (a.tenant_id, a.id) IN (SELECT k.t, k.a FROM unnest(k_tenant, k_account) AS k(t, a))
  ORDER BY a.tenant_id, a.id FOR SHARE;
  FOR r IN
    SELECT k.*, c.id AS conversation_id
    FROM unnest(k_tenant, k_account, k_conversation, k_external, k_matches, k_token, k_sent, k_order, k_status)
      WITH ORDINALITY AS k(t, a, conv, ext, matches, token, sent, hint, status, n)
    JOIN conversations c ON c.tenant_id = k.t AND c.account_id = k.a AND c.external_id = k.conv
    ORDER BY c.id, k.n
  LOOP
    PERFORM 1 FROM conversations c WHERE c.tenant_id = r.t AND c.id = r.conversation_id FOR NO KEY UPDATE;
    CONTINUE WHEN EXISTS (
      SELECT 1 FROM messages m
      WHERE m.tenant_id = r.t AND m.conversation_id = r.conversation_id AND m.external_id = r.ext);
    SELECT x.* INTO o FROM outbox x
    JOIN messages m ON m.tenant_id = x.tenant_id AND m.id = x.message_id
    WHERE x.tenant_id = r.t AND x.conversation_id = r.conversation_id AND x.action = 'message'
      AND x.attempts > 0 AND m.external_id = local_id(m.id)
      AND (x.state IN ('queued', 'sending', 'unknown') OR x.state = 'dead' AND x.finished_at > now() - interval '1 day')
      AND (x.id = r.token OR (r.token IS NULL AND x.matches = r.matches))
    ORDER BY x.ord LIMIT 1;
    CONTINUE WHEN NOT FOUND;
    UPDATE outbox x SET state = 'done', finished_at = now(), reason = NULL, node = NULL
    WHERE x.tenant_id = o.tenant_id AND x.id = o.id;
    RETURN QUERY SELECT * FROM settle_message(r.t, o.message_id, r.ext, r.sent, r.hint, coalesce(r.status, 'sent'));
  END LOOP;
END $$;

-- Sends a dead message again, by hand. Raises no_data_found when there is no such message, and HB422 when it has
-- not failed.
CREATE FUNCTION retry_message(tenant text, usr text, message uuid) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  m messages;
  s memberships;
  v_job uuid;
BEGIN
  SELECT * INTO m FROM messages x WHERE x.tenant_id = tenant AND x.id = message;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such message' USING ERRCODE = 'no_data_found'; END IF;
  s := lock_membership(tenant, usr, m.conversation_id);
  UPDATE outbox x SET state = 'queued', due_at = now(), attempts = 0, node = NULL, finished_at = NULL,
    reason = NULL, can_retry = NULL
  WHERE x.tenant_id = tenant AND x.message_id = message AND x.action = 'message' AND x.state = 'dead'
  RETURNING x.id INTO v_job;
  IF v_job IS NULL THEN RAISE EXCEPTION 'the message has not failed' USING ERRCODE = 'HB422'; END IF;
  UPDATE messages x SET status = 'queued', status_reason = NULL, can_retry = NULL
  WHERE x.tenant_id = tenant AND x.id = message;
  DELETE FROM statuses x WHERE x.tenant_id = tenant AND x.message_id = message AND x.status = 'failed';
  RETURN QUERY SELECT * FROM change_events(tenant, '{}', '{}', ARRAY[message], ARRAY['queued'], '{}');
END $$;

-- Everything that a platform has to know to do something in a conversation. No row: the user does not see it.
CREATE FUNCTION send_target(tenant text, usr text, conversation uuid, message uuid)
RETURNS TABLE (
  account_id uuid, external_id text, kind text, title text, last_inbound_at timestamptz, last_inbound_id text,
  last_sender_id text, last_sender_name text, message_external_id text, message_sent_at timestamptz,
  message_direction smallint, last_inbound_details text)
LANGUAGE sql STABLE AS $$
SELECT c.account_id, c.external_id, c.kind, c.title, i.sent_at, i.external_id, i.sender_id, i.sender_name,
  m.external_id, m.sent_at, m.direction, i.details
FROM conversations c
JOIN memberships s ON s.tenant_id = c.tenant_id AND s.conversation_id = c.id AND s.user_id = $2
LEFT JOIN LATERAL (
  SELECT x.sent_at, x.external_id, x.sender_id, x.sender_name, x.details FROM messages x
  WHERE x.tenant_id = c.tenant_id AND x.conversation_id = c.id AND x.direction = 0
  ORDER BY x.sent_at DESC, x.order_hint DESC, x.id DESC LIMIT 1) i ON true
LEFT JOIN messages m ON m.tenant_id = c.tenant_id AND m.conversation_id = c.id AND m.id = $4
WHERE c.tenant_id = $1 AND c.id = $3
$$;

-- Forgets what is settled: jobs that are done after `done_age`, dead ones and keys after `dead_age`.
CREATE FUNCTION keep_outbox(done_age interval, dead_age interval) RETURNS void LANGUAGE sql AS $$
DELETE FROM outbox o WHERE o.finished_at < now() - $1 AND o.state = 'done' OR o.finished_at < now() - $2;
DELETE FROM idempotency_keys k WHERE k.created_at < now() - $2;
$$;

-- Not for readers at all: bodies may hold what is no message yet.
DO $$
DECLARE
  v_table text;
  f record;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['outbox', 'idempotency_keys', 'uploads'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO hub_writer', v_table);
    EXECUTE format('CREATE POLICY writer ON %I TO hub_writer USING (true) WITH CHECK (true)', v_table);
  END LOOP;
  FOR f IN
    SELECT p.oid::regprocedure AS signature FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN (
      'local_id', 'change_events', 'take_idempotency_key', 'queue_message', 'queue_action', 'take_jobs', 'lock_job',
      'settle_message', 'job_sent', 'job_applied', 'job_later', 'job_failed', 'bury_job', 'job_unknown', 'doubt_job',
      'recover_jobs', 'recognise_echoes', 'retry_message', 'send_target', 'keep_outbox')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.signature);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_writer', f.signature);
  END LOOP;
END $$;
