// What the Examples panel offers. Every operation runs as it stands on the demo data (tests/clients proves it), so
// this file imports nothing.

/** What an example may use to fill in its variables. */
export interface Tools {
  /** Runs a query and follows `path` into its data; empty when there is nothing at that place. */
  ask(query: string, path: string): Promise<string>;
  uuid(): string;
}

export interface Example {
  title: string;
  /** What one sees, in a sentence. */
  about: string;
  query: string;
  variables?: (tools: Tools) => Promise<Record<string, unknown>>;
}

export interface ExampleGroup {
  title: string;
  examples: [Example, ...Example[]];
}

/** The newest lead that may still be changed. */
const openLead = (tools: Tools) =>
  tools.ask('{ leads(first: 1, filter: { status: { ne: CONVERTED } }) { nodes { id } } }', 'leads.nodes.0.id');

/** The newest conversation of the member: the one that "Start a conversation" has just made. */
const newestConversation = (tools: Tools) =>
  tools.ask('{ conversations(first: 1) { nodes { id } } }', 'conversations.nodes.0.id');

export const EXAMPLES: [ExampleGroup, ...ExampleGroup[]] = [
  {
    title: 'Read',
    examples: [
      {
        title: 'List leads',
        about: 'The newest leads, each with its owner and account, and a cursor for the next page.',
        query: `query Leads {
  leads(first: 10) {
    totalCount
    nodes {
      id
      firstName
      lastName
      email
      status
      score
      owner { name }
      account { name }
    }
    pageInfo { hasNextPage endCursor }
  }
}
`,
      },
      {
        title: 'Filter and order',
        about: 'New and contacted leads of the last 30 days, best score first.',
        query: `query FreshLeads($filter: LeadFilter, $orderBy: [LeadOrder!]) {
  leads(first: 10, filter: $filter, orderBy: $orderBy) {
    totalCount
    nodes { id firstName lastName status score createdAt }
  }
}
`,
        variables: async () => ({
          filter: { status: { in: ['NEW', 'CONTACTED'] }, createdAt: { gte: '-P30D' } },
          orderBy: [{ field: 'SCORE', direction: 'DESC' }],
        }),
      },
      {
        title: 'Next page',
        about: 'The page after the first five leads: $after takes the endCursor of the page before.',
        query: `query MoreLeads($after: String) {
  leads(first: 5, after: $after) {
    nodes { id firstName lastName }
    pageInfo { hasNextPage endCursor }
  }
}
`,
        variables: async ({ ask }) => ({
          after: await ask('{ leads(first: 5) { pageInfo { endCursor } } }', 'leads.pageInfo.endCursor'),
        }),
      },
      {
        title: 'Count by status',
        about: 'How many leads there are in each status, and their average score.',
        query: `query LeadsByStatus {
  leadAggregate(groupBy: [{ field: STATUS }]) {
    count
    groups {
      keys { field value }
      count
      avg { score }
    }
  }
}
`,
      },
      {
        title: 'Companies with their people',
        about: 'Customers by size: where each stands in its group, whom one knows there, what is open.',
        query: `query Customers {
  accounts(
    first: 5
    filter: { type: { eq: CUSTOMER } }
    orderBy: [{ field: EMPLOYEES, direction: DESC }]
  ) {
    nodes {
      name
      employees
      ancestors { name }
      children(first: 5) { nodes { name type } }
      contacts(first: 3) { totalCount nodes { name title reportsTo { name } } }
    }
  }
}
`,
      },
      {
        title: 'Who am I',
        about: 'Your organization, your role and what it permits. Sign in as somebody else and compare.',
        query: `query Me {
  viewer {
    user { fullName email }
    organization { name slug timeZone currency }
    role
    permissions { resource action scope }
  }
}
`,
      },
    ],
  },
  {
    title: 'Write',
    examples: [
      {
        title: 'Create a lead',
        about: 'What the input has that can be mended comes back in userErrors, all at once.',
        query: `mutation CreateLead($input: LeadCreateInput!) {
  leadCreate(input: $input) {
    lead { id firstName lastName email status createdAt }
    userErrors { field message code }
  }
}
`,
        variables: async () => ({
          input: { firstName: 'Ada', lastName: 'Lovelace', email: 'ada@example.com' },
        }),
      },
      {
        title: 'Change a lead',
        about: 'What is left out stays, null clears. history tells who changed what.',
        query: `mutation ChangeLead($input: LeadUpdateInput!) {
  leadUpdate(input: $input) {
    lead {
      id
      score
      notes
      version
      history(first: 5) {
        action
        occurredAt
        actor { name }
        changes { field old new }
      }
    }
    userErrors { field message code }
  }
}
`,
        variables: async (tools) => ({ input: { id: await openLead(tools), score: 88, notes: null } }),
      },
      {
        title: 'Watch leads',
        about: 'Every change of a lead as it happens: run this, then create or change a lead in another tab.',
        query: `subscription WatchLeads($after: String) {
  recordEvents(entity: LEAD, after: $after) {
    __typename
    ... on FeedEvent { cursor occurredAt }
    ... on RecordChanged {
      action
      recordId
      actor { name }
      changes { field old new }
    }
  }
}
`,
      },
    ],
  },
  {
    title: 'Talk',
    examples: [
      {
        title: 'Start a conversation',
        about: 'A group of your own. The two examples below take the newest conversation.',
        query: `mutation StartConversation($input: ConversationCreateInput!) {
  conversationCreate(input: $input) {
    conversation { id title kind }
    userErrors { field message code }
  }
}
`,
        variables: async () => ({ input: { kind: 'GROUP', title: 'Hello from GraphiQL' } }),
      },
      {
        title: 'Watch a conversation',
        about: 'Every event as it happens, in the Live panel also while you work in another tab. With a cursor in $after it begins there: a broken connection misses nothing.',
        query: `subscription WatchConversation($conversationId: ID!, $after: String) {
  conversationEvents(conversationId: $conversationId, after: $after) {
    __typename
    ... on FeedEvent { cursor occurredAt }
    ... on MessageSent {
      message { id seq body sender { name } }
    }
  }
}
`,
        variables: async (tools) => ({ conversationId: await newestConversation(tools) }),
      },
      {
        title: 'Send a message',
        about: 'Run it twice: the same clientId answers with the message that exists. Change it to send another.',
        query: `mutation SendMessage($input: MessageSendInput!) {
  messageSend(input: $input) {
    message { id seq body createdAt }
    userErrors { field message code }
  }
}
`,
        variables: async (tools) => ({
          input: {
            conversationId: await newestConversation(tools),
            body: 'Good morning!',
            clientId: tools.uuid(),
          },
        }),
      },
    ],
  },
];
