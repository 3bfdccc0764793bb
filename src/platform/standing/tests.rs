//! What is believed, for how long, and what is not.

use super::{
    fresh::{FAILED, FRESH},
    *,
};
use crate::error::Error;
use std::sync::atomic::AtomicUsize;

fn standing() -> Arc<Standing> {
    Arc::new(of_nobody())
}

fn of_nobody() -> Standing {
    Standing {
        organization: Uuid::nil(),
        member: Uuid::nil(),
        user: Uuid::nil(),
        expires_at: Utc::now(),
        key: None,
        role: "owner".into(),
        role_name: "Owner".into(),
        permissions: Arc::new([]),
        team: Arc::new([]),
        unverified: false,
        time_zone: chrono_tz::UTC,
        currency: "USD".into(),
    }
}

struct Asked(AtomicUsize);

impl Asked {
    async fn answer(&self, answer: Result<Arc<Standing>>) -> Result<Arc<Standing>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn many_at_once_ask_once_and_a_second_later_again() {
    let (standings, asked, session) = (Standings::unread(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
    let all = (0..50).map(|_| standings.get(session, asked.answer(Ok(standing()))));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    standings.get(session, asked.answer(Ok(standing()))).await.unwrap();
    assert_eq!(asked.times(), 1);
    tokio::time::sleep(FRESH).await;
    let gone = standings.get(session, asked.answer(Err(Error::unauthenticated("REVOKED", "gone")))).await;
    assert!(gone.is_err());
    assert_eq!(asked.times(), 2);
    assert!(standings.get(session, asked.answer(Ok(standing()))).await.is_err(), "a refusal is known as well");
    assert_eq!(asked.times(), 2);
}

#[tokio::test]
async fn who_forgets_asks_again_even_while_somebody_asks() {
    let (standings, asked, session) = (Standings::unread(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
    let (first, ()) = tokio::join!(standings.get(session, asked.answer(Ok(standing()))), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        standings.forget(session);
    });
    first.unwrap();
    standings.get(session, asked.answer(Ok(standing()))).await.unwrap();
    assert_eq!(asked.times(), 2);
}

#[tokio::test]
async fn who_waits_for_a_database_that_is_away_is_told_with_the_others() {
    let (standings, asked, session) = (Standings::unread(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
    let away = || asked.answer(Err(Error::unavailable("away")));
    let all = (0..50).map(|_| standings.get(session, away()));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_err));
    assert_eq!(asked.times(), 1);
    tokio::time::sleep(FAILED).await;
    standings.get(session, asked.answer(Ok(standing()))).await.expect("and it comes back");
}

#[tokio::test]
async fn who_hangs_up_while_asking_blocks_nobody() {
    let (standings, asked, session) = (Standings::unread(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
    let hung_up = standings.get(session, asked.answer(Ok(standing())));
    assert!(tokio::time::timeout(Duration::from_millis(1), hung_up).await.is_err());
    standings.get(session, asked.answer(Ok(standing()))).await.unwrap();
}

#[tokio::test]
async fn what_is_read_about_is_believed_for_long_and_forgotten_on_a_change() {
    let (standings, asked, session) = (Standings::unread(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
    let lasting = || Arc::new(Standing { expires_at: Utc::now() + Duration::from_secs(60), ..of_nobody() });
    let get = || standings.get(session, asked.answer(Ok(lasting())));
    standings.known.current_as_of(Instant::now());
    get().await.unwrap();
    tokio::time::sleep(FRESH).await;
    get().await.unwrap();
    assert_eq!(asked.times(), 1);
    standings.forget(Uuid::new_v4());
    get().await.unwrap();
    assert_eq!(asked.times(), 1, "somebody else's");
    standings.forget(session);
    get().await.unwrap();
    assert_eq!(asked.times(), 2);
    tokio::time::sleep(CURRENT).await;
    get().await.unwrap();
    assert_eq!(asked.times(), 3, "who cannot read believes nothing");
}

#[tokio::test]
async fn an_answer_from_before_an_ending_is_not_remembered() {
    let (standings, asked, session) = (Standings::unread(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
    standings.known.current_as_of(Instant::now());
    let (first, ()) = tokio::join!(standings.get(session, asked.answer(Ok(standing()))), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        // Of the organization: nothing is known yet of what rests on it.
        standings.forget(Uuid::nil());
    });
    first.unwrap();
    standings.get(session, asked.answer(Err(Error::unauthenticated("REVOKED", "gone")))).await.unwrap_err();
    assert_eq!(asked.times(), 2);
}
