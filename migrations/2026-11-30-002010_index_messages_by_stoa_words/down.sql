DROP INDEX messages_by_words;
