DROP POLICY worker_organizations ON organizations;
DROP TABLE schedules;
DROP TABLE jobs;
DROP FUNCTION stoa_worker();
