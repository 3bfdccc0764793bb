DROP FUNCTION purge_login_attempts(integer, integer);
DROP TABLE login_attempts;
DROP FUNCTION refuse_change_of_attempts();
