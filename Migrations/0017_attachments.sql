-- Attachments: what is shown of them, and the job that fetches each file into the file store.
--
-- An attachment that a platform named is remote. A worker takes it (fetching), and it is stored, or failed for
-- good, or remote again until it is due. One that a user sent is stored from the start.
--
-- messages.attachments is what the platform said, with its links and file ids, and is never shown. Members of an
-- element that are the hub's own:
--   storageKey  the file is in the file store under this key
--   from        'user': a user gave the link, so nothing of the account may go along when it is fetched
--   delivery    the file is in this line of the ledger; externalId (part:...) says where
-- messages.shown_attachments is what clients see: no links but the hub's own, and of the ids only the names of parts.
--
-- Lock order: as in 0005; attachments after their conversation. Taking skips what is locked and holds nothing else.

-- attempts: this one included. due_at: not before. node: who is at it.
-- storage_key: where the file is, or is being written; no two attempts share one, so a file never changes.
ALTER TABLE attachments
  ADD COLUMN attempts integer NOT NULL DEFAULT 0,
  ADD COLUMN due_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN node text COLLATE "C",
  ADD COLUMN reason text,
  ADD COLUMN storage_key text COLLATE "C",
  ADD COLUMN stored_at timestamptz;

DROP INDEX attachments_remote;
CREATE INDEX attachments_due ON attachments (due_at) WHERE state = 'remote';
CREATE INDEX attachments_fetching ON attachments (node) WHERE state = 'fetching';
CREATE INDEX attachments_stored ON attachments (tenant_id, storage_key) WHERE storage_key IS NOT NULL;
CREATE INDEX uploads_age ON uploads (created_at);

-- Files that nothing shows any more, until they are deleted from the file store. taken_until: somebody is at it.
CREATE TABLE stale_files (
  tenant_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  taken_until timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, key)
);

CREATE INDEX stale_files_due ON stale_files (taken_until);

-- Whether the files of a deleted account are given up.
ALTER TABLE accounts ADD COLUMN files_released boolean NOT NULL DEFAULT false;
CREATE INDEX accounts_unreleased ON accounts (deleted_at) WHERE deleted_at IS NOT NULL AND NOT files_released;

