-- What a client's arrival and a node's housekeeping need.

-- Makes sure that the tenant and the user of a token exist, and says where the user's event log stands.
-- Writes only when something is new, so that thousands of clients who come back at once cost reads.
-- Idempotent. Locks: the user's row when it changes.
CREATE FUNCTION open_user(tenant text, usr text, usr_email text, usr_roles text[])
RETURNS TABLE (state text, floor bigint, seq bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  v_user users;
BEGIN
  SELECT * INTO v_user FROM users u WHERE u.tenant_id = tenant AND u.id = usr;
  IF NOT FOUND THEN
    INSERT INTO tenants (id) VALUES (tenant) ON CONFLICT DO NOTHING;
    INSERT INTO users (tenant_id, id, email, roles) VALUES (tenant, usr, usr_email, usr_roles)
    ON CONFLICT DO NOTHING;
    SELECT * INTO v_user FROM users u WHERE u.tenant_id = tenant AND u.id = usr;
  ELSIF v_user.email IS DISTINCT FROM coalesce(usr_email, v_user.email) OR v_user.roles <> usr_roles THEN
    UPDATE users u SET email = coalesce(usr_email, u.email), roles = usr_roles
    WHERE u.tenant_id = tenant AND u.id = usr;
  END IF;
  RETURN QUERY SELECT t.state, v_user.event_floor, v_user.event_seq FROM tenants t WHERE t.id = tenant;
END $$;

-- Partitions for a week ahead; those behind the retention are dropped.
CREATE FUNCTION keep_partitions(delivery_days integer, event_days integer) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
  SELECT ensure_partitions(now() + interval '7 days');
  SELECT drop_partitions(now() - make_interval(days => delivery_days), 'deliveries');
  SELECT drop_partitions(now() - make_interval(days => event_days), 'events');
$$;

REVOKE ALL ON FUNCTION open_user, keep_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_user, keep_partitions TO hub_writer;
