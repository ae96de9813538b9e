-- What a node does now and then: partitions for a week ahead; those behind the retention are dropped.
-- Idempotent. Locks: see ensure_partitions and drop_partitions.
CREATE FUNCTION keep_partitions(delivery_days integer, event_days integer) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
  SELECT ensure_partitions(now() + interval '7 days');
  SELECT drop_partitions(now() - make_interval(days => delivery_days), 'deliveries');
  SELECT drop_partitions(now() - make_interval(days => event_days), 'events');
$$;

REVOKE ALL ON FUNCTION keep_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_partitions TO hub_writer;