-- states: by position, what is known beside what the platform said: {state, reason?, mime?, size?}.
-- PL/pgSQL because it keeps its plan; see 0004. The result depends on nothing but the arguments.
CREATE FUNCTION shown_attachments(message uuid, list text, states jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN (
    SELECT '[' || string_agg((
        (a.v - CASE WHEN a.v ? 'delivery' THEN ARRAY['url', 'storageKey', 'from', 'delivery']
                 ELSE ARRAY['url', 'externalId', 'storageKey', 'from', 'delivery'] END)
        || jsonb_build_object(
          'position', a.n, 'url', '/api/messages/' || message || '/attachments/' || a.n,
          'state', CASE WHEN a.v ? 'storageKey' THEN 'stored' ELSE 'remote' END)
        || coalesce(states -> a.n::text, '{}'))::text, ',' ORDER BY a.n) || ']'
    FROM jsonb_array_elements(list::jsonb) WITH ORDINALITY AS a(v, n));
END $$;

-- A message without attachments costs nothing.
ALTER TABLE messages ADD COLUMN attachment_states jsonb;
ALTER TABLE messages ADD COLUMN shown_attachments text GENERATED ALWAYS AS (
  CASE WHEN attachments IS NOT NULL THEN shown_attachments(id, attachments, attachment_states) END) STORED;

-- The details of a message with the hub's links in place of the platform's, also inside of other text. A longer link
-- goes first, because it may begin with a shorter one. Both arguments were written by the hub, so a link looks the same
-- in both. What these links begin with stands in JSON only inside of strings and is no second half of an escape.
CREATE FUNCTION shown_details(message uuid, details text, list text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  v text := details;
  a record;
BEGIN
  FOR a IN
    SELECT substring((e.v -> 'url')::text, 2, length((e.v -> 'url')::text) - 2) AS link, e.n
    FROM json_array_elements(list::json) WITH ORDINALITY AS e(v, n)
    WHERE e.v ->> 'url' ~* '^((https?|mxc):/)?/.' ORDER BY length(e.v ->> 'url') DESC, e.n
  LOOP
    v := replace(v, a.link, '/api/messages/' || message || '/attachments/' || a.n);
    -- As HTML has it.
    v := replace(v, replace(a.link, '&', '&amp;'), '/api/messages/' || message || '/attachments/' || a.n);
  END LOOP;
  RETURN v;
END $$;

-- As before, but attachments are shown without the platform's links.
CREATE OR REPLACE FUNCTION message_json(m messages, reply_id uuid) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT '{"id":"' || ($1).id || '","conversationId":"' || ($1).conversation_id
  || '","accountId":"' || ($1).account_id || '","platform":"' || ($1).platform
  || CASE ($1).direction WHEN 0 THEN '","direction":"inbound' ELSE '","direction":"outbound' END
  || '","kind":"' || ($1).kind
  || '","text":' || CASE WHEN ($1).deleted_at IS NULL THEN json_text(($1).text) ELSE 'null' END
  || ',"sender":' || CASE WHEN ($1).sender_id IS NULL AND ($1).sender_name IS NULL THEN 'null' ELSE
       '{"id":' || json_text(($1).sender_id) || ',"name":' || json_text(($1).sender_name)
       || coalesce(',"avatar":' || to_json(($1).sender_avatar)::text, '') || '}' END
  || ',"attachments":'
  || CASE WHEN ($1).deleted_at IS NULL THEN coalesce(($1).shown_attachments, '[]') ELSE '[]' END
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
  || ',"details":' || CASE WHEN ($1).deleted_at IS NOT NULL OR ($1).details IS NULL THEN 'null'
       WHEN ($1).attachments IS NULL THEN ($1).details
       ELSE shown_details(($1).id, ($1).details, ($1).attachments) END
  || '}'
$$;

-- Writes what the rows say into the message that shows them.
CREATE FUNCTION show_attachments(tenant text, message uuid) RETURNS void LANGUAGE sql AS $$
UPDATE messages m SET attachment_states = (
  SELECT jsonb_object_agg(a.position::text, jsonb_strip_nulls(jsonb_build_object(
    'state', a.state, 'reason', a.reason, 'mime', CASE a.state WHEN 'stored' THEN a.mime END,
    'size', CASE a.state WHEN 'stored' THEN a.size END)))
  FROM attachments a
  WHERE a.tenant_id = $1 AND a.message_id = $2 AND a.state IN ('stored', 'failed'))
WHERE m.tenant_id = $1 AND m.id = $2
$$;

-- The attachments of a message are these from now on. One that stands where it stood keeps its file.
CREATE OR REPLACE FUNCTION store_attachments(tenant text, message uuid, list text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_list json := coalesce(list, '[]');
BEGIN
  PERFORM 1 FROM attachments a WHERE a.tenant_id = tenant AND a.message_id = message;
  IF FOUND THEN
    WITH gone AS (
      DELETE FROM attachments a
      WHERE a.tenant_id = tenant AND a.message_id = message
        AND a.source IS DISTINCT FROM (v_list -> (a.position - 1))::text
      RETURNING a.storage_key)
    INSERT INTO stale_files (tenant_id, key)
    SELECT tenant, g.storage_key FROM gone g WHERE g.storage_key IS NOT NULL ON CONFLICT DO NOTHING;
    PERFORM show_attachments(tenant, message);
  END IF;
  INSERT INTO attachments (
    tenant_id, message_id, position, kind, url, name, mime, size, width, height, duration, external_id, source,
    state, storage_key, stored_at)
  SELECT tenant, message, a.ord, a.v ->> 'kind', a.v ->> 'url', a.v ->> 'name', a.v ->> 'mime',
    CASE json_typeof(a.v -> 'size') WHEN 'number' THEN (a.v ->> 'size')::numeric::bigint END,
    CASE json_typeof(a.v -> 'width') WHEN 'number' THEN (a.v ->> 'width')::numeric::integer END,
    CASE json_typeof(a.v -> 'height') WHEN 'number' THEN (a.v ->> 'height')::numeric::integer END,
    CASE json_typeof(a.v -> 'duration') WHEN 'number' THEN (a.v ->> 'duration')::double precision END,
    a.v ->> 'externalId', a.v::text,
    CASE WHEN a.v ->> 'storageKey' IS NULL THEN 'remote' ELSE 'stored' END, a.v ->> 'storageKey',
    CASE WHEN a.v ->> 'storageKey' IS NOT NULL THEN now() END
  FROM json_array_elements(v_list) WITH ORDINALITY AS a(v, ord)
  ON CONFLICT DO NOTHING;
END $$;

-- Takes files that are due, with what a platform has to know to fetch them. A file that ended a node in every
-- attempt is not begun again.
CREATE FUNCTION take_files(node text, lim integer) RETURNS TABLE (
  tenant_id text, message_id uuid, "position" integer, source text, storage_key text, attempts integer,
  account_id uuid, platform text, conversation text, conversation_kind text, message text, details text,
  is_deleted boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH due AS (
      SELECT a.tenant_id, a.message_id, a.position FROM attachments a
      WHERE a.state = 'remote' AND a.due_at <= now()
      ORDER BY a.due_at LIMIT lim FOR UPDATE SKIP LOCKED),
    taken AS (
      UPDATE attachments a SET state = 'fetching', attempts = a.attempts + 1, node = take_files.node,
        storage_key = 'attachments/' || right(k.key, 2) || '/' || k.key
      FROM (SELECT d.*, replace(new_id()::text, '-', '') AS key FROM due d) k
      WHERE a.tenant_id = k.tenant_id AND a.message_id = k.message_id AND a.position = k.position
      RETURNING a.*)
    SELECT t.tenant_id, t.message_id, t.position, t.source, t.storage_key, t.attempts, m.account_id, m.platform,
      c.external_id, c.kind, m.external_id, m.details, m.deleted_at IS NOT NULL
    FROM taken t
    JOIN messages m ON m.tenant_id = t.tenant_id AND m.id = t.message_id
    JOIN conversations c ON c.tenant_id = m.tenant_id AND c.id = m.conversation_id;
END $$;

-- A worker's file under its conversation's lock; nothing when it is not this worker's any more.
CREATE FUNCTION lock_file(tenant text, message uuid, pos integer, node text, key text) RETURNS attachments
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  a attachments;
BEGIN
  PERFORM 1 FROM conversations c
  WHERE c.tenant_id = tenant
    AND c.id = (SELECT m.conversation_id FROM messages m WHERE m.tenant_id = tenant AND m.id = message)
  FOR NO KEY UPDATE;
  SELECT * INTO a FROM attachments x
  WHERE x.tenant_id = tenant AND x.message_id = message AND x.position = pos AND x.state = 'fetching'
    AND x.node = lock_file.node AND x.storage_key = key
  FOR UPDATE;
  RETURN a;
END $$;

-- Shows what became of a file: nothing where the message is deleted.
CREATE FUNCTION file_events(tenant text, message uuid) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM show_attachments(tenant, message);
  IF EXISTS (
    SELECT 1 FROM messages m WHERE m.tenant_id = tenant AND m.id = message AND m.deleted_at IS NULL) THEN
    RETURN QUERY SELECT * FROM change_events(tenant, '{}', ARRAY[message], '{}', '{}', '{}');
  END IF;
END $$;

-- The file is in the store under its key, and is this in truth.
CREATE FUNCTION file_stored(
  tenant text, message uuid, pos integer, node text, key text, mime text, size bigint
) RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  a attachments := lock_file(tenant, message, pos, file_stored.node, key);
BEGIN
  IF a.tenant_id IS NULL THEN
    INSERT INTO stale_files (tenant_id, key) VALUES (tenant, file_stored.key) ON CONFLICT DO NOTHING;
    RETURN;
  END IF;
  UPDATE attachments x SET state = 'stored', mime = file_stored.mime, size = file_stored.size, reason = NULL,
    node = NULL, stored_at = clock_timestamp()
  WHERE x.tenant_id = tenant AND x.message_id = message AND x.position = pos;
  RETURN QUERY SELECT * FROM file_events(tenant, message);
END $$;

-- The file cannot be had. Nothing is under its key.
CREATE FUNCTION file_failed(tenant text, message uuid, pos integer, node text, key text, reason text)
RETURNS SETOF event_row LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  a attachments := lock_file(tenant, message, pos, file_failed.node, key);
BEGIN
  IF a.tenant_id IS NULL THEN RETURN; END IF;
  UPDATE attachments x SET state = 'failed', reason = file_failed.reason, node = NULL, storage_key = NULL
  WHERE x.tenant_id = tenant AND x.message_id = message AND x.position = pos;
  RETURN QUERY SELECT * FROM file_events(tenant, message);
END $$;

-- The file is tried again later. counts false: the try does not count, because nobody was asked.
CREATE FUNCTION file_later(
  tenant text, message uuid, pos integer, node text, key text, due timestamptz, reason text, counts boolean
) RETURNS void LANGUAGE sql AS $$
UPDATE attachments a SET state = 'remote', due_at = $6, reason = $7, node = NULL, storage_key = NULL,
  attempts = CASE WHEN $8 THEN a.attempts ELSE greatest(a.attempts - 1, 0) END
WHERE a.tenant_id = $1 AND a.message_id = $2 AND a.position = $3 AND a.state = 'fetching' AND a.node = $4
  AND a.storage_key = $5
$$;

-- Files of nodes that are gone: something may lie under their keys.
CREATE FUNCTION recover_files() RETURNS integer LANGUAGE sql AS $$
WITH lost AS (
  SELECT a.tenant_id, a.message_id, a.position, a.storage_key FROM attachments a
  WHERE a.state = 'fetching' AND NOT EXISTS (
    SELECT 1 FROM nodes n WHERE n.id = a.node AND n.seen_at > now() - interval '10 seconds')
  LIMIT 500 FOR UPDATE SKIP LOCKED),
stale AS (
  INSERT INTO stale_files (tenant_id, key) SELECT l.tenant_id, l.storage_key FROM lost l ON CONFLICT DO NOTHING),
freed AS (
  UPDATE attachments a SET state = 'remote', due_at = now(), node = NULL, storage_key = NULL
  FROM lost l WHERE a.tenant_id = l.tenant_id AND a.message_id = l.message_id AND a.position = l.position
  RETURNING 1)
SELECT count(*)::integer FROM freed
$$;

-- Fetches a file anew, by hand. Raises no_data_found when the user sees no such attachment, and HB422 when the
-- file is there.
CREATE FUNCTION retry_file(tenant text, usr text, message uuid, pos integer) RETURNS SETOF event_row
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  m messages;
  s memberships;
  v_state text;
BEGIN
  SELECT * INTO m FROM messages x WHERE x.tenant_id = tenant AND x.id = message AND x.deleted_at IS NULL;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such message' USING ERRCODE = 'no_data_found'; END IF;
  s := lock_membership(tenant, usr, m.conversation_id);
  SELECT x.state INTO v_state FROM attachments x
  WHERE x.tenant_id = tenant AND x.message_id = message AND x.position = pos FOR UPDATE;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such attachment' USING ERRCODE = 'no_data_found'; END IF;
  IF v_state = 'stored' THEN RAISE EXCEPTION 'the file is there' USING ERRCODE = 'HB422'; END IF;
  UPDATE attachments x SET state = 'remote', attempts = 0, due_at = now(), reason = NULL
  WHERE x.tenant_id = tenant AND x.message_id = message AND x.position = pos AND x.state IN ('failed', 'remote');
  IF v_state = 'failed' THEN RETURN QUERY SELECT * FROM file_events(tenant, message); END IF;
END $$;

-- An attachment for somebody who may see its message, asked with the reader's rights. No row: nothing to see.
CREATE FUNCTION find_file(tenant text, usr text, message uuid, pos integer)
RETURNS TABLE (state text, reason text, storage_key text, name text, mime text, stored_at timestamptz)
LANGUAGE sql STABLE AS $$
SELECT a.state, a.reason, a.storage_key, a.name, a.mime, a.stored_at
FROM messages m
JOIN memberships s ON s.tenant_id = m.tenant_id AND s.conversation_id = m.conversation_id AND s.user_id = $2
JOIN attachments a ON a.tenant_id = m.tenant_id AND a.message_id = m.id AND a.position = $4
WHERE m.tenant_id = $1 AND m.id = $3 AND m.deleted_at IS NULL
$$;

-- Uploads are there to be sent for a while. The file of one that was sent belongs to its message.
CREATE FUNCTION expire_uploads(age interval) RETURNS void LANGUAGE sql AS $$
WITH gone AS (
  DELETE FROM uploads u WHERE u.created_at < now() - $1 RETURNING u.tenant_id, 'uploads/' || u.id AS key)
INSERT INTO stale_files (tenant_id, key)
SELECT g.tenant_id, g.key FROM gone g
WHERE NOT EXISTS (SELECT 1 FROM attachments a WHERE a.tenant_id = g.tenant_id AND a.storage_key = g.key)
ON CONFLICT DO NOTHING
$$;

-- Gives up files of one deleted account, some at a time. What is being fetched meanwhile ends within minutes, so the
-- account is looked at for that long. Returns whether there may be more.
CREATE FUNCTION release_files(reason text) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  d accounts;
  v_count integer;
BEGIN
  SELECT * INTO d FROM accounts x WHERE x.deleted_at IS NOT NULL AND NOT x.files_released
  ORDER BY x.deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN false; END IF;
  WITH page AS (
    SELECT a.tenant_id, a.message_id, a.position, a.storage_key
    FROM conversations c
    JOIN messages m ON m.tenant_id = c.tenant_id AND m.conversation_id = c.id
    JOIN attachments a ON a.tenant_id = m.tenant_id AND a.message_id = m.id
    WHERE c.tenant_id = d.tenant_id AND c.account_id = d.id AND a.state IN ('remote', 'stored')
    LIMIT 500),
  given_up AS (
    UPDATE attachments a SET state = 'failed', reason = release_files.reason, storage_key = NULL, stored_at = NULL
    FROM page s WHERE a.tenant_id = s.tenant_id AND a.message_id = s.message_id AND a.position = s.position),
  stale AS (
    INSERT INTO stale_files (tenant_id, key)
    SELECT s.tenant_id, s.storage_key FROM page s WHERE s.storage_key IS NOT NULL ON CONFLICT DO NOTHING)
  SELECT count(*) INTO v_count FROM page;
  IF v_count = 0 THEN
    UPDATE accounts x SET files_released = true
    WHERE x.tenant_id = d.tenant_id AND x.id = d.id AND x.deleted_at < now() - interval '10 minutes';
  END IF;
  RETURN v_count > 0;
END $$;

-- Takes keys whose files are to be deleted. One that something shows again after all is forgotten.
CREATE FUNCTION take_stale_files(lim integer) RETURNS TABLE (tenant_id text, key text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM stale_files f
  WHERE f.taken_until < now() AND (
    EXISTS (SELECT 1 FROM attachments a WHERE a.tenant_id = f.tenant_id AND a.storage_key = f.key)
    OR EXISTS (SELECT 1 FROM uploads u WHERE u.tenant_id = f.tenant_id AND 'uploads/' || u.id = f.key));
  RETURN QUERY
    WITH due AS (
      SELECT f.tenant_id, f.key FROM stale_files f WHERE f.taken_until < now()
      ORDER BY f.taken_until LIMIT lim FOR UPDATE SKIP LOCKED)
    UPDATE stale_files f SET taken_until = now() + interval '5 minutes'
    FROM due d WHERE f.tenant_id = d.tenant_id AND f.key = d.key
    RETURNING f.tenant_id, f.key;
END $$;

CREATE FUNCTION forget_stale_file(tenant text, key text) RETURNS void LANGUAGE sql AS
$$ DELETE FROM stale_files f WHERE f.tenant_id = $1 AND f.key = $2 $$;

DO $$
DECLARE
  f record;
BEGIN
  ALTER TABLE stale_files ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
  GRANT SELECT, INSERT, UPDATE, DELETE ON stale_files TO hub_writer;
  CREATE POLICY writer ON stale_files TO hub_writer USING (true) WITH CHECK (true);
  FOR f IN
    SELECT p.oid::regprocedure AS signature, p.proname FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN (
      'shown_attachments', 'shown_details', 'show_attachments', 'take_files', 'lock_file', 'file_events', 'file_stored',
      'file_failed', 'file_later', 'recover_files', 'retry_file', 'find_file', 'expire_uploads', 'release_files',
      'take_stale_files', 'forget_stale_file')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.signature);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_writer', f.signature);
    IF f.proname IN ('find_file', 'shown_details') THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_reader', f.signature);
    END IF;
  END LOOP;
END $$;
