//! Demo conversations. Invariant: the messages of a conversation are numbered 1, 2, 3 … in the order of their times, and
//! the conversation knows the last of them; direct conversations have the key that makes them the only one.

use super::{crm::Maker, dice::Dice};
use crate::{
    crm::lead::Lead,
    error::Result,
    identity::Member,
    kit::{id::Id, scalars::DateTime},
    messaging::{
        content::MessageKind,
        conversation::{Conversation, ConversationKind, ConversationVisibility},
        mention::{Mention, MentionKind, Named},
        message::Message,
        participant::{Participant, ParticipantRole},
    },
};
use chrono::Duration;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use uuid::Uuid;

/// A conversation with all that belongs to it.
pub struct Talk {
    pub conversation: Conversation,
    pub participants: Vec<Participant>,
    pub messages: Vec<Message>,
    pub mentions: Vec<Mention>,
}

/// What members have said to each other: mailboxes and words.
struct Script {
    /// None: a direct conversation.
    title: Option<&'static str>,
    topic: Option<&'static str>,
    /// Who is in it; the first has opened it. Empty: everybody.
    people: &'static [&'static str],
    /// How many hours ago the last line was written.
    hours_ago: i64,
    lines: &'static [(&'static str, &'static str)],
}

const SCRIPTS: [Script; 8] = [
    Script {
        title: Some("Everybody"),
        topic: Some("What all of us should know"),
        people: &[],
        hours_ago: 30,
        lines: &[
            ("admin", "Welcome, everybody! From now on this is where news goes."),
            (
                "admin",
                "<@channel> Quarterly meeting on Thursday at ten. Please bring **one number** that you are proud of.",
            ),
            ("diana", "Mine is 14 days: from the first call to the signature, on average."),
            ("milan", "Mine is 14 days: from the first call to the signature, on average."),
            ("carlos", "The office is closed on Friday afternoon: the heating is being replaced."),
            ("isabel", "Support answers within 40 minutes this month. It was 70 in spring."),
            ("quinn", "Support answers within 40 minutes this month. It was 70 in spring."),
            ("admin", "Thank you for a very good meeting. The slides are in the usual place."),
        ],
    },
    Script {
        title: Some("Sales Europe"),
        topic: None,
        people: &["diana", "user", "farid", "admin"],
        hours_ago: 3,
        lines: &[
            ("diana", "Good morning! What does your week look like?"),
            ("user", "Three demos: Berlin, Lyon, Amsterdam. And the quote for Orchard Foods."),
            ("farid", "Meridian wants a second meeting with their IT people."),
            ("diana", "Great. <@user>, could you join Farid there? You know their systems."),
            ("user", "Of course. Tuesday or Wednesday?"),
            ("farid", "Wednesday at two, I have sent the invitation."),
            (
                "diana",
                "Then two things before Friday:\n\n- close the leads that have been quiet for 60 days\n- put a next step on all others",
            ),
            ("user", "Done for mine. Eleven were quiet, four of them I called again: two are interested."),
            ("admin", "Two out of four! What did you say to them?"),
            ("user", "That we now have the integration that they asked for last year."),
        ],
    },
    Script {
        title: Some("Sales Americas"),
        topic: None,
        people: &["ethan", "grace", "hiro", "admin"],
        hours_ago: 20,
        lines: &[
            ("ethan", "Northwind Freight signs for another year."),
            ("grace", "Congratulations! With the cold chain?"),
            ("ethan", "The cold chain decides in March, and asks for a reference in food."),
            ("hiro", "Orchard Foods would talk to them, I asked last week."),
            ("ethan", "Perfect. Grace, can you bring them together?"),
            ("grace", "On it."),
        ],
    },
    Script {
        title: Some("Renewal of Northwind"),
        topic: Some("The contract ends in six weeks"),
        people: &["ethan", "admin", "grace", "isabel"],
        hours_ago: 6,
        lines: &[
            ("ethan", "The contract of the group ends in six weeks. Their purchasing asks for 8 % off."),
            ("isabel", "Two tickets are open with them, both small. I can close them until Monday."),
            ("admin", "Please do. Then we offer 3 % for two years, and nothing for one."),
            ("grace", "They also want the reports per terminal. That is a day of work."),
            ("admin", "Put it into the offer, free of charge."),
            ("ethan", "The offer is out."),
        ],
    },
    Script {
        title: Some("Product and customers"),
        topic: Some("What customers ask for, and what comes of it"),
        people: &["admin", "milan", "quinn", "olga", "pablo"],
        hours_ago: 4,
        lines: &[
            ("quinn", "Third customer this week who asks for an export to Excel."),
            ("admin", "Would CSV do?"),
            ("quinn", "For two of them, yes."),
            ("milan", "Polar Diagnostics makes it a condition."),
            ("admin", "Then we do it. Next Tuesday, with both formats."),
            ("olga", "I will tell Kiosk & Co, they will be happy."),
            ("pablo", "And Spree Mobility."),
        ],
    },
    Script {
        title: None,
        topic: None,
        people: &["admin", "user"],
        hours_ago: 1,
        lines: &[
            ("admin", "Ursula, how did it go in Lyon?"),
            ("user", "Very well. They will sign before the end of the month."),
            ("admin", "Wonderful! Do you need anything from me?"),
            ("user", "A call with their chief executive would help. He asked for you."),
            ("admin", "Send me his number, I call him tomorrow morning."),
            ("user", "Thank you!"),
        ],
    },
    Script {
        title: None,
        topic: None,
        people: &["diana", "admin"],
        hours_ago: 50,
        lines: &[
            ("diana", "Can we talk about the targets of next quarter?"),
            ("admin", "Friday at nine?"),
            ("diana", "Fits."),
        ],
    },
    Script {
        title: None,
        topic: None,
        people: &["milan", "admin"],
        hours_ago: 2,
        lines: &[
            ("milan", "Elbe Ventures would like to double their seats."),
            ("admin", "That is the best news of the week. From when?"),
            ("milan", "First of next month. I send the new contract today."),
        ],
    },
];

