DROP FUNCTION stoa_fold(text);
DROP FUNCTION stoa_wall(regclass);
DROP FUNCTION stoa_user();
DROP FUNCTION stoa_organization();
-- The role and the extensions stay: other databases and other applications may use them.
