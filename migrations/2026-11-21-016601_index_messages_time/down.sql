DROP INDEX messages_time;