impl<'a> Maker<'a> {
    /// The conversations of this organization's people.
    pub fn talks(&mut self, leads: &[Lead]) -> Vec<Talk> {
        let (members, mut talks) = (self.members, Vec::new());
        for script in &SCRIPTS {
            let here: Vec<&Member> = match script.people {
                [] => members.iter().collect(),
                people => people.iter().filter_map(|mailbox| self.member(mailbox)).collect(),
            };
            if here.len() < script.people.len() {
                continue;
            }
            let lines: Vec<(&Member, String)> = script
                .lines
                .iter()
                .filter_map(|(mailbox, words)| Some((self.member(mailbox)?, self.named(words))))
                .collect();
            let last = DateTime(self.now.0 - Duration::hours(script.hours_ago));
            let fresh = script.hours_ago < 12;
            talks.push(talk(
                self.dice,
                script.title,
                script.topic,
                &here,
                &lines,
                (last, fresh, script.people.is_empty()),
            ));
        }
        talks.push(self.deal_desk(leads));
        // A message that was corrected and one that was taken back, to show what these look like.
        if let Some(talk) = talks.iter_mut().find(|talk: &&mut Talk| talk.messages.len() > 5) {
            edit(talk);
        }
        if let Some(talk) = talks.iter_mut().find(|talk| talk.titled("Product and customers")) {
            thread(talk);
        }
        for talk in &mut talks {
            talk.mentions = talk.messages.iter().flat_map(|message| mentions(self.dice, message)).collect();
        }
        talks
    }

    /// With the ids of those who are named by their mailboxes.
    fn named(&self, words: &str) -> String {
        self.organization.people.iter().fold(words.to_owned(), |words, person| match self.member(person.mailbox) {
            Some(member) => words.replace(&format!("<@{}>", person.mailbox), &format!("<@{}>", member.id.0)),
            None => words,
        })
    }

