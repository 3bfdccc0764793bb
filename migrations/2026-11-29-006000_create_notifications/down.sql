DROP FUNCTION IF EXISTS read_at(notifications);
DROP TABLE notifications;
DROP TABLE log_places;
