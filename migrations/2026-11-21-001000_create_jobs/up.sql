-- Who works for all organizations: a connection that says so sees the queue, its schedules and which organizations there
-- are, and nothing that is in these. Requests never say so.
CREATE FUNCTION stoa_worker() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT current_setting('stoa.worker', true) = 'on' $$;

CREATE TABLE jobs (
  id              uuid PRIMARY KEY,
  organization_id uuid REFERENCES organizations ON DELETE CASCADE,
  kind            text NOT NULL,
  about           text NOT NULL DEFAULT '',
  payload         jsonb,
  status          text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'running', 'done', 'dead', 'discarded')),
  attempts        integer NOT NULL DEFAULT 0,
  max_attempts    integer NOT NULL CHECK (max_attempts > 0),
  takes           bigint NOT NULL DEFAULT 0,
  last_error      text,
  run_at          timestamptz NOT NULL DEFAULT now(),
  finished_at     timestamptz,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  CHECK (created_by IS NULL OR organization_id IS NOT NULL),
  CHECK ((finished_at IS NULL) = (status IN ('waiting', 'running')))
);
COMMENT ON TABLE jobs IS 'What is to be done after a commit: mails and upkeep, each at least once.';
COMMENT ON COLUMN jobs.organization_id IS 'Null: of no organization, such as the mail of somebody who has none.';
COMMENT ON COLUMN jobs.about IS 'What it is about, for people; never a secret.';
COMMENT ON COLUMN jobs.payload IS 'What its handler needs; may hold secrets, and so is emptied when it is done.';
COMMENT ON COLUMN jobs.attempts IS 'How often it has been tried; starts again when somebody retries it.';
COMMENT ON COLUMN jobs.takes IS 'How often it has been taken in all: the number of the latest is the key to its lease.';
COMMENT ON COLUMN jobs.run_at IS 'When it is taken next; while it runs, when its lease ends.';
CREATE INDEX jobs_due ON jobs (run_at, id) WHERE status IN ('waiting', 'running');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_newest ON jobs (organization_id, created_at DESC, id DESC);
CREATE INDEX jobs_next ON jobs (organization_id, run_at, id);
CREATE INDEX jobs_created_by ON jobs (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('jobs');
CREATE POLICY worker_jobs ON jobs USING ((SELECT stoa_worker()));
-- Anybody may leave a job of no organization, for instance whoever forgot a password; nobody but a worker sees it.
CREATE POLICY nobodys_jobs ON jobs FOR INSERT WITH CHECK (organization_id IS NULL);

CREATE TABLE schedules (
  name        text PRIMARY KEY,
  next_run_at timestamptz NOT NULL,
  last_run_at timestamptz
);
COMMENT ON TABLE schedules IS 'What recurs: whoever of all nodes takes the row first leaves a job and sets the next time.';
ALTER TABLE schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE schedules FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_schedules ON schedules USING ((SELECT stoa_worker()));

CREATE POLICY worker_organizations ON organizations FOR SELECT USING ((SELECT stoa_worker()));
