-- Where the log of a conversation stands, read as if it were a column (`t0."cursor"`): in the same moment as the row.
-- Asked for later it would be ahead of what was read before, and what happened in between would be missed.
CREATE OR REPLACE FUNCTION "cursor"(conversations) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT concat_ws('/', $1.organization_id, $1.id, e.seq, e.id)
  FROM (SELECT) one LEFT JOIN LATERAL (
    SELECT seq, id FROM events
    WHERE organization_id = $1.organization_id AND stream_id = $1.id ORDER BY seq DESC LIMIT 1
  ) e ON true
$$;
