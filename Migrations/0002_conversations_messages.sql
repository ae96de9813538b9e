-- Conversations, memberships and messages.
--
-- Position of a message: (sent_at, order_hint, id), that is the platform's time, its own order, then
-- arrival. Everything that says "before", "after" or "last" means positions.
--
-- Whoever changes a conversation, its messages or its memberships holds the lock of the conversation's
-- row first. So what a statement read under that lock stays true until the commit.

-- A conversation that has no message yet (a change came first) has last_message_id null and is not listed.
-- The last_* columns repeat the newest message, participants repeats the first twenty participants
-- (a JSON array), so that a list needs no other table. title_at, title_order: where the title is from.
-- peer_read_at, peer_read_order: the other side has read our messages up to there.
-- pending_count: changes that wait for their message.
CREATE TABLE conversations (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  account_id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  kind text NOT NULL DEFAULT 'unknown',
  title text,
  title_at timestamptz,
  title_order bigint,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'pending', 'snoozed', 'closed')),
  snoozed_until timestamptz,
  assignee_id text COLLATE "C",
  labels text[] NOT NULL DEFAULT '{}',
  priority text,
  capabilities text,
  reply_window text,
  participants text NOT NULL DEFAULT '[]',
  participant_count integer NOT NULL DEFAULT 0,
  last_message_id uuid,
  last_activity_at timestamptz,
  last_order bigint,
  last_kind text,
  last_direction smallint,
  last_preview text,
  last_sender_id text,
  last_sender_name text,
  peer_read_at timestamptz,
  peer_read_order bigint,
  pending_count integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, account_id, external_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- One index for all lists: a list of every state merges the four of them.
CREATE INDEX conversations_recent
  ON conversations (tenant_id, account_id, state, last_activity_at DESC, id DESC);
CREATE INDEX conversations_snoozed ON conversations (snoozed_until) WHERE state = 'snoozed';

-- Earlier platform ids of a conversation. An id is either a conversation's current one or an alias.
CREATE TABLE conversation_aliases (
  tenant_id text COLLATE "C" NOT NULL,
  account_id uuid NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  conversation_id uuid NOT NULL,
  PRIMARY KEY (tenant_id, account_id, external_id)
);

CREATE INDEX conversation_aliases_conversation ON conversation_aliases (tenant_id, conversation_id);

-- name, avatar: from the participant's newest message. joined_name: from the newest membership change;
-- member_at, member_order: when that was. active: false after leaving.
CREATE TABLE participants (
  tenant_id text COLLATE "C" NOT NULL,
  conversation_id uuid NOT NULL,
  id text COLLATE "C" NOT NULL,
  name text,
  avatar text,
  joined_name text,
  active boolean NOT NULL DEFAULT true,
  member_at timestamptz,
  member_order bigint,
  PRIMARY KEY (tenant_id, conversation_id, id)
);

-- One row for each user who sees the conversation's account: the audience of its events.
-- read_at, read_order, read_id: the read position; null means that nothing was read.
-- account_id and platform are repeated from the conversation: they never change.
CREATE TABLE memberships (
  tenant_id text COLLATE "C" NOT NULL,
  conversation_id uuid NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  account_id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  unread_count integer NOT NULL DEFAULT 0,
  has_unread boolean GENERATED ALWAYS AS (unread_count > 0) STORED,
  read_at timestamptz,
  read_order bigint,
  read_id uuid,
  muted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, conversation_id, user_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Only the fact "has unread" is indexed, in a column of its own: an index that so much as mentions
-- unread_count in its predicate would make every counting update touch all indices.
CREATE INDEX memberships_unread ON memberships (tenant_id, user_id, account_id, conversation_id)
  WHERE has_unread;
CREATE INDEX memberships_account ON memberships (tenant_id, account_id, user_id);

-- origin: the platform conversation id that the message came with. Message ids are counted anew after a
-- conversation has migrated to another id, so (origin, external_id) is the identity, as in law 2.
-- attachments, reactions, details: JSON as clients see it, kept rendered; the rows behind the first two
-- are in their own tables. attachments and details are null when there are none.
CREATE TABLE messages (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  conversation_id uuid NOT NULL,
  account_id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  origin text COLLATE "C" NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  direction smallint NOT NULL,
  kind text NOT NULL,
  text text,
  sender_id text COLLATE "C",
  sender_name text,
  sender_avatar text,
  reply_external_id text COLLATE "C",
  thread_id text,
  attachments text,
  reactions text,
  details text,
  preview text,
  status text,
  status_reason text,
  sent_at timestamptz NOT NULL,
  order_hint bigint NOT NULL DEFAULT 0,
  received_at timestamptz NOT NULL,
  edited_at timestamptz,
  edited_order bigint,
  edited_digest text COLLATE "C",
  deleted_at timestamptz,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 95, autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE UNIQUE INDEX messages_identity ON messages (tenant_id, conversation_id, external_id, origin);
CREATE INDEX messages_position ON messages (tenant_id, conversation_id, sent_at, order_hint, id);

-- Every version of a message but the current one. original: the message as it was first sent.
CREATE TABLE message_versions (
  tenant_id text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  original boolean NOT NULL,
  at timestamptz NOT NULL,
  ord bigint NOT NULL,
  digest text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  text text,
  attachments text,
  details text,
  preview text,
  PRIMARY KEY (tenant_id, message_id, at, ord, digest)
);

-- Last writer wins by (at, ord). emoji '' marks the actor's last whole replacement; rows older than it
-- are gone. active false is a removal that an older addition must not undo.
CREATE TABLE reactions (
  tenant_id text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  actor_id text COLLATE "C" NOT NULL,
  emoji text COLLATE "C" NOT NULL,
  actor_name text,
  active boolean NOT NULL,
  at timestamptz NOT NULL,
  ord bigint NOT NULL,
  PRIMARY KEY (tenant_id, message_id, actor_id, emoji)
);

-- state: what the fetch job knows (remote: not fetched; stored; failed).
CREATE TABLE attachments (
  tenant_id text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  position integer NOT NULL,
  kind text,
  url text,
  name text,
  mime text,
  size bigint,
  width integer,
  height integer,
  duration double precision,
  external_id text,
  source text,
  state text NOT NULL DEFAULT 'remote',
  PRIMARY KEY (tenant_id, message_id, position)
);

CREATE INDEX attachments_remote ON attachments (tenant_id, message_id) WHERE state = 'remote';

-- When each status was first reached, and the reason given then.
CREATE TABLE statuses (
  tenant_id text COLLATE "C" NOT NULL,
  message_id uuid NOT NULL,
  status text NOT NULL,
  at timestamptz NOT NULL,
  reason text,
  PRIMARY KEY (tenant_id, message_id, status)
);

-- Changes whose message has not come. digest: of the body, so that a repetition is the same row.
CREATE TABLE pending_changes (
  tenant_id text COLLATE "C" NOT NULL,
  conversation_id uuid NOT NULL,
  origin text COLLATE "C" NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  at timestamptz NOT NULL,
  ord bigint NOT NULL,
  digest text COLLATE "C" NOT NULL,
  body text NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, conversation_id, external_id, origin, kind, at, ord, digest)
);
