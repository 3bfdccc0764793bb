//! Time, tried out: who is here, and until when.

use super::{told::Told, *};
use chrono::{TimeDelta, Utc};
use tokio::time::timeout;

const TIMES: Times = Times {
    lease: Duration::from_secs(25),
    grace: Duration::from_secs(3),
    silence: Duration::from_secs(28),
    typing: Duration::from_secs(6),
};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

const ORGANIZATION: Uuid = Uuid::from_u128(1000);
const ADA: Of = (ORGANIZATION, Uuid::from_u128(1));

/// A state, and the moment that many seconds after its start.
fn begin() -> (State, impl Fn(u64) -> Instant) {
    let state = State::new(TIMES);
    let started = state.started;
    (state, move |seconds| started + Duration::from_secs(seconds))
}

fn told(kind: Kind, ids: &[Uuid]) -> Told {
    Told { kind, of: ids.iter().map(|id| (ORGANIZATION, *id)).collect() }
}

#[test]
fn all_connections_of_a_member_are_one_and_a_page_may_be_loaded_anew() {
    let (mut state, at) = begin();
    let (one, two) = (state.connect(ADA, at(0)), state.connect(ADA, at(0)));
    assert_eq!(state.take_news(), [ADA].into(), "told once");
    drop(one);
    assert!(state.tick(at(10)).is_empty());
    drop(two);
    assert!(state.tick(at(11)).is_empty() && state.tick(at(13)).is_empty() && state.is_here(ADA));
    let again = state.connect(ADA, at(13));
    assert!(state.take_news().is_empty(), "nobody has noticed");
    assert!(state.tick(at(20)).is_empty());
    drop(again);
    state.tick(at(21));
    assert_eq!(state.tick(at(24)), [ADA]);
    assert!(!state.is_here(ADA) && state.own().is_empty());
}

#[test]
fn who_does_not_answer_is_gone_within_half_a_minute_and_back_with_an_answer() {
    let (mut state, at) = begin();
    let (deaf, lasting) = (state.connect(ADA, at(0)), state.connect((ORGANIZATION, id(2)), at(0)));
    lasting.store(u64::MAX, Relaxed);
    assert!(state.tick(at(28)).is_empty());
    assert_eq!(state.tick(at(29)), [ADA]);
    let seen = state.take_chores().seen.remove(&ORGANIZATION).unwrap();
    let ada = seen.iter().find(|(member, _)| *member == ADA.1).unwrap();
    assert!(Utc::now() - ada.1 > TimeDelta::seconds(28), "when they were heard, not when that was noticed");
    assert!(state.take_news().len() == 2 && state.own() == [(ORGANIZATION, id(2))]);
    deaf.store(40_000, Relaxed);
    assert!(state.tick(at(41)).is_empty() && state.is_here(ADA));
    assert_eq!(state.take_news(), [ADA].into());
}

#[test]
fn who_answers_on_one_device_is_here_however_silent_another_one_is() {
    let (mut state, at) = begin();
    let (_silent, answers) = (state.connect(ADA, at(0)), state.connect(ADA, at(0)));
    answers.store(20_000, Relaxed);
    assert!(state.tick(at(29)).is_empty() && state.is_here(ADA));
    assert_eq!(state.tick(at(49)), [ADA], "until that one is silent as well");
}

#[test]
fn another_node_is_believed_for_a_lease() {
    let (mut state, at) = begin();
    let mut bell = state.follow(ORGANIZATION);
    state.learn(ORGANIZATION, [(ADA.1, Stored::default())]);
    bell.mark_unchanged();
    let here = told(Kind::Here, &[ADA.1]);
    state.hear(id(7), &here, at(0));
    assert!(state.is_here(ADA) && bell.has_changed().unwrap() && state.own().is_empty());
    bell.mark_unchanged();
    state.hear(id(7), &here, at(20));
    state.hear(id(8), &here, at(20));
    assert!(!bell.has_changed().unwrap(), "as before");
    state.tick(at(44));
    assert!(state.is_here(ADA));
    // The one goes with a word, the other without.
    state.hear(id(8), &told(Kind::Gone, &[ADA.1]), at(44));
    assert!(state.is_here(ADA) && !bell.has_changed().unwrap());
    assert!(state.tick(at(45)).is_empty(), "it was never here");
    assert!(!state.is_here(ADA) && bell.has_changed().unwrap());
    assert!(state.known(ORGANIZATION, &[ADA.1])[0].1.stored.last_seen.is_some());
    assert_eq!(state.take_chores().seen[&ORGANIZATION].len(), 1, "nobody else can write it");
}