    /// A long one, to page through: who works a lead tells that it got on.
    fn deal_desk(&mut self, leads: &[Lead]) -> Talk {
        let members = self.members;
        let mut moved: Vec<&Lead> = leads.iter().filter(|lead| lead.last_contacted_at.is_some()).collect();
        moved.sort_by_key(|lead| lead.last_contacted_at);
        let lines: Vec<(&Member, String)> = moved
            .into_iter()
            .filter_map(|lead| {
                let seller = members.iter().find(|member| Some(member.id) == lead.owner_id)?;
                let company = lead.company.as_deref()?;
                let (name, score) = (format!("{} {}", lead.first_name, lead.last_name), lead.score);
                use crate::crm::lead::LeadStatus::{Contacted, Converted, New, Qualified, Unqualified};
                let words = match lead.status {
                    New => return None,
                    Contacted => format!("First call with {name} of {company}. Score {score}."),
                    Qualified => format!("{name} of {company} is **qualified**, score {score}."),
                    Unqualified => format!("{company} does not buy: I close the lead of {name}."),
                    Converted => format!("{company} buys! {name} is a customer now. 🎉"),
                };
                Some((seller, words))
            })
            .collect();
        let here: Vec<&Member> = members.iter().collect();
        let last = DateTime(self.now.0 - Duration::hours(8));
        talk(self.dice, Some("Deal desk"), Some("Who got how far"), &here, &lines, (last, false, true))
    }

    fn member(&self, mailbox: &str) -> Option<&'a Member> {
        let address = self.organization.address(mailbox);
        self.members.iter().find(|member| member.email.0 == address)
    }
}

/// A conversation whose last line was written at `last` and those before some minutes earlier each; `fresh`: not
/// everybody has read all of it.
fn talk(
    dice: &mut Dice,
    title: Option<&str>,
    topic: Option<&str>,
    here: &[&Member],
    lines: &[(&Member, String)],
    (last, fresh, open): (DateTime, bool, bool),
) -> Talk {
    let mut times: Vec<DateTime> = Vec::with_capacity(lines.len());
    let mut at = last;
    for _ in lines {
        times.push(at);
        at = DateTime(at.0 - Duration::seconds(dice.between(40, 5_400)));
    }
    times.reverse();
    let opened = DateTime(at.0 - Duration::minutes(5));
    let id: Id<Conversation> = dice.id(opened);
    let opener = here.first().map(|member| member.id);
    // Where everybody is, whoever comes later may come in.
    let (kind, visibility) = match title {
        None => (ConversationKind::Direct, ConversationVisibility::Private),
        Some(_) if open => (ConversationKind::Channel, ConversationVisibility::Public),
        Some(_) => (ConversationKind::Group, ConversationVisibility::Private),
    };
    let messages: Vec<Message> = (1..)
        .zip(lines.iter().zip(times))
        .map(|(seq, ((sender, words), at))| Message {
            id: dice.id(at),
            conversation_id: id,
            seq,
            sender_id: sender.id,
            kind: MessageKind::Text,
            client_id: None,
            thread_root_id: None,
            thread_seq: None,
            reply_count: 0,
            last_reply_at: None,
            body: Some(words.clone()),
            system: None,
            edited_at: None,
            deleted_at: None,
            pinned_at: None,
            pinned_by: None,
            created_by: Some(sender.id),
            created_at: at,
            updated_at: at,
            version: 1,
        })
        .collect();
    let head = messages.last().map_or(0, |message| message.seq);
    let participants = here
        .iter()
        .map(|member| {
            // Of what is fresh, some is still new to those who have not answered.
            let said =
                messages.iter().filter(|message| message.sender_id == member.id).map(|message| message.seq).max();
            let read = if fresh { said.unwrap_or_default().max(head.saturating_sub(2)) } else { head };
            let time = |seq| messages.iter().find(|message| message.seq == seq).map(|message| message.created_at);
            Participant {
                id: dice.id(opened),
                conversation_id: id,
                member_id: member.id,
                role: match kind {
                    ConversationKind::Group | ConversationKind::Channel | ConversationKind::Record
                        if Some(member.id) != opener =>
                    {
                        ParticipantRole::Member
                    }
                    _ => ParticipantRole::Owner,
                },
                joined_at: opened,
                left_at: None,
                last_read_seq: read,
                last_read_at: time(read),
                last_delivered_seq: head,
                last_delivered_at: time(head),
                created_by: opener,
                created_at: opened,
                updated_at: opened,
                version: 1,
            }
        })
        .collect();
    Talk {
        conversation: Conversation {
            id,
            kind,
            visibility,
            title: title.map(Into::into),
            topic: topic.map(Into::into),
            avatar: None,
            account_id: None,
            contact_id: None,
            lead_id: None,
            last_seq: head,
            last_message_at: messages.last().map(|message| message.created_at),
            active_at: Default::default(),
            expired_seq: 0,
            archived_at: None,
            cursor: Default::default(),
            created_by: opener,
            created_at: opened,
            updated_at: opened,
            version: 1,
        },
        participants,
        messages,
        mentions: Vec::new(),
    }
}

