-- Users and accounts.

-- Makes sure that the tenant and the user have rows, and says where the user's event log stands. Writes only
-- when something differs. Idempotent. Locks: the user's row when it is written.
CREATE FUNCTION open_user(tenant text, usr text, email text, roles text[], OUT state text, OUT floor bigint, OUT seq bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  LOOP
    SELECT t.state, u.event_floor, u.event_seq INTO state, floor, seq
    FROM users u JOIN tenants t ON t.id = u.tenant_id
    WHERE u.tenant_id = open_user.tenant AND u.id = usr
      AND u.email IS NOT DISTINCT FROM coalesce(open_user.email, u.email)
      AND u.roles = coalesce(open_user.roles, '{}');
    IF FOUND THEN RETURN; END IF;
    INSERT INTO tenants (id) VALUES (open_user.tenant) ON CONFLICT DO NOTHING;
    INSERT INTO users AS u (tenant_id, id, email, roles)
    VALUES (open_user.tenant, usr, open_user.email, coalesce(open_user.roles, '{}'))
    ON CONFLICT (tenant_id, id) DO UPDATE
      SET email = coalesce(excluded.email, u.email), roles = excluded.roles;
  END LOOP;
END $$;

-- Adds users to an account: now and for all its conversations. Their reading begins at each conversation's
-- last message: a colleague who joins does not start with everything unread. Idempotent.
-- Locks: the account (new conversations wait), then the account's conversations.
CREATE FUNCTION share_account(tenant text, account uuid, usr text, role text DEFAULT 'member') RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM 1 FROM accounts a WHERE a.tenant_id = tenant AND a.id = account AND a.deleted_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such account' USING ERRCODE = 'no_data_found'; END IF;
  INSERT INTO account_users (tenant_id, account_id, user_id, role)
  VALUES (tenant, account, usr, share_account.role) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN false; END IF;
  WITH locked AS MATERIALIZED (
    SELECT c.* FROM conversations c WHERE c.tenant_id = tenant AND c.account_id = account
    ORDER BY c.id FOR NO KEY UPDATE)
  INSERT INTO memberships (tenant_id, conversation_id, user_id, account_id, platform, read_at, read_order, read_id)
  SELECT c.tenant_id, c.id, usr, c.account_id, c.platform, c.last_activity_at, c.last_order, c.last_message_id
  FROM locked c ON CONFLICT DO NOTHING;
  RETURN true;
END $$;

-- Takes an account away from a user: memberships go and the user's totals are corrected. The owner stays.
-- Returns the events written (unread_count_update when the totals changed). Idempotent.
CREATE FUNCTION unshare_account(tenant text, account uuid, usr text) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM 1 FROM accounts a WHERE a.tenant_id = tenant AND a.id = account FOR UPDATE;
  DELETE FROM account_users a
  WHERE a.tenant_id = tenant AND a.account_id = account AND a.user_id = usr AND a.role <> 'owner';
  IF NOT FOUND THEN RETURN; END IF;
  RETURN QUERY SELECT * FROM remove_memberships(tenant, account, ARRAY[usr]);
END $$;

CREATE FUNCTION remove_memberships(tenant text, account uuid, users text[]) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  u_user text[];
  u_platform text[];
  u_delta integer[];
BEGIN
  PERFORM 1 FROM conversations c WHERE c.tenant_id = tenant AND c.account_id = account
  ORDER BY c.id FOR NO KEY UPDATE;
  WITH gone AS (
    DELETE FROM memberships s
    WHERE s.tenant_id = tenant AND s.account_id = account AND s.user_id = ANY (remove_memberships.users)
    RETURNING s.user_id, s.platform, s.unread_count)
  SELECT array_agg(g.user_id), array_agg(g.platform), array_agg(g.n) INTO u_user, u_platform, u_delta
  FROM (SELECT user_id, platform, -sum(unread_count)::integer AS n FROM gone GROUP BY 1, 2) g;
  RETURN QUERY SELECT * FROM write_events(
    NULL, NULL, NULL, NULL, NULL, NULL, array_fill(tenant, ARRAY[coalesce(cardinality(u_user), 0)]),
    u_user, u_platform, u_delta, hub_has_peers());
END $$;

-- Writes account_update {account} to everybody who sees the account, after its row has changed.
-- Not idempotent: each call is one event.
CREATE FUNCTION account_changed_events(tenant text, account uuid) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY SELECT w.* FROM (
    SELECT array_agg(u.tenant_id) AS t, array_agg(u.user_id) AS u, array_agg('account_update'::text) AS y,
      array_agg(NULL::uuid) AS n, array_agg('{"account":' || account_json(a) || '}') AS d
    FROM accounts a JOIN account_users u ON u.tenant_id = a.tenant_id AND u.account_id = a.id
    WHERE a.tenant_id = $1 AND a.id = $2) e,
    write_events(e.t, e.u, e.y, e.n, e.n, e.d, NULL, NULL, NULL, NULL, hub_has_peers()) w;
END $$;

-- Deletes an account for its users: they get account_update with deletedAt, their totals are corrected. The
-- credentials are forgotten, the key is freed, messages and ledger stay for the operator. Idempotent.
CREATE FUNCTION delete_account(tenant text, account uuid) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_users text[];
BEGIN
  UPDATE accounts a SET deleted_at = now(), updated_at = now(), credentials = NULL, state = 'disabled',
    key = a.id::text
  WHERE a.tenant_id = tenant AND a.id = account AND a.deleted_at IS NULL;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM 1 FROM conversations c WHERE c.tenant_id = tenant AND c.account_id = account
  ORDER BY c.id FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM account_changed_events(tenant, account);
  WITH gone AS (
    DELETE FROM account_users a WHERE a.tenant_id = tenant AND a.account_id = account RETURNING a.user_id)
  SELECT array_agg(user_id) INTO v_users FROM gone;
  RETURN QUERY SELECT * FROM remove_memberships(tenant, account, v_users);
END $$;

-- Makes an account of its owner, whose users row exists. Returns the account as JSON. A key or an id that exists
-- raises unique_violation.
CREATE FUNCTION create_account(
  tenant text, account uuid, platform text, name text, owner text, key text,
  credentials bytea DEFAULT NULL, settings jsonb DEFAULT '{}', external text DEFAULT NULL
) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO accounts (tenant_id, id, platform, name, owner_id, key, credentials, settings, external_id)
  VALUES (create_account.tenant, account, create_account.platform, create_account.name, owner, create_account.key,
    create_account.credentials, coalesce(create_account.settings, '{}'), external);
  INSERT INTO account_users (tenant_id, account_id, user_id, role) VALUES (create_account.tenant, account, owner, 'owner');
  RETURN (SELECT account_json(a) FROM accounts a WHERE a.tenant_id = create_account.tenant AND a.id = account);
END $$;
