ALTER TABLE messages ADD COLUMN kind text NOT NULL DEFAULT 'text';
ALTER TABLE messages ADD COLUMN system jsonb;
ALTER TABLE messages ADD CONSTRAINT messages_kind_check CHECK (kind IN ('text', 'file', 'system')) NOT VALID;
ALTER TABLE messages ADD CONSTRAINT messages_system_check CHECK (system IS NULL OR kind = 'system') NOT VALID;
COMMENT ON COLUMN messages.kind IS 'Of what kind it is, or was before it was deleted.';
COMMENT ON COLUMN messages.system IS 'What Stoa tells by it, for programs; null: somebody said it, or it was deleted.';
