//! Who is removed from a conversation while everybody talks in it. Invariant: whoever is removed at event N has all up to N
//! and not one above it, on whichever node they are, and gets nothing more whatever cursor they come back with.

use crate::{
    ALONE,
    cluster::{Bus, Cluster, Person},
    live::{Feed, Said},
    plan,
    program::{Program, pause, text},
    talk::Client,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::time::{Duration, sleep};

const FEED: &str = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
    __typename ... on FeedEvent { cursor } ... on ParticipantRemoved { participant { memberId } } } }";

/// Number and kind of an event, and who it is about.
type Seen = (i64, String, String);

/// The number that a cursor stands on.
fn number(cursor: &str) -> i64 {
    let bytes = BASE64URL.decode(cursor).expect("base64");
    i64::from_be_bytes(bytes[..8].try_into().expect("a number"))
}

/// All that somebody is told until the feed ends, or until the given number; counted in `begun` when the first comes.
async fn told(
    node: &Program,
    who: &Person,
    talk: &(String, String),
    until: Option<i64>,
    begun: &AtomicUsize,
) -> (Vec<Seen>, Said) {
    let variables = json!({ "id": talk.0, "after": talk.1 });
    let mut feed = Feed::open(&node.ws_url(), &who.token, FEED, variables).await.expect("a node");
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        match feed.hear().await {
            Said::Event(event) => {
                let about = event["participant"]["memberId"].as_str().unwrap_or_default().to_owned();
                begun.fetch_add(usize::from(seen.is_empty()), Ordering::Relaxed);
                seen.push((number(&text(&event, "cursor")), text(&event, "__typename"), about));
            }
            end => return (seen, end),
        }
        if until.is_some() && seen.last().map(|(seq, ..)| *seq) == until {
            return (seen, Said::Complete);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_gets_not_one_event_more() {
    let _alone = ALONE.lock().await;
    let people = plan::size("REMOVALS", 3, 50) + 1;
    let Some(cluster) = Cluster::start(Bus::Notify, people).await else { return };
    let [ada, others @ ..] = &*cluster.people else { panic!("people") };
    let [here, there] = &*cluster.nodes else { panic!("two nodes") };
    let talk = here.conversation(&cluster.others()).await;
    let (over, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    let talking = |node, name: &'static str| {
        let (talk, over) = (&talk, &over);
        async move {
            let mut client = Client::new(std::slice::from_ref(node), &ada.token, 0);
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                client.say(&talk.0, &format!("{name} {number}")).await;
            }
        }
    };
    // Each on both nodes, one of which hears of the removal only by the way.
    let following = others.iter().map(async |person| {
        let (one, other) =
            tokio::join!(told(here, person, &talk, None, &begun), told(there, person, &talk, None, &begun));
        (person, [one, other])
    });
    let removing = async {
        while begun.load(Ordering::Relaxed) < 2 * others.len() {
            pause().await;
        }
        for (at, person) in others.iter().enumerate() {
            sleep(Duration::from_millis(100)).await;
            let query = "mutation($input: ParticipantInput!) { participantRemove(input: $input) {
                participant { leftAt } userErrors { code } } }";
            let input = json!({ "input": { "conversationId": talk.0, "memberId": person.member } });
            let node = if at % 2 == 0 { here } else { there };
            let (_, answer) = node.graphql(query, input).await.expect("an answer");
            assert!(answer["data"]["participantRemove"]["participant"]["leftAt"].is_string(), "{answer}");
        }
        sleep(Duration::from_millis(300)).await;
        over.store(true, Ordering::Relaxed);
    };
    let following = futures_util::future::join_all(following);
    let (following, ..) =
        tokio::join!(following, removing, talking(here, "a"), talking(there, "b"), talking(here, "c"));

    let query = "query($id: ID!) { conversation(id: $id) { cursor } }";
    let (_, answer) = here.graphql(query, json!({ "id": talk.0 })).await.expect("an answer");
    let end = text(&answer["data"]["conversation"], "cursor");
    let (whole, _) = told(there, ada, &talk, Some(number(&end)), &begun).await;
    assert!(whole.windows(2).all(|two| two[1].0 == two[0].0 + 1), "the owner has all");
    for (person, feeds) in following {
        let gone = |(_, kind, about): &Seen| kind == "ParticipantRemoved" && *about == person.member;
        let at = whole.iter().position(gone).expect("a removal");
        assert!(at + 1 < whole.len(), "something happened after it");
        for (seen, end) in feeds {
            assert_eq!(seen, whole[..=at], "all up to the removal, and nothing after it");
            assert_eq!(end, Said::Complete);
        }
    }
    // Whoever comes back has no way in, on either node, wherever they were.
    for (person, after) in others.iter().flat_map(|person| [(person, talk.1.clone()), (person, end.clone())]) {
        for node in [here, there] {
            let (seen, refusal) = told(node, person, &(talk.0.clone(), after.clone()), None, &begun).await;
            assert_eq!((seen, refusal), (Vec::new(), Said::Refused("NOT_FOUND".to_owned())));
        }
    }
    println!("{} removals among {} events: exact on both nodes", others.len(), whole.len());
    cluster.stop().await;
}
