-- The one way out of the log: moves a stream's floor past its oldest events, at most so many, as far as they are older than so many
-- days (a day at least) and none of them is the newest, whose place cursors stand on. What the audit trail and the histories of
-- records tell stays below the floor, where no feed reads it; the rest goes. Answers how far the floor has moved.
CREATE OR REPLACE FUNCTION trim_stream(of_stream uuid, days integer, most integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  organization uuid := stoa_organization();
  head stream_heads;
  up_to bigint;
BEGIN
  -- Whoever writes to the stream comes before or after.
  SELECT * INTO head FROM stream_heads WHERE organization_id = organization AND stream_id = of_stream FOR NO KEY UPDATE;
  SELECT max(seq) INTO up_to FROM (
    SELECT seq, at FROM events WHERE organization_id = organization AND stream_id = of_stream AND seq > head.floor_seq
    ORDER BY seq LIMIT most) oldest
  WHERE at < now() - make_interval(days => greatest(days, 1)) AND seq < head.head_seq;
  IF up_to IS NULL THEN
    RETURN 0;
  END IF;
  UPDATE stream_heads SET floor_seq = up_to WHERE organization_id = organization AND stream_id = of_stream;
  PERFORM set_config('stoa.purging', 'events', true);
  -- The kinds that src/audit.rs leaves out.
  DELETE FROM events
  WHERE organization_id = organization AND stream_id = of_stream AND seq > head.floor_seq AND seq <= up_to
    AND kind IN ('message_sent', 'messages_expired', 'receipts_moved', 'settings_changed', 'presence_changed',
      'conversation_entered', 'user_contact_changed', 'notification_created', 'notifications_read',
      'scheduled_message_changed');
  PERFORM set_config('stoa.purging', '', true);
  RETURN up_to - head.floor_seq;
END $$;

-- What these messages said goes from the log of their conversation, as far as they say it no more themselves: that they were sent,
-- edited or pinned stays, by whom and when.
CREATE OR REPLACE FUNCTION forget_bodies(of_stream uuid, messages_gone uuid[]) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  organization uuid := stoa_organization();
  forgotten integer;
BEGIN
  -- The head first, as whoever trims the stream.
  PERFORM FROM stream_heads WHERE organization_id = organization AND stream_id = of_stream FOR NO KEY UPDATE;
  PERFORM set_config('stoa.purging', 'bodies', true);
  UPDATE events e
  SET payload = jsonb_set(jsonb_set(e.payload, '{message,body}', 'null'), '{message,system}', 'null', false)
  WHERE e.organization_id = organization AND e.stream_id = of_stream AND e.entity = 'Message' AND e.entity_id = ANY(messages_gone)
    AND jsonb_typeof(e.payload #> '{message,body}') = 'string'
    AND NOT EXISTS (SELECT FROM messages m WHERE m.organization_id = organization AND m.id = e.entity_id AND m.body IS NOT NULL);
  GET DIAGNOSTICS forgotten = ROW_COUNT;
  PERFORM set_config('stoa.purging', '', true);
  RETURN forgotten;
END $$;
