//! Threads for what keeps a core busy: hashes of passwords, pictures. Invariant: they are apart from those of requests, and
//! stand behind them.

use tokio::runtime::{Builder, Handle, Runtime};

/// Apart, because such work runs for tens of milliseconds and more, and would otherwise take turns with requests as their
/// equal. Threads that have nothing to do end.
pub struct Threads(Option<Runtime>);

impl Threads {
    /// So many at most, under that name. None where the system gives no runtime: the work is then done on the threads that
    /// are there.
    pub fn new(name: &str, most: usize) -> Self {
        let threads = Builder::new_current_thread()
            .thread_name(name)
            .max_blocking_threads(most)
            .on_thread_start(stand_back)
            .build();
        Threads(threads.ok())
    }

    /// Where to `spawn_blocking`.
    pub fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |threads| threads.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            // Waiting is forbidden here; what is still at work ends by itself.
            threads.shutdown_background();
        }
    }
}

/// On Linux niceness is a matter of the thread (setpriority(2), "C library/kernel differences"); elsewhere it would be one
/// of the whole program.
fn stand_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(5);
}
