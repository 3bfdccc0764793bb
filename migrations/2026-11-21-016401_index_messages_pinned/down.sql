DROP INDEX messages_pinned;
