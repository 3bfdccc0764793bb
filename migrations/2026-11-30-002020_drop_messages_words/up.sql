-- Only `search_messages` used it, which is replaced with this migration, also for the program before.
DROP INDEX CONCURRENTLY messages_words;
