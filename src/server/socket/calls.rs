//! Who of a socket has something to say: each operation calls for itself, and everything else (the client, the clock, the
//! session) together. Invariant: whoever calls is looked at, and nobody else is: one message to a thousand sockets is no
//! look at a thousand clocks.

use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// The calls of one socket. As a waker it is everything else but the operations.
#[derive(Default)]
pub(super) struct Calls(Mutex<Called>);

#[derive(Default)]
struct Called {
    /// The places of the operations that have called, in turn.
    operations: VecDeque<usize>,
    rest: bool,
    /// The socket's task, while it is not about to look anyhow.
    task: Option<Waker>,
}

/// One operation's.
pub(super) struct Call {
    calls: Arc<Calls>,
    place: usize,
    /// Whether it is among those who have called.
    waits: AtomicBool,
}

impl Calls {
    /// Has the task woken by the next who calls; true when something else than an operation has called since the last time.
    pub fn listen(&self, task: &Waker) -> bool {
        let mut called = self.0.lock();
        called.task = Some(task.clone());
        std::mem::take(&mut called.rest)
    }

    /// The operation whose turn it is.
    pub fn next(&self) -> Option<usize> {
        self.0.lock().operations.pop_front()
    }

    /// A new operation, which has called.
    pub fn enter(self: &Arc<Self>, place: usize) -> Arc<Call> {
        self.0.lock().operations.push_back(place);
        Arc::new(Call { calls: self.clone(), place, waits: AtomicBool::new(true) })
    }

    /// An operation has gone.
    pub fn leave(&self, place: usize) {
        self.0.lock().operations.retain(|it| *it != place);
    }
}

impl Call {
    /// What calls from here on is heard anew.
    pub fn heard(&self) {
        self.waits.store(false, Ordering::Release);
    }

    /// To the end of those who have called, by the socket itself.
    pub fn again(&self) {
        if !self.waits.swap(true, Ordering::AcqRel) {
            self.calls.0.lock().operations.push_back(self.place);
        }
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.waits.swap(true, Ordering::AcqRel) {
            let task = {
                let mut called = self.calls.0.lock();
                called.operations.push_back(self.place);
                called.task.take()
            };
            task.into_iter().for_each(Waker::wake);
        }
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut called = self.0.lock();
            called.rest = true;
            called.task.take()
        };
        task.into_iter().for_each(Waker::wake);
    }
}
