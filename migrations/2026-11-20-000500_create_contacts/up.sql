CREATE TABLE contacts (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  first_name      text NOT NULL,
  last_name       text NOT NULL,
  email           text,
  phone           text,
  mobile          text,
  title           text,
  department      text,
  account_id      uuid,
  reports_to_id   uuid,
  address         jsonb,
  birthday        date,
  lead_source     text,
  do_not_call     boolean NOT NULL DEFAULT false,
  email_opt_out   boolean NOT NULL DEFAULT false,
  last_contacted_at timestamptz,
  tags            text[] NOT NULL DEFAULT '{}',
  custom_fields   jsonb NOT NULL DEFAULT '{}',
  owner_id        uuid,
  created_by      uuid,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  version         integer NOT NULL DEFAULT 1,
  deleted_at      timestamptz,
  deleted_by      uuid,
  PRIMARY KEY (organization_id, id),
  FOREIGN KEY (organization_id, owner_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, created_by) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, deleted_by) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, account_id) REFERENCES accounts (organization_id, id),
  FOREIGN KEY (organization_id, reports_to_id) REFERENCES contacts (organization_id, id),
  CHECK (reports_to_id <> id)
);
COMMENT ON TABLE contacts IS 'People one deals with, most often at an account.';
CREATE INDEX contacts_account ON contacts (organization_id, account_id, created_at DESC, id DESC) WHERE account_id IS NOT NULL;
CREATE INDEX contacts_reports_to ON contacts (organization_id, reports_to_id, created_at DESC, id DESC) WHERE reports_to_id IS NOT NULL;
CREATE INDEX contacts_last_name ON contacts (organization_id, last_name, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_email ON contacts (organization_id, email, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_last_contacted ON contacts (organization_id, last_contacted_at, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_newest ON contacts (organization_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX contacts_updated ON contacts (organization_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX contacts_owner ON contacts (organization_id, owner_id, created_at DESC, id DESC);
CREATE INDEX contacts_created_by ON contacts (organization_id, created_by);
CREATE INDEX contacts_deleted ON contacts (organization_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX contacts_deleted_by ON contacts (organization_id, deleted_by) WHERE deleted_by IS NOT NULL;
SELECT stoa_wall('contacts');
