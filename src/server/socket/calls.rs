//! Who of a socket has something to say: each operation calls for itself, and everything else (the client, the clock, the
//! session) together. Invariant: whoever calls is looked at, and nobody else is: one message to a thousand sockets is no
//! look at a thousand clocks.

use parking_lot::Mutex;
use smallvec::SmallVec;
use std::{
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
    /// The places of the operations that have called, in turn. Few at a time, so that they need no memory of their own.
    operations: SmallVec<[usize; 2]>,
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

    /// How many operations have called.
    pub fn count(&self) -> usize {
        self.0.lock().operations.len()
    }

    /// The operation whose turn it is.
    pub fn next(&self) -> Option<usize> {
        let operations = &mut self.0.lock().operations;
        (!operations.is_empty()).then(|| operations.remove(0))
    }

    /// A new operation, which has called.
    pub fn enter(self: &Arc<Self>, place: usize) -> Arc<Call> {
        self.0.lock().operations.push(place);
        Arc::new(Call { calls: self.clone(), place, waits: AtomicBool::new(true) })
    }

    /// An operation has gone.
    pub fn leave(&self, place: usize) {
        self.0.lock().operations.retain(|it| *it != place);
    }
}

impl Call {
    /// What calls from here on is heard anew. Whoever called before has what they called for seen by the look that follows, also
    /// when they found this call made already: a mere store would not see to that.
    pub fn heard(&self) {
        self.waits.swap(false, Ordering::AcqRel);
    }

    /// To the end of those who have called, by the socket itself.
    pub fn again(&self) {
        if !self.waits.swap(true, Ordering::AcqRel) {
            self.calls.0.lock().operations.push(self.place);
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
                called.operations.push(self.place);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_calls_wakes_the_task_once_and_is_heard_in_turn() {
        let (calls, woken) = (Arc::<Calls>::default(), Arc::<Woken>::default());
        let (task, rest): (Waker, Waker) = (woken.clone().into(), calls.clone().into());
        let (one, two) = (calls.enter(1), calls.enter(2));
        assert_eq!([calls.next(), calls.next(), calls.next()], [Some(1), Some(2), None], "who is new has called");
        one.heard();
        two.heard();

        assert!(!calls.listen(&task));
        Waker::from(two.clone()).wake();
        Waker::from(one.clone()).wake();
        Waker::from(two.clone()).wake();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "it is about to look");
        assert_eq!(calls.next(), Some(2));
        // While it is looked at: that was for something which may have come behind the look.
        two.heard();
        Waker::from(two.clone()).wake();
        assert_eq!([calls.next(), calls.next(), calls.next()], [Some(1), Some(2), None]);

        assert!(!calls.listen(&task), "only operations have called");
        rest.wake_by_ref();
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert!(calls.listen(&task) && !calls.listen(&task));

        one.heard();
        two.heard();
        for call in [&two, &one, &two] {
            call.again();
        }
        assert_eq!(woken.0.load(Ordering::SeqCst), 2, "the socket itself is awake");
        calls.leave(2);
        assert_eq!([calls.next(), calls.next()], [Some(1), None], "who has gone is not looked for");
    }
}
