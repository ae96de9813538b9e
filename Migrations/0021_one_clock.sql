-- Several nodes as one: what is due is due by the database's clock, a page is stored only by who holds its account,
-- what a platform did counts whoever has the job by now, and what it wants left alone is known to all.

-- doubted: a call of the job may have arrived without an answer, so that what looks like its message may be it.
ALTER TABLE outbox ADD COLUMN doubted boolean NOT NULL DEFAULT false;
UPDATE outbox SET doubted = true
WHERE state = 'unknown' OR state = 'dead' AND finished_at > now() - interval '1 day';

-- As before, by the database's clock.
DROP FUNCTION job_later(text, uuid, text, timestamptz, text, boolean);
CREATE FUNCTION job_later(
  tenant text, job uuid, node text, wait_seconds double precision, reason text, counts boolean
) RETURNS void LANGUAGE sql AS $$
UPDATE outbox o SET state = 'queued', due_at = now() + make_interval(secs => $4), reason = $5, node = NULL,
  attempts = CASE WHEN $6 THEN o.attempts ELSE greatest(o.attempts - 1, 0) END
WHERE o.tenant_id = $1 AND o.id = $2 AND o.state = 'sending' AND o.node = $3
$$;

DROP FUNCTION job_unknown(text, uuid, text, timestamptz, text);
CREATE FUNCTION job_unknown(tenant text, job uuid, node text, wait_seconds double precision, reason text)
RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox := lock_job(tenant, job, job_unknown.node);
BEGIN
  IF o.id IS NULL THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM doubt_job(o, now() + make_interval(secs => wait_seconds), job_unknown.reason);
END $$;

DROP FUNCTION file_later(text, uuid, integer, text, text, timestamptz, text, boolean);
CREATE FUNCTION file_later(
  tenant text, message uuid, pos integer, node text, key text, wait_seconds double precision, reason text,
  counts boolean
) RETURNS void LANGUAGE sql AS $$
UPDATE attachments a SET state = 'remote', due_at = now() + make_interval(secs => $6), reason = $7, node = NULL,
  storage_key = NULL, attempts = CASE WHEN $8 THEN a.attempts ELSE greatest(a.attempts - 1, 0) END
WHERE a.tenant_id = $1 AND a.message_id = $2 AND a.position = $3 AND a.state = 'fetching' AND a.node = $4
  AND a.storage_key = $5
$$;

CREATE OR REPLACE FUNCTION doubt_job(o outbox, until timestamptz, reason text) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  UPDATE outbox x SET state = 'unknown', doubted = true, due_at = until, reason = doubt_job.reason, node = NULL
  WHERE x.tenant_id = o.tenant_id AND x.id = o.id;
  UPDATE messages m SET status = 'unknown', status_reason = doubt_job.reason
  WHERE m.tenant_id = o.tenant_id AND m.id = o.message_id AND m.status = 'queued' AND o.action = 'message';
  IF NOT FOUND THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM change_events(o.tenant_id, '{}', '{}', ARRAY[o.message_id], ARRAY['unknown'], '{}');
END $$;

-- A message that was given up was sent after all: that it had failed was what the hub thought.
CREATE FUNCTION take_back_failure(o outbox) RETURNS void LANGUAGE sql AS $$
DELETE FROM statuses s
WHERE ($1).state = 'dead' AND s.tenant_id = ($1).tenant_id AND s.message_id = ($1).message_id AND s.status = 'failed'
$$;

