CREATE TABLE accounts (
  organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
  id              uuid NOT NULL,
  name            text NOT NULL,
  domain          text,
  website         text,
  industry        text,
  type            text NOT NULL DEFAULT 'prospect' CHECK (type IN ('prospect', 'customer', 'partner', 'vendor', 'competitor')),
  annual_revenue  numeric(15,2) CHECK (annual_revenue >= 0),
  currency        text NOT NULL DEFAULT 'USD',
  employees       integer CHECK (employees >= 0),
  phone           text,
  billing_address jsonb,
  shipping_address jsonb,
  description     text,
  parent_id       uuid,
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
  FOREIGN KEY (organization_id, parent_id) REFERENCES accounts (organization_id, id),
  CHECK (parent_id <> id)
);
COMMENT ON TABLE accounts IS 'Companies that one sells to, buys from or competes with; a tree by parent_id.';
COMMENT ON COLUMN accounts.parent_id IS 'The company this one belongs to. No cycles, at most 10 levels.';
CREATE INDEX accounts_parent ON accounts (organization_id, parent_id, created_at DESC, id DESC) WHERE parent_id IS NOT NULL;
CREATE INDEX accounts_name ON accounts (organization_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX accounts_domain ON accounts (organization_id, domain, id) WHERE deleted_at IS NULL;
CREATE INDEX accounts_type ON accounts (organization_id, type, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX accounts_industry ON accounts (organization_id, industry, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX accounts_newest ON accounts (organization_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX accounts_updated ON accounts (organization_id, updated_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX accounts_owner ON accounts (organization_id, owner_id, created_at DESC, id DESC);
CREATE INDEX accounts_created_by ON accounts (organization_id, created_by);
CREATE INDEX accounts_deleted ON accounts (organization_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX accounts_deleted_by ON accounts (organization_id, deleted_by) WHERE deleted_by IS NOT NULL;
SELECT stoa_wall('accounts');
