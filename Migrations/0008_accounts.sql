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
