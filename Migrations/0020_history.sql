-- Where history ends: what was said after an account was connected is news, in whatever way it is found.

-- began_at: when polling was set up; messages from then on are news, however late the first poll is.
-- history_before: messages from then on are no history; null: it was due before this was kept.
ALTER TABLE polls ADD COLUMN history_before timestamptz, ADD COLUMN began_at timestamptz NOT NULL DEFAULT now();

-- As before; the end of the history is when it becomes due. Another role begins anew where nothing was read in it.
CREATE OR REPLACE FUNCTION set_polling(tenant text, account uuid, platform text, role text, after timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO polls AS p (tenant_id, account_id, platform, role, history, history_after, history_before, swept_at)
  VALUES (tenant, account, set_polling.platform, set_polling.role, CASE WHEN after IS NULL THEN 'none' ELSE 'due' END,
    after, CASE WHEN after IS NOT NULL THEN now() END, now())
  ON CONFLICT (tenant_id, account_id) DO UPDATE SET role = excluded.role, failures = 0,
    due_at = CASE WHEN p.node IS NULL THEN now() ELSE p.due_at END,
    history = CASE WHEN p.history = 'none' THEN excluded.history ELSE p.history END,
    history_after = coalesce(p.history_after, excluded.history_after),
    began_at = CASE WHEN p.role <> excluded.role AND p.cursor IS NULL THEN now() ELSE p.began_at END,
    history_before = CASE WHEN p.history = 'none' THEN excluded.history_before ELSE p.history_before END;
END $$;

-- As before; who forgets its place forgets those of history and sweep as well.
CREATE OR REPLACE FUNCTION release_poll(
  tenant text, account uuid, token bigint, wait_seconds double precision, interval_seconds double precision,
  failures integer, forget_cursor boolean
) RETURNS void LANGUAGE sql AS $$
UPDATE polls p SET node = NULL, due_at = now() + make_interval(secs => $4), interval_seconds = $5, failures = $6,
  cursor = CASE WHEN $7 THEN NULL ELSE p.cursor END,
  history_cursor = CASE WHEN $7 THEN NULL ELSE p.history_cursor END,
  sweep_cursor = CASE WHEN $7 THEN NULL ELSE p.sweep_cursor END
WHERE p.tenant_id = $1 AND p.account_id = $2 AND p.token = $3
$$;
