-- Apps: what one webhook URL serves for all accounts of a platform. Its credentials verify a delivery; the
-- account is then found by the platform's own id of it.
--
-- A delivery for an account that is not connected is kept under the app: deliveries.account_id holds the app's
-- id then.

-- credentials: sealed by the hub (AES-256-GCM). is_configured: it comes from the configuration and is changed
-- there only.
CREATE TABLE apps (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  name text NOT NULL,
  credentials bytea NOT NULL,
  is_configured boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id)
);

-- A webhook knows only its platform.
CREATE INDEX apps_platform ON apps (platform, created_at);
-- From the configuration comes at most one of a name.
CREATE UNIQUE INDEX apps_configured ON apps (tenant_id, platform, name) WHERE is_configured;

-- One account of a platform is connected once in a tenant: its messages have one place.
CREATE UNIQUE INDEX accounts_external_once ON accounts (tenant_id, platform, external_id)
  WHERE external_id IS NOT NULL AND deleted_at IS NULL;

-- Not for readers at all.
ALTER TABLE apps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON apps TO hub_writer;
CREATE POLICY writer ON apps TO hub_writer USING (true) WITH CHECK (true);
