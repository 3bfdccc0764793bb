//! Nodes in one room, where a wire can be cut and stall.

use super::*;

/// Everybody hears what anybody says, until the wire is cut.
#[derive(Clone, Default)]
struct Room {
    ears: Arc<Mutex<Vec<Hear>>>,
    cut: Arc<Notify>,
    stalls: Arc<AtomicBool>,
}

impl Way for Room {
    fn open(&self, hear: Hear) -> BoxFuture<'_, Result<Box<dyn Wire>, String>> {
        self.ears.lock().push(hear);
        let wire: Box<dyn Wire> = Box::new(self.clone());
        Box::pin(async move { Ok(wire) })
    }
}

impl Wire for Room {
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if self.stalls.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let ears = self.ears.lock().clone();
            ears.iter().for_each(|hear| hear(frame));
            Ok(())
        })
    }

    fn broken(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            self.cut.notified().await;
            "cut".to_owned()
        })
    }
}

impl Nodes {
    /// Two in a room of their own, for tests of what they are used for.
    pub fn two() -> (Self, Self) {
        let room = Room::default();
        (Self::start(room.clone()), Self::start(room))
    }
}

async fn company(nodes: &Nodes) {
    while nodes.alone() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_is_known_and_who_falls_silent_is_not() {
    let room = Room::default();
    let one = Nodes::start(room.clone());
    sleep(ANNOUNCE * 2).await;
    assert!(one.alone());
    let two = Nodes::start(room.clone());
    company(&one).await;
    company(&two).await;
    drop(two);
    room.ears.lock().truncate(1);
    sleep(SILENT).await;
    assert!(!one.alone());
    assert!(timeout(Duration::ZERO, one.bereaved()).await.is_err());
    sleep(ANNOUNCE).await;
    assert!(one.alone());
    assert!(timeout(Duration::ZERO, one.bereaved()).await.is_ok(), "told, if late");
    assert!(timeout(ANNOUNCE * 2, one.bereaved()).await.is_err(), "and once");
}

#[tokio::test(start_paused = true)]
async fn others_hear_what_is_said_and_nobody_hears_themselves() {
    let room = Room::default();
    let (one, two) = (Nodes::start(room.clone()), Nodes::start(room.clone()));
    company(&one).await;
    let (mut own, mut others, mut elsewhere) =
        (one.listen(Topic::Hints), two.listen(Topic::Hints), two.listen(Topic::Endings));
    one.say(Topic::Hints, b"a").await;
    one.mention(Topic::Endings, b"b");
    for (ear, what) in [(&mut others, b"a"), (&mut elsewhere, b"b")] {
        loop {
            match ear.hear().await {
                Some(Heard::Said { body, .. }) => break assert_eq!(&*body, what),
                Some(Heard::Gap) => {}
                None => panic!("nothing"),
            }
        }
    }
    assert!(timeout(Duration::from_secs(1), own.hear()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_wire_that_stalls_holds_up_nobody_and_is_opened_anew() {
    let room = Room::default();
    let (one, two) = (Nodes::start(room.clone()), Nodes::start(room.clone()));
    company(&one).await;
    room.stalls.store(true, Ordering::Relaxed);
    for _ in 0..QUEUE * 2 {
        one.mention(Topic::Hints, b"lost");
    }
    let mut ear = one.listen(Topic::Hints);
    sleep(SEND).await;
    room.stalls.store(false, Ordering::Relaxed);
    assert!(matches!(timeout(SEND * 2, ear.hear()).await, Ok(Some(Heard::Gap))));
    drop(two);
}
