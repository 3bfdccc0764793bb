CREATE INDEX CONCURRENTLY events_audit_entity ON events (organization_id, entity, at, id) WHERE kind <> 'message_sent';
