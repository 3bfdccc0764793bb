CREATE TABLE scheduled_messages (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  conversation_id uuid NOT NULL,
  thread_root_id  uuid,
  body            text CHECK (length(body) <= 40000),
  file_ids        text[] NOT NULL DEFAULT '{}',
  client_id       text,
  scheduled_for   timestamptz NOT NULL,
  status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'failed', 'cancelled')),
  message_id      uuid,
  failure_code    text,
  failure_message text,
  sending_since   timestamptz,
  takes           integer NOT NULL DEFAULT 0,
  plans           integer NOT NULL DEFAULT 0,
  created_by      uuid NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, conversation_id) REFERENCES conversations (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, thread_root_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, message_id) REFERENCES messages (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK ((status = 'sent') = (message_id IS NOT NULL)),
  CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
  CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
  CHECK ((status IN ('pending', 'failed')) = (body IS NOT NULL)),
  CHECK (status = 'pending' OR sending_since IS NULL)
);
COMMENT ON TABLE scheduled_messages IS 'Messages that members have written to be sent later. Nobody but who wrote one sees it.';
COMMENT ON COLUMN scheduled_messages.body IS 'Null: it was sent, and the message has it, or it was cancelled.';
COMMENT ON COLUMN scheduled_messages.file_ids IS 'The files to bring along. By value: one that is gone by then is a failure that is told.';
COMMENT ON COLUMN scheduled_messages.client_id IS 'The author''s own key for it: scheduling it again returns the one that exists.';
COMMENT ON COLUMN scheduled_messages.sending_since IS 'Since when somebody is sending it, or has died of it: nothing else is done about it.';
COMMENT ON COLUMN scheduled_messages.takes IS 'How often somebody has begun to send it: who was the latest may give it back.';
COMMENT ON COLUMN scheduled_messages.plans IS 'How often a job was left for it: the latest has an id that follows from this.';
CREATE UNIQUE INDEX scheduled_messages_client_id ON scheduled_messages (organization_id, created_by, client_id)
  WHERE client_id IS NOT NULL;
CREATE INDEX scheduled_messages_due ON scheduled_messages (organization_id, created_by, scheduled_for DESC, id DESC);
CREATE INDEX scheduled_messages_newest ON scheduled_messages (organization_id, created_by, created_at DESC, id DESC);
CREATE INDEX scheduled_messages_updated ON scheduled_messages (organization_id, created_by, updated_at DESC, id DESC);
CREATE INDEX scheduled_messages_pending ON scheduled_messages (organization_id, created_by, scheduled_for)
  WHERE status = 'pending';
CREATE INDEX scheduled_messages_conversation ON scheduled_messages (organization_id, conversation_id);
CREATE INDEX scheduled_messages_thread_root ON scheduled_messages (organization_id, thread_root_id)
  WHERE thread_root_id IS NOT NULL;
CREATE INDEX scheduled_messages_message ON scheduled_messages (organization_id, message_id) WHERE message_id IS NOT NULL;
SELECT stoa_wall('scheduled_messages');
