DROP TABLE message_versions;
