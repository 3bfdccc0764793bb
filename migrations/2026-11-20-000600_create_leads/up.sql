CREATE TABLE leads (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  first_name      text NOT NULL,
  last_name       text NOT NULL,
  email           text,
  phone           text,
  company         text,
  title           text,
  source          text,
  status          text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'contacted', 'qualified', 'unqualified', 'converted')),
  score           integer NOT NULL DEFAULT 0 CHECK (score BETWEEN 0 AND 100),
  industry        text,
  annual_revenue  numeric(15,2) CHECK (annual_revenue >= 0),
  currency        text NOT NULL DEFAULT 'USD',
  employees       integer CHECK (employees >= 0),
  website         text,
  address         text,
  city            text,
  state           text,
  country         text,
  postal_code     text,
  notes           text,
  assigned_to_id  uuid,
  account_id      uuid,
  contact_id      uuid,
  converted_at    timestamptz,
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
  FOREIGN KEY (organization_id, assigned_to_id) REFERENCES memberships (organization_id, id),
  FOREIGN KEY (organization_id, account_id) REFERENCES accounts (organization_id, id),
  FOREIGN KEY (organization_id, contact_id) REFERENCES contacts (organization_id, id),
  CHECK ((status = 'converted') = (converted_at IS NOT NULL))
);
COMMENT ON TABLE leads IS 'People and companies who might buy, until they are converted or lost.';
COMMENT ON COLUMN leads.account_id IS 'The account that the lead is about, or became when it was converted.';
COMMENT ON COLUMN leads.contact_id IS 'The contact that the lead became when it was converted.';
CREATE INDEX leads_status ON leads (organization_id, status, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX leads_score ON leads (organization_id, score DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX leads_source ON leads (organization_id, source, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX leads_last_name ON leads (organization_id, last_name, id) WHERE deleted_at IS NULL;
CREATE INDEX leads_company ON leads (organization_id, company, id) WHERE deleted_at IS NULL;
CREATE INDEX leads_email ON leads (organization_id, email, id) WHERE deleted_at IS NULL;
CREATE INDEX leads_last_contacted ON leads (organization_id, last_contacted_at, id) WHERE deleted_at IS NULL;
CREATE INDEX leads_assigned_to ON leads (organization_id, assigned_to_id, created_at DESC, id DESC) WHERE assigned_to_id IS NOT NULL;
CREATE INDEX leads_account ON leads (organization_id, account_id, created_at DESC, id DESC) WHERE account_id IS NOT NULL;
CREATE INDEX leads_contact ON leads (organization_id, contact_id, created_at DESC, id DESC) WHERE contact_id IS NOT NULL;
CREATE INDEX leads_newest ON leads (organization_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX leads_updated ON leads (organization_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX leads_owner ON leads (organization_id, owner_id, created_at DESC, id DESC);
CREATE INDEX leads_created_by ON leads (organization_id, created_by);
CREATE INDEX leads_deleted ON leads (organization_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX leads_deleted_by ON leads (organization_id, deleted_by) WHERE deleted_by IS NOT NULL;
-- None for tags: containment is not leakproof, so that under a policy no index serves it.
SELECT stoa_wall('leads');
