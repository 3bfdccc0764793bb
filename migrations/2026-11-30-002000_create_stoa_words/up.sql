-- The words of a text. PostgreSQL's parser keeps paths, addresses and words with a hyphen as one, so that `main` was not found in
-- `src/main.rs`: here a sign is what lies between two words.
CREATE FUNCTION stoa_words(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  AS $$ SELECT to_tsvector('pg_catalog.simple', translate(public.stoa_fold(value),
    '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))) $$;
