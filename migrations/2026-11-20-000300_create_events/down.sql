DROP TABLE events;
DROP FUNCTION refuse_change();
DROP TABLE stream_heads;
DROP TABLE streams;
DROP FUNCTION forget_stream();