#[test]
fn what_members_show_is_read_once_for_all_who_follow_them() {
    let (mut state, at) = begin();
    let bell = state.follow(ORGANIZATION);
    state.look(ADA);
    assert!(!state.has_chores(), "nobody follows her");
    let stored = |version| Stored { version, text: Some(version.to_string()), ..Stored::default() };
    state.learn(ORGANIZATION, [(ADA.1, stored(2)), (id(2), Stored::default())]);
    state.learn(ORGANIZATION, [(ADA.1, stored(1))]);
    assert_eq!(*state.known(ORGANIZATION, &[ADA.1])[0].1.stored, stored(2), "read before, learned behind");
    state.hear(id(7), &told(Kind::Look, &[ADA.1, id(3)]), at(0));
    assert_eq!(state.take_chores().stale[&ORGANIZATION], [ADA.1]);
    assert!(!state.has_chores());
    state.look_at_all();
    assert_eq!(state.take_chores().stale[&ORGANIZATION].len(), 2);
    drop(bell);
    state.tick(at(1));
    state.look(ADA);
    assert!(!state.has_chores(), "nobody follows her any more");
}

#[test]
fn typing_is_told_now_and_then_and_ends_by_itself() {
    let (mut state, at) = begin();
    let talk = (ORGANIZATION, id(50));
    let mut bell = state.overhear(talk);
    let who = |state: &State, now| -> Vec<Uuid> { state.typing(talk, now).iter().map(|(id, _)| *id).collect() };
    assert!(state.types(talk, id(1), at(0)) && bell.has_changed().unwrap());
    bell.mark_unchanged();
    assert!(!state.types(talk, id(1), at(2)) && state.has_just_said(talk, id(1), at(2)));
    assert!(state.types(talk, id(1), at(3)) && !bell.has_changed().unwrap());
    state.hear(id(7), &told(Kind::Types, &[talk.1, id(2)]), at(4));
    assert_eq!(who(&state, at(4)), [id(1), id(2)]);
    assert_eq!(who(&state, at(8)), [id(1), id(2)], "the first has said so again");
    assert_eq!(who(&state, at(9)), [id(2)], "the first has said nothing more");
    state.hear(id(7), &told(Kind::Stops, &[talk.1, id(2)]), at(5));
    assert!(who(&state, at(5)) == [id(1)] && !state.stops(talk, id(2)) && state.stops(talk, id(1)));
    for member in 0..100 {
        state.types(talk, id(member), at(6));
    }
    assert_eq!(who(&state, at(6)).len(), 20);
    for broken in [&[talk.1][..], &[], &[talk.1, id(1), id(2)]] {
        state.hear(id(7), &told(Kind::Stops, broken), at(6));
    }
    state.hear(id(7), &Told { kind: Kind::Stops, of: vec![talk, (id(2000), id(1))] }, at(6));
    assert_eq!(who(&state, at(6)).len(), 20);
    drop(bell);
    state.tick(at(12));
    assert!(!state.stops(talk, id(1)), "forgotten");
}

/// What tells on a node, and hears, without a database.
fn tells(nodes: &Nodes) -> (Arc<Shared>, AbortOnDropHandle<()>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::new(TIMES)), news: Notify::new(), chores: Notify::new() });
    let telling = Telling { shared: shared.clone(), nodes: nodes.clone(), renew: Duration::from_secs(8) };
    let task = tokio::spawn(telling.run(nodes.listen(Topic::Presence), TICK));
    (shared, AbortOnDropHandle::new(task))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_organizations_are_here_for_other_nodes_until_they_go() {
    let (one, two) = Nodes::two();
    let ((here, _one), (there, _two)) = (tells(&one), tells(&two));
    let connect = |number| {
        let heard = here.state.lock().connect((id(number), ADA.1), Instant::now());
        heard.store(u64::MAX, Relaxed);
        heard
    };
    let _connections: Vec<_> = (0..1000).map(connect).collect();
    let count = || {
        let state = there.state.lock();
        (0..1000).filter(|number| state.is_here((id(*number), ADA.1))).count()
    };
    let all = async {
        while count() < 1000 {
            sleep(PACE).await;
        }
    };
    timeout(TICK * 2, all).await.expect("all are told to who comes");
    for _ in 0..60 {
        sleep(TICK).await;
        assert_eq!(count(), 1000);
    }
    // In the midst of telling them all anew the node stops, as in `Presence::leave`.
    let mut ear = two.listen(Topic::Presence);
    assert!(matches!(ear.hear().await, Some(Heard::Said { .. })));
    let gone = here.state.lock().leave();
    spread(&one, Kind::Gone, gone);
    sleep(TICK).await;
    assert_eq!(count(), 0, "gone at once, and not brought back");
}
