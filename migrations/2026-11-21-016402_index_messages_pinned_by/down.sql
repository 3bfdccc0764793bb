DROP INDEX messages_pinned_by;
