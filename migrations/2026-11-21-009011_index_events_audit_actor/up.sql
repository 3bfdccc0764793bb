CREATE INDEX CONCURRENTLY events_audit_actor ON events (organization_id, actor_id, at, id) WHERE kind <> 'message_sent';
