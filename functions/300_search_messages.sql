-- What a text is searched for by: all of its words, the last one perhaps not yet written to its end. Operators of the language
-- of searches are no more than signs between words. NULL: there is no word in it.
CREATE OR REPLACE FUNCTION search_words(words text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN numnode(q) > 0 THEN (q::text || ':*')::tsquery END
  FROM (SELECT plainto_tsquery('pg_catalog.simple',
    translate(stoa_fold(words), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))) AS q) one
$$;

-- Messages with all of these words that a member may read, newest first, from behind a place on. `@@` is not leakproof: under
-- row level security it would look at every row instead of its index. So this runs with the rights of its owner, and keeps the
-- organization and the participant itself; whoever calls it says who reads, and nothing else of the wall. What Stoa itself tells
-- is found only by its kind.
CREATE OR REPLACE FUNCTION search_messages(
  reader uuid, words text, of_conversation uuid, of_sender uuid, of_kind text, sent_from timestamptz, sent_before timestamptz,
  behind_at timestamptz, behind_id uuid, most integer
) RETURNS TABLE (id uuid, at timestamptz) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  wanted tsquery := search_words(words);
  organization uuid := stoa_organization();
BEGIN
  -- The plan of these very values: which condition is the narrow one differs from search to search.
  RETURN QUERY EXECUTE '
    SELECT m.id, m.created_at FROM messages m
    WHERE m.organization_id = $1 AND stoa_words(m.body) @@ $2 AND m.deleted_at IS NULL
      AND ($3 IS NULL OR m.conversation_id = $3) AND ($4 IS NULL OR m.sender_id = $4)
      AND CASE WHEN $11 IS NULL THEN m.kind <> ''system'' ELSE m.kind = $11 END
      AND ($5 IS NULL OR m.created_at >= $5) AND ($6 IS NULL OR m.created_at < $6)
      AND ($7 IS NULL OR (m.created_at, m.id) < ($7, $8))
      AND m.conversation_id IN (SELECT p.conversation_id FROM participants p
        WHERE p.organization_id = $1 AND p.member_id = $9 AND p.left_at IS NULL)
    ORDER BY m.created_at DESC, m.id DESC LIMIT $10'
  USING organization, wanted, of_conversation, of_sender, sent_from, sent_before, behind_at, behind_id, reader, most, of_kind;
END $$;
