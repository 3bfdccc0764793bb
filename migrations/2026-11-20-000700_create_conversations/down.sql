-- What functions/ reads of a row as if it were a column.
DROP FUNCTION IF EXISTS "cursor"(conversations);
DROP FUNCTION IF EXISTS "active_at"(conversations);
DROP TABLE messages;
DROP TABLE participants;
DROP TABLE conversations;
