-- A block closes the direct conversation of the two, on the row that a send holds anyway: none that is acknowledged after
-- the block comes through, and a send looks nowhere else.
ALTER TABLE conversations ADD COLUMN blocked boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN conversations.blocked IS 'Of a direct one: one of the two has blocked the other. Follows from user_contacts, under the lock of both members.';
