-- The words of a text, as `stoa_fold` compares them. PostgreSQL's parser keeps paths, addresses and words with a hyphen as one, so
-- that `main` was not found in `src/main.rs`: here a sign is what lies between two words. It calls no function of ours: while an
-- index is built, PostgreSQL 17 and newer look for none outside of pg_catalog.
CREATE FUNCTION stoa_words(value text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  AS $$ SELECT to_tsvector('pg_catalog.simple', translate(lower(public.unaccent('public.unaccent'::regdictionary, value)),
    '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))) $$;
