//! The operations: what a client asks Stoa, and the one statement by which PostgreSQL alone would answer with the
//! same JSON. The statement names the organization and what is deleted as Stoa's own do, and runs as the same role
//! behind the same row level security.

use super::{
    http::Random,
    world::{CONVERSATION, CONVERSATIONS, LEAD, LEADS, World, digits},
};

#[derive(Clone, Copy)]
pub struct Operation {
    pub name: &'static str,
    pub what: &'static str,
    query: &'static str,
    /// `$` becomes the digits of a row, `%` a status.
    variables: &'static str,
    prefix: &'static str,
    rows: u64,
    /// How an answer that is right begins, and how long it is at least.
    pub answer: &'static str,
    pub least: usize,
    statement: fn(&World) -> String,
    /// At least this much of what PostgreSQL alone does.
    pub target: f64,
}

const STATUSES: [&str; 4] = ["NEW", "CONTACTED", "QUALIFIED", "UNQUALIFIED"];

pub const ALL: [Operation; 4] = [
    Operation {
        name: "Q1",
        what: "a lead by id, 10 fields",
        query: "query Q1($id: ID!) { lead(id: $id) { id firstName lastName email phone company title status score createdAt } }",
        variables: r#"{"id":"$"}"#,
        prefix: LEAD,
        rows: LEADS,
        answer: r#"{"data":{"lead":{"id":"#,
        least: 200,
        statement: q1,
        target: 0.35,
    },
    Operation {
        name: "Q2",
        what: "50 leads by status, newest first, each with owner and account",
        query: "query Q2($status: LeadStatus!) { leads(first: 50, filter: { status: { eq: $status } }) { nodes { id firstName lastName email status score createdAt owner { id name email } account { id name industry } } } }",
        variables: r#"{"status":"%"}"#,
        prefix: "",
        rows: 1,
        answer: r#"{"data":{"leads":{"nodes":[{"id":"#,
        least: 15_000,
        statement: q2,
        target: 0.5,
    },
    Operation {
        name: "Q3",
        what: "20 accounts, 5 contacts each, each with owner",
        query: "query Q3 { accounts(first: 20) { nodes { id name industry contacts(first: 5) { nodes { id firstName lastName email owner { id name } } } } } }",
        variables: "{}",
        prefix: "",
        rows: 1,
        answer: r#"{"data":{"accounts":{"nodes":[{"id":"#,
        least: 15_000,
        statement: q3,
        target: 0.9,
    },
    Operation {
        name: "Q4",
        what: "insert a message and return it",
        query: "mutation Q4($input: MessageSendInput!) { messageSend(input: $input) { message { id seq body createdAt senderId } userErrors { code } } }",
        variables: r#"{"input":{"conversationId":"$","body":"A message about something that matters to all of us."}}"#,
        prefix: CONVERSATION,
        rows: CONVERSATIONS,
        answer: r#"{"data":{"messageSend":{"message":{"id":"#,
        least: 150,
        statement: q4,
        target: 0.7,
    },
];

impl Operation {
    /// A request's body, with other variables each time.
    pub fn body(&self, random: &mut Random) -> String {
        let row = format!("{}{}", self.prefix, digits(random.below(self.rows)));
        let status = STATUSES[random.below(STATUSES.len() as u64) as usize];
        let variables = self.variables.replace('$', &row).replace('%', status);
        format!(r#"{{"query":"{}","variables":{variables}}}"#, self.query)
    }

    /// The script for pgbench.
    pub fn script(&self, world: &World) -> String {
        let rows = format!("\\set row random({}, {})\n", digits(0), digits(self.rows - 1));
        let statuses = format!("\\set status random(1, {})\n", STATUSES.len());
        let statement = (self.statement)(world).replace("$ID", &format!("('{}' || :row)::uuid", self.prefix));
        let list = STATUSES.map(|status| format!("'{}'", status.to_lowercase())).join(", ");
        let statement = statement.replace("$STATUS", &format!("(ARRAY[{list}])[:status]"));
        let one_line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let set = |name: &str, line: String| if one_line.contains(name) { line } else { String::new() };
        format!("{}{}{one_line};\n", set(":row", rows), set(":status", statuses))
    }
}

fn q1(world: &World) -> String {
    format!(
        "SELECT json_build_object('id', l.id, 'firstName', l.first_name, 'lastName', l.last_name, 'email', l.email,
           'phone', l.phone, 'company', l.company, 'title', l.title, 'status', upper(l.status), 'score', l.score,
           'createdAt', l.created_at)
         FROM leads l WHERE l.organization_id = '{}' AND l.id = $ID AND l.deleted_at IS NULL",
        world.organization
    )
}

