ALTER TABLE users ADD COLUMN phone text;
ALTER TABLE users ADD COLUMN settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object');
COMMENT ON COLUMN users.settings IS 'What a front end remembers of the person.';
