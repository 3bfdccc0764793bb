CREATE INDEX CONCURRENTLY messages_words ON messages USING gin (to_tsvector('pg_catalog.simple', stoa_fold(body)))
  WHERE deleted_at IS NULL;
