CREATE TABLE teams (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  name            text NOT NULL,
  description     text,
  leader_id       uuid,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, leader_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE teams IS 'Members who work together.';
COMMENT ON COLUMN teams.leader_id IS 'Whose TEAM permissions reach what the members of the team own.';
CREATE UNIQUE INDEX teams_name ON teams (organization_id, lower(name));
CREATE INDEX teams_by_name ON teams (organization_id, name, id);
CREATE INDEX teams_newest ON teams (organization_id, created_at DESC, id DESC);
CREATE INDEX teams_updated ON teams (organization_id, updated_at DESC, id DESC);
CREATE INDEX teams_leader ON teams (organization_id, leader_id) WHERE leader_id IS NOT NULL;
CREATE INDEX teams_created_by ON teams (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('teams');

CREATE TABLE team_members (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  team_id         uuid NOT NULL,
  member_id       uuid NOT NULL,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id),
  UNIQUE (organization_id, team_id, member_id),
  FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id),
  FOREIGN KEY (organization_id, member_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id)
);
COMMENT ON TABLE team_members IS 'Who is in which team. A member who is removed is in none.';
CREATE INDEX team_members_team ON team_members (organization_id, team_id, created_at DESC, id DESC);
CREATE INDEX team_members_member ON team_members (organization_id, member_id, created_at DESC, id DESC);
CREATE INDEX team_members_created_by ON team_members (organization_id, created_by) WHERE created_by IS NOT NULL;
SELECT stoa_wall('team_members');
