-- When a notification was read, read as if it were a column (`t0."read_at"`): when it was marked, or else when its member
-- read the conversation as far as its message.
CREATE OR REPLACE FUNCTION read_at(notifications) RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT coalesce($1.marked_at, (
    SELECT coalesce(p.read_at, $1.created_at) FROM participants p
    WHERE p.organization_id = $1.organization_id AND p.conversation_id = $1.conversation_id
      AND p.member_id = $1.member_id AND p.read_seq >= $1.message_seq))
$$;