fn q2(world: &World) -> String {
    format!(
        "SELECT json_agg(json_build_object('id', l.id, 'firstName', l.first_name, 'lastName', l.last_name,
           'email', l.email, 'status', upper(l.status), 'score', l.score, 'createdAt', l.created_at,
           'owner', CASE WHEN o.id IS NOT NULL THEN json_build_object('id', o.id, 'name', o.name, 'email', o.email) END,
           'account', CASE WHEN a.id IS NOT NULL THEN json_build_object('id', a.id, 'name', a.name, 'industry', a.industry) END)
           ORDER BY l.created_at DESC, l.id DESC)
         FROM (SELECT * FROM leads WHERE organization_id = '{organization}' AND status = $STATUS AND deleted_at IS NULL
               ORDER BY created_at DESC, id DESC LIMIT 50) l
         LEFT JOIN memberships o ON o.organization_id = '{organization}' AND o.id = l.owner_id
         LEFT JOIN accounts a ON a.organization_id = '{organization}' AND a.id = l.account_id AND a.deleted_at IS NULL",
        organization = world.organization
    )
}

fn q3(world: &World) -> String {
    format!(
        "SELECT json_agg(json_build_object('id', a.id, 'name', a.name, 'industry', a.industry, 'contacts', c.list)
           ORDER BY a.created_at DESC, a.id DESC)
         FROM (SELECT * FROM accounts WHERE organization_id = '{organization}' AND deleted_at IS NULL
               ORDER BY created_at DESC, id DESC LIMIT 20) a
         CROSS JOIN LATERAL (
           SELECT json_agg(json_build_object('id', c.id, 'firstName', c.first_name, 'lastName', c.last_name,
             'email', c.email,
             'owner', CASE WHEN o.id IS NOT NULL THEN json_build_object('id', o.id, 'name', o.name) END)
             ORDER BY c.created_at DESC, c.id DESC) AS list
           FROM (SELECT * FROM contacts WHERE organization_id = '{organization}' AND account_id = a.id
                 AND deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 5) c
           LEFT JOIN memberships o ON o.organization_id = '{organization}' AND o.id = c.owner_id) c",
        organization = world.organization
    )
}

/// The same writes and locks: the conversation's number, the sender's positions, the message, the head of its stream, the
/// event.
fn q4(world: &World) -> String {
    format!(
        "WITH place AS (
           UPDATE conversations c SET last_seq = last_seq + 1, last_message_at = greatest(last_message_at, now())
           WHERE c.organization_id = '{organization}' AND c.id = $ID AND EXISTS (
             SELECT FROM participants p WHERE p.organization_id = c.organization_id AND p.conversation_id = c.id
               AND p.left_at IS NULL AND p.member_id = '{founder}')
           RETURNING c.organization_id, c.id, last_seq, last_message_at
         ), sender AS (
           UPDATE participants p SET read_seq = last_seq, read_at = last_message_at, delivered_seq = last_seq,
             delivered_at = last_message_at, last_read_seq = last_seq, last_read_at = last_message_at,
             sent_seq = last_seq, last_delivered_seq = last_seq, last_delivered_at = last_message_at
           FROM place WHERE p.organization_id = place.organization_id AND p.conversation_id = place.id
             AND p.member_id = '{founder}' AND p.left_at IS NULL RETURNING place.*, p.member_id
         ), sent AS (
           INSERT INTO messages (organization_id, id, conversation_id, seq, sender_id, body, created_by, created_at, updated_at)
           SELECT organization_id, gen_random_uuid(), id, last_seq, member_id,
             'A message about something that matters to all of us.', member_id, last_message_at, last_message_at
           FROM sender RETURNING *
         ), head AS (
           INSERT INTO stream_heads AS h (organization_id, stream_id, head_seq)
           SELECT organization_id, conversation_id, 1 FROM sent
           ON CONFLICT (organization_id, stream_id) DO UPDATE SET head_seq = h.head_seq + 1
           RETURNING stream_id, head_seq
         ), opened AS (
           INSERT INTO streams (organization_id, stream_id, kind)
           SELECT '{organization}', stream_id, 'conversation' FROM head WHERE head_seq = 1 ON CONFLICT DO NOTHING
         ), told AS (
           INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, actor_id, payload)
           SELECT '{organization}', stream_id, head_seq, gen_random_uuid(), 'message_sent', 'Message', sent.id,
             '{founder}', jsonb_build_object('message', to_jsonb(sent)) FROM sent JOIN head ON stream_id = conversation_id
         )
         SELECT json_build_object('id', id, 'seq', seq, 'body', body, 'createdAt', created_at, 'senderId', sender_id)
         FROM sent",
        organization = world.organization,
        founder = world.founder,
    )
}
