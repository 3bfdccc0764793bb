//! Links from messages to records: a body names them as `<#account:ID>`, `<#contact:ID>` and `<#lead:ID>`. Invariant: the body
//! alone says which; whoever reads it is shown those records that they may read, and no sign of the others.

use super::message::Message;
use crate::{
    crm::{
        account::Account,
        contact::Contact,
        feed::{Record, RecordType},
        lead::Lead,
    },
    kit::relation::to_one,
};
use async_graphql::Context;
use futures_util::future::join_all;
use uuid::Uuid;

/// Records of one message that are shown at most; what it links to beyond them is text.
const MOST: usize = 20;
/// Characters of `account:` and an id, the longest that stands between `<#` and `>`.
const LONGEST: usize = 44;

/// What a body links to: each once, in its order. What else stands between `<#` and `>` is text.
fn links(body: &str) -> Vec<(RecordType, Uuid)> {
    let mut links = Vec::new();
    for rest in body.split("<#").skip(1) {
        let end = rest.bytes().take(LONGEST + 1).position(|byte| byte == b'>');
        let Some((kind, id)) = end.and_then(|end| rest.get(..end)?.split_once(':')) else { continue };
        let kind = match kind {
            "account" => RecordType::Account,
            "contact" => RecordType::Contact,
            "lead" => RecordType::Lead,
            _ => continue,
        };
        let link = Uuid::try_parse(id).ok().filter(|_| id.len() == 36).map(|id| (kind, id));
        links.extend(link.filter(|link| !links.contains(link)));
        if links.len() == MOST {
            break;
        }
    }
    links
}

/// The records that a message links to, those that the caller may read. Those of a page are fetched together, a query for each
/// kind of record.
pub async fn records(ctx: &Context<'_>, message: &Message) -> Vec<Record> {
    let links = message.body.as_deref().map(links).unwrap_or_default();
    let found = join_all(links.into_iter().map(async |(kind, id)| match kind {
        RecordType::Account => to_one::<Account>(ctx, Some(id)).await.map(Record::Account),
        RecordType::Contact => to_one::<Contact>(ctx, Some(id)).await.map(Record::Contact),
        RecordType::Lead => to_one::<Lead>(ctx, Some(id)).await.map(Record::Lead),
    }));
    found.await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_links_to_records_by_kind_and_id() {
        let (lead, account) = (Uuid::now_v7(), Uuid::now_v7());
        let body = format!("<#lead:{lead}> of <#account:{account}>, and <#lead:{lead}> again, <#contact:{lead}>");
        let all = [(RecordType::Lead, lead), (RecordType::Account, account), (RecordType::Contact, lead)];
        assert_eq!(links(&body), all);
        let simple = lead.simple();
        for text in [
            "",
            "<#",
            "<#>",
            "<#lead>",
            "<#lead:>",
            "<#leäd:1>",
            &format!("<#lead:{lead}"),
            &format!("<#lead: {lead}>"),
            &format!("<#lead:{simple}>"),
            &format!("<#member:{lead}>"),
            &format!("<@lead:{lead}>"),
        ] {
            assert!(links(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_longest_body_is_read_in_no_time_and_links_to_no_more_than_is_shown() {
        let hostile = ["<#".repeat(20_000), "<#lead:".repeat(5_000), "<#é".repeat(13_000)];
        assert!(hostile.iter().all(|body| links(body).is_empty()));
        let many: String = (0..500).map(|_| format!("<#lead:{}>", Uuid::now_v7())).collect();
        assert_eq!(links(&many).len(), MOST);
    }
}
