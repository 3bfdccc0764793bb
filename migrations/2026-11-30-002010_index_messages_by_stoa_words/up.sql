CREATE INDEX CONCURRENTLY messages_by_words ON messages USING gin (stoa_words(body)) WHERE deleted_at IS NULL;
