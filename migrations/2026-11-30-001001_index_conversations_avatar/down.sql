DROP INDEX conversations_avatar;
