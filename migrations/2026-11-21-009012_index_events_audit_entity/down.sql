DROP INDEX events_audit_entity;
