-- When something was last said in a conversation, or else when it was opened: what lists are ordered by, read as if it were a
-- column (`t0."active_at"`).
CREATE OR REPLACE FUNCTION "active_at"(conversations) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce($1.last_message_at, $1.created_at)
$$;
