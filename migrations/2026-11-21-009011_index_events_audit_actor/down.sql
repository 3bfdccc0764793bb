DROP INDEX events_audit_actor;
