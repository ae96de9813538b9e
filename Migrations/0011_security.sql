-- Who may touch what. Row-level security stands behind every query of the reader: without hub.tenant and
-- hub.user it sees nothing at all. The writer commits for many tenants in one statement, so its policy is
-- open; it is a role of its own, and no reader is a member of it.
--
-- The settings are read in a sub-select, which the planner evaluates once for a query and not once for a row.

DO $$
DECLARE
  v_table text;
  v_tenant constant text := 'tenant_id = (SELECT current_setting(''hub.tenant'', true))';
  v_user constant text := ' AND %s = (SELECT current_setting(''hub.user'', true))';
  v_account constant text := ' AND %s IN (SELECT u.account_id FROM account_users u '
    'WHERE u.tenant_id = (SELECT current_setting(''hub.tenant'', true)) '
    'AND u.user_id = (SELECT current_setting(''hub.user'', true)))';
  v_message constant text := ' AND message_id IN (SELECT m.id FROM messages m '
    'WHERE m.tenant_id = (SELECT current_setting(''hub.tenant'', true)) AND m.id = message_id)';
  v_rule text;
BEGIN
  FOR v_table IN
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition AND (c.relname = 'tenants' OR EXISTS (
        SELECT 1 FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO hub_writer', v_table);
    EXECUTE format('CREATE POLICY writer ON %I TO hub_writer USING (true) WITH CHECK (true)', v_table);
    v_rule := CASE v_table
      WHEN 'tenants' THEN 'id = (SELECT current_setting(''hub.tenant'', true))'
      WHEN 'users' THEN v_tenant || format(v_user, 'id')
      WHEN 'user_unread' THEN v_tenant || format(v_user, 'user_id')
      WHEN 'account_users' THEN v_tenant || format(v_user, 'user_id')
      WHEN 'memberships' THEN v_tenant || format(v_user, 'user_id')
      WHEN 'events' THEN v_tenant || format(v_user, 'user_id')
      WHEN 'accounts' THEN v_tenant || format(v_account, 'id')
      WHEN 'conversations' THEN v_tenant || format(v_account, 'account_id')
      WHEN 'messages' THEN v_tenant || format(v_account, 'account_id')
      WHEN 'message_versions' THEN v_tenant || v_message
      WHEN 'reactions' THEN v_tenant || v_message
      WHEN 'attachments' THEN v_tenant || v_message
      WHEN 'statuses' THEN v_tenant || v_message
      WHEN 'participants' THEN v_tenant || ' AND conversation_id IN (SELECT c.id FROM conversations c '
        'WHERE c.tenant_id = (SELECT current_setting(''hub.tenant'', true)) AND c.id = conversation_id)'
    END;
    -- Not for readers at all: the ledger, waiting changes, aliases.
    CONTINUE WHEN v_rule IS NULL;
    EXECUTE format('CREATE POLICY reader ON %I FOR SELECT TO hub_reader USING (%s)', v_table, v_rule);
    IF v_table <> 'accounts' THEN
      EXECUTE format('GRANT SELECT ON %I TO hub_reader', v_table);
    END IF;
  END LOOP;

  -- Partitions are reached through their parents only.
  FOR v_table IN
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relispartition
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_table);
  END LOOP;
END $$;

GRANT SELECT (tenant_id, id, platform, name, owner_id, key, state, state_reason, state_action, settings,
  external_id, created_at, updated_at, deleted_at) ON accounts TO hub_reader;
GRANT SELECT ON account_documents TO hub_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON nodes TO hub_writer;

-- Functions: nothing for PUBLIC; all for the writer; the readers' own for the reader.
DO $$
DECLARE
  f record;
BEGIN
  FOR f IN
    SELECT p.oid::regprocedure AS signature, p.proname
    FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f.signature);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_writer', f.signature);
    IF f.proname IN (
      'json_time', 'json_text', 'message_json', 'conversation_head', 'conversation_tail', 'unread_json', 'reply_id',
      'list_conversations', 'get_conversation', 'list_messages', 'get_message', 'unread_counts', 'list_events',
      'event_bounds', 'list_accounts', 'account_json') THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO hub_reader', f.signature);
    END IF;
  END LOOP;
END $$;
