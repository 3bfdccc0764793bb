CREATE INDEX CONCURRENTLY events_audit ON events (organization_id, at, id) WHERE kind <> 'message_sent';
