-- The ledger of what came in and the users' event logs, both in daily partitions so that retention drops
-- tables and deletes no rows. Ids are time-sorted, so the primary key also serves "newest first". A DEFAULT
-- partition is the net: a missing day loses nothing.

CREATE TABLE deliveries (
  tenant_id text COLLATE "C" NOT NULL,
  id uuid NOT NULL,
  received_at timestamptz NOT NULL,
  account_id uuid NOT NULL,
  platform text COLLATE "C" NOT NULL,
  headers text,
  body bytea NOT NULL,
  hash bytea NOT NULL,
  parser integer NOT NULL DEFAULT 0,
  state text NOT NULL CHECK (state IN ('done', 'dead')),
  reason text,
  item_count integer NOT NULL DEFAULT 0,
  message_count integer NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, id, received_at)
) PARTITION BY RANGE (received_at);

CREATE INDEX deliveries_dead ON deliveries (tenant_id, received_at DESC, id) WHERE state = 'dead';
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;

-- data: the JSON object that clients get, without seq and timestamp: the hub puts these in front.
CREATE TABLE events (
  tenant_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  at timestamptz NOT NULL,
  type text NOT NULL,
  conversation_id uuid,
  message_id uuid,
  data text NOT NULL,
  PRIMARY KEY (tenant_id, user_id, seq, at)
) PARTITION BY RANGE (at);

CREATE TABLE events_default PARTITION OF events DEFAULT;

-- Large texts and bodies are compressed with lz4 where the server has it: several times cheaper to write.
DO $$
BEGIN
  ALTER TABLE deliveries ALTER COLUMN body SET COMPRESSION lz4;
  ALTER TABLE deliveries_default ALTER COLUMN body SET COMPRESSION lz4;
  ALTER TABLE events ALTER COLUMN data SET COMPRESSION lz4;
  ALTER TABLE events_default ALTER COLUMN data SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;

-- Makes the daily partitions (UTC) of both tables from today to the day of `until`. Returns how many were
-- made. Idempotent; concurrent calls wait for each other. A day of which rows already lie in the DEFAULT
-- partition is left there. Runs as the owner, because the hub's role owns no tables.
CREATE FUNCTION ensure_partitions(until timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  v_day timestamp := date_trunc('day', now() AT TIME ZONE 'UTC');
  v_parent text;
  v_name text;
  v_made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'));
  WHILE v_day <= until AT TIME ZONE 'UTC' LOOP
    FOREACH v_parent IN ARRAY ARRAY['deliveries', 'events'] LOOP
      v_name := v_parent || to_char(v_day, '"_"YYYYMMDD');
      CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
      BEGIN
        EXECUTE format(
          'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', v_name, v_parent,
          to_char(v_day, 'YYYY-MM-DD"T00:00:00Z"'), to_char(v_day + interval '1 day', 'YYYY-MM-DD"T00:00:00Z"'));
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_name);
        v_made := v_made + 1;
      EXCEPTION WHEN check_violation THEN
        NULL;
      END;
    END LOOP;
    v_day := v_day + interval '1 day';
  END LOOP;
  RETURN v_made;
END $$;

-- Drops the partitions of `parent` ('events', 'deliveries'; null: both) that end at or before `before`, and
-- the rows before it in the DEFAULT partition. For events the users' event_floor is raised first, so that a
-- client that was away too long is told to resync. Returns how many partitions were dropped. Idempotent.
-- Locks: users (sorted), then the tables; the same order as a group, so there is no deadlock.
-- Rows are read through the parents: the owner has no policy on a partition.
CREATE FUNCTION drop_partitions(before timestamptz, parent text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  v_parent text;
  v_old regclass[];
  v_one regclass;
  v_dropped integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_partitions'));
  FOREACH v_parent IN ARRAY ARRAY['deliveries', 'events'] LOOP
    CONTINUE WHEN parent IS NOT NULL AND parent <> v_parent;
    SELECT coalesce(array_agg(c.oid::regclass ORDER BY c.relname), '{}') INTO v_old
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = v_parent::regclass AND c.relname ~ '_[0-9]{8}$'
      AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before;
    IF v_parent = 'events' THEN
      WITH floors AS (
        SELECT e.tenant_id, e.user_id, max(e.seq) AS seq FROM events e
        WHERE e.at < before
          AND (e.tableoid = ANY (v_old::oid[]) OR e.tableoid = 'events_default'::regclass)
        GROUP BY 1, 2),
      locked AS MATERIALIZED (
        SELECT u.tenant_id, u.id, f.seq FROM floors f
        JOIN users u ON u.tenant_id = f.tenant_id AND u.id = f.user_id
        ORDER BY u.tenant_id, u.id FOR NO KEY UPDATE OF u)
      UPDATE users u SET event_floor = greatest(u.event_floor, l.seq)
      FROM locked l WHERE u.tenant_id = l.tenant_id AND u.id = l.id;
      DELETE FROM events e WHERE e.at < before AND e.tableoid = 'events_default'::regclass;
    ELSE
      DELETE FROM deliveries d WHERE d.received_at < before AND d.tableoid = 'deliveries_default'::regclass;
    END IF;
    FOREACH v_one IN ARRAY v_old LOOP
      EXECUTE format('DROP TABLE %s', v_one);
      v_dropped := v_dropped + 1;
    END LOOP;
  END LOOP;
  RETURN v_dropped;
END $$;

SELECT ensure_partitions(now() + interval '7 days');