-- A message job ended well. What the platform did is so, whoever has the job by now: it may have been given up, or
-- handed to another node, while this one could not say so.
CREATE OR REPLACE FUNCTION job_sent(
  tenant text, job uuid, node text, external text, at timestamptz, ord bigint, status text
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  o outbox;
BEGIN
  PERFORM 1 FROM conversations c
  WHERE c.tenant_id = tenant
    AND c.id = (SELECT x.conversation_id FROM outbox x WHERE x.tenant_id = tenant AND x.id = job)
  FOR NO KEY UPDATE;
  SELECT * INTO o FROM outbox x
  WHERE x.tenant_id = tenant AND x.id = job AND x.action = 'message' AND x.state <> 'done' FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE outbox x SET state = 'done', finished_at = now(), reason = NULL, can_retry = NULL, node = NULL
  WHERE x.tenant_id = tenant AND x.id = job;
  PERFORM take_back_failure(o);
  RETURN QUERY SELECT * FROM settle_message(tenant, o.message_id, external, job_sent.at, job_sent.ord, job_sent.status);
END $$;

-- As before; and none while any other of its conversation is under way, which may be a later one when this one is
-- sent again by hand.
CREATE OR REPLACE FUNCTION take_jobs(node text, lim integer) RETURNS SETOF outbox LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH due AS (
      SELECT o.tenant_id, o.id FROM outbox o
      WHERE o.state = 'queued' AND o.due_at <= now() AND NOT EXISTS (
        SELECT 1 FROM outbox p
        WHERE p.tenant_id = o.tenant_id AND p.conversation_id = o.conversation_id
          AND p.state IN ('queued', 'sending', 'unknown') AND (p.ord < o.ord OR p.state = 'sending'))
      ORDER BY o.due_at, o.ord LIMIT lim FOR UPDATE SKIP LOCKED)
    UPDATE outbox o SET state = 'sending', attempts = o.attempts + 1, node = take_jobs.node
    FROM due d WHERE o.tenant_id = d.tenant_id AND o.id = d.id
    RETURNING o.*;
END $$;

-- As before. By what a message says only what may be it is recognised: it is not older than the job, but for clocks
-- that differ, and of those that failed not one that the platform refused.
CREATE OR REPLACE FUNCTION recognise_echoes(
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
      AND (x.id = r.token OR (
        r.token IS NULL AND x.matches = r.matches AND (x.state <> 'dead' OR x.doubted)
        AND (r.sent IS NULL OR r.sent >= x.created_at - interval '30 minutes')))
    ORDER BY x.ord LIMIT 1;
    CONTINUE WHEN NOT FOUND;
    UPDATE outbox x SET state = 'done', finished_at = now(), reason = NULL, can_retry = NULL, node = NULL
    WHERE x.tenant_id = o.tenant_id AND x.id = o.id;
    PERFORM take_back_failure(o);
    RETURN QUERY SELECT * FROM settle_message(r.t, o.message_id, r.ext, r.sent, r.hint, coalesce(r.status, 'sent'));
  END LOOP;
END $$;

-- As before; but a page that holds something is not stored at all when the account is somebody else's by now: HB410
-- ends its transaction.
CREATE OR REPLACE FUNCTION poll_page(
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
  IF NOT FOUND AND delivery IS NOT NULL THEN
    RAISE EXCEPTION 'the account is read by somebody else' USING ERRCODE = 'HB410';
  END IF;
  RETURN FOUND;
END $$;

-- Accounts with a message of which nobody knows are read soon: what is found may settle it before it is given up. Not
-- those that fail, which wait for a reason, and not sooner than every ten seconds where it is known when.
CREATE FUNCTION poll_doubted() RETURNS integer LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_count integer;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM outbox o WHERE o.state = 'unknown') THEN RETURN 0; END IF;
  WITH due AS (
    SELECT p.tenant_id, p.account_id FROM polls p
    WHERE p.role <> 'off' AND p.node IS NULL AND p.failures = 0 AND p.due_at > now()
      AND (p.polled_at IS NULL OR p.polled_at < now() - interval '10 seconds')
      AND EXISTS (
        SELECT 1 FROM outbox o
        WHERE o.state = 'unknown' AND o.action = 'message' AND o.tenant_id = p.tenant_id
          AND o.account_id = p.account_id)
    FOR UPDATE SKIP LOCKED),
  moved AS (
    UPDATE polls p SET due_at = now() FROM due d
    WHERE p.tenant_id = d.tenant_id AND p.account_id = d.account_id RETURNING 1)
  SELECT count(*) INTO v_count FROM moved;
  RETURN v_count;
END $$;

-- Accounts and apps that platforms want left alone, as some node was told. name: a code of which one it is.
CREATE TABLE pauses (
  tenant_id text COLLATE "C" NOT NULL,
  name bytea NOT NULL,
  until timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, name)
);

-- The longest pause counts.
CREATE FUNCTION keep_pause(tenant text, name bytea, seconds double precision) RETURNS void LANGUAGE sql AS $$
INSERT INTO pauses AS p (tenant_id, name, until) VALUES ($1, $2, now() + make_interval(secs => $3))
ON CONFLICT (tenant_id, name) DO UPDATE SET until = greatest(p.until, excluded.until)
$$;

DO $$
DECLARE
  f record;
BEGIN
  ALTER TABLE pauses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
  GRANT SELECT, INSERT, UPDATE, DELETE ON pauses TO hub_writer;
  CREATE POLICY writer ON pauses TO hub_writer USING (true) WITH CHECK (true);
  FOR f IN
    SELECT p.oid::regprocedure AS signature FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN (
      'job_later', 'job_unknown', 'file_later', 'take_back_failure', 'poll_doubted', 'keep_pause')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.signature);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_writer', f.signature);
  END LOOP;
END $$;
