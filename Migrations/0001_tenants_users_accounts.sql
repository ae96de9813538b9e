-- Tenants, users, accounts and who sees which account.
--
-- tenant_id and user_id are text: they come from the token. They compare by bytes (COLLATE "C"), so
-- sorting them for locks is cheap and the same everywhere. All other ids are UUIDv7, made by the hub.
-- tenant_id leads every key. One index does not: accounts_key, because a webhook knows only its key.
--
-- Two roles stand between the hub and the tables: hub_writer commits for many tenants at once,
-- hub_reader sees one tenant and one user (0011). The hub sets the role when it connects. A user without
-- CREATEROLE can migrate too, when an administrator has made the roles and granted them.

DO $$
DECLARE
  v_role text;
BEGIN
  FOREACH v_role IN ARRAY ARRAY['hub_writer', 'hub_reader'] LOOP
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = v_role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
    IF NOT pg_has_role(current_user, v_role, 'MEMBER') THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', v_role);
    END IF;
  END LOOP;
END $$;

CREATE TABLE tenants (
  id text COLLATE "C" PRIMARY KEY,
  name text,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- event_seq: number of the user's last event. event_floor: events up to it were dropped by retention.
-- The row is updated by every group that tells the user something, so pages keep room for HOT updates.
CREATE TABLE users (
  tenant_id text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  email text,
  roles text[] NOT NULL DEFAULT '{}',
  event_seq bigint NOT NULL DEFAULT 0,
  event_floor bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- Unread messages of a user by platform. A missing row is zero.
CREATE TABLE user_unread (
  tenant_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  platform text COLLATE "C" NOT NULL,
  unread bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, user_id, platform)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- credentials: sealed by the hub (AES-256-GCM); the database never sees them open.
-- cursor: where polling stands. deleted_at: the account is gone for its users, its rows stay.
CREATE TABLE accounts (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  name text NOT NULL,
  owner_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  state text NOT NULL DEFAULT 'starting'
    CHECK (state IN ('starting', 'connected', 'transient_error', 'bad_credentials', 'disabled')),
  state_reason text,
  state_action text,
  credentials bytea,
  settings jsonb NOT NULL DEFAULT '{}',
  external_id text COLLATE "C",
  cursor jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  PRIMARY KEY (tenant_id, id)
);

CREATE UNIQUE INDEX accounts_key ON accounts (key);
-- One webhook URL can serve all accounts of an app: the account is found from the payload.
CREATE INDEX accounts_external ON accounts (platform, external_id) WHERE external_id IS NOT NULL;

-- Everybody who sees an account, the owner included.
CREATE TABLE account_users (
  tenant_id text COLLATE "C" NOT NULL,
  account_id uuid NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  role text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'member')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, account_id, user_id),
  FOREIGN KEY (tenant_id, account_id) REFERENCES accounts (tenant_id, id),
  FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);

CREATE INDEX account_users_user ON account_users (tenant_id, user_id, account_id);

-- Hub processes that are alive. A node that sees others asks for notifications after each group.
CREATE TABLE nodes (
  id text COLLATE "C" PRIMARY KEY,
  seen_at timestamptz NOT NULL DEFAULT now()
);
