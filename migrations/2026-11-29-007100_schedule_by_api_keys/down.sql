ALTER TABLE scheduled_messages DROP COLUMN api_key;
