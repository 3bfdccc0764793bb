-- What an API key schedules is sent with what the key may by then.
ALTER TABLE scheduled_messages ADD COLUMN api_key text;
COMMENT ON COLUMN scheduled_messages.api_key IS 'The id of the API key that wrote it; null: its author did. By value: one that is gone by then is a failure that is told.';
