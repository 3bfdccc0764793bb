DROP FUNCTION IF EXISTS "cursor"(conversations);
DROP TABLE messages;
DROP TABLE participants;
DROP TABLE conversations;