/// The messages behind the first are replies to it, but for the last two.
fn thread(talk: &mut Talk) {
    let [root, replies @ .., _, _] = talk.messages.as_mut_slice() else { return };
    for (number, reply) in (1..).zip(replies) {
        (reply.thread_root_id, reply.thread_seq) = (Some(root.id), Some(number));
        (root.reply_count, root.last_reply_at) = (number, Some(reply.created_at));
    }
}

fn mentions(dice: &mut Dice, message: &Message) -> Vec<Mention> {
    let named = message.body.as_deref().map(Named::by).unwrap_or_default();
    let all = [(named.channel, MentionKind::Channel), (named.here, MentionKind::Here)];
    let all = all.into_iter().filter(|(named, _)| *named).map(|(_, kind)| (kind, None));
    let members = named.members.iter().map(|id| (MentionKind::Member, Some(Id::from(*id))));
    let record = |(kind, member_id)| Mention {
        id: dice.id(message.created_at),
        conversation_id: message.conversation_id,
        message_id: message.id,
        kind,
        member_id,
        created_by: Some(message.sender_id),
        created_at: message.created_at,
        updated_at: message.created_at,
        version: 1,
    };
    members.chain(all).map(record).collect()
}

fn edit(talk: &mut Talk) {
    let [_, edited, _, deleted, ..] = talk.messages.as_mut_slice() else { return };
    let later = |at: DateTime| Some(DateTime(at.0 + Duration::seconds(30)));
    edited.edited_at = later(edited.created_at);
    deleted.deleted_at = later(deleted.created_at);
    deleted.body = None;
    for message in [edited, deleted] {
        message.version = 2;
        message.updated_at = DateTime(message.created_at.0 + Duration::seconds(30));
    }
}

impl Talk {
    /// Those who are in it, as rows: what they have read is what all know of it.
    pub fn participant_rows(&self) -> Result<Vec<Json>> {
        let row = |participant: &Participant| {
            let mut row = serde_json::to_value(participant)?;
            for what in ["read_seq", "read_at", "delivered_seq", "delivered_at"] {
                row[what] = row[format!("last_{what}")].clone();
            }
            Ok(row)
        };
        self.participants.iter().map(row).collect()
    }

    /// What makes a direct conversation the only one of its pair; as `conversationCreate` makes it.
    pub fn direct_key(&self) -> Option<String> {
        let mut pair: Vec<String> = self.participants.iter().map(|one| one.member_id.0.to_string()).collect();
        pair.sort_unstable();
        (self.conversation.kind == ConversationKind::Direct).then(|| pair.join(":"))
    }

    fn titled(&self, title: &str) -> bool {
        self.conversation.title.as_deref() == Some(title)
    }

    /// Who follows which thread: whoever wrote its root or a reply.
    pub fn followers(&self) -> BTreeSet<(Uuid, Uuid)> {
        let replies = self.messages.iter().filter_map(|message| Some((message.thread_root_id?.0, message.sender_id.0)));
        let roots = self.messages.iter().filter(|message| message.reply_count > 0);
        replies.chain(roots.map(|root| (root.id.0, root.sender_id.0))).collect()
    }

    /// Good news is applauded: who, which message, with what.
    pub fn reactions(&self) -> Vec<(&Message, Id<Member>, &'static str)> {
        let applause = ["👍", ":shipped:", "🎉", "🎉", "❤️"];
        let cheered = self.messages.iter().filter(|message| {
            let body = message.body.as_deref().unwrap_or_default();
            ["signs", "Done for mine", "best news", "The offer is out", "sign before"]
                .iter()
                .any(|good| body.contains(good))
        });
        let by = |message: &Message| {
            let others = self.participants.iter().map(|one| one.member_id);
            others.filter(|member| *member != message.sender_id).collect::<Vec<_>>()
        };
        cheered
            .flat_map(|message| by(message).into_iter().zip(applause).map(move |(who, with)| (message, who, with)))
            .collect()
    }
}
