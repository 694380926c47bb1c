//! Thread pools, as large as the system allows.

use crate::engine::events::no_thread::NoThread;
use std::time::Duration;

/// A pool of `threads`, or of fewer where limits of processes (`ulimit -u`, cgroup pids) do not
/// allow so many. It fails when not even one thread can be started.
pub(crate) fn start(threads: usize, name: &'static str) -> Result<rayon::ThreadPool, NoThread> {
    let mut wanted = threads.max(1);
    loop {
        let built =
            rayon::ThreadPoolBuilder::new().num_threads(wanted).thread_name(move |n| format!("{name}-{n}")).build();
        match built {
            Ok(pool) => return Ok(pool),
            Err(error) if wanted == 1 => {
                return Err(NoThread::Pool(error.to_string()));
            }
            Err(_) => {
                wanted /= 2;
                // The threads that did start are ending, and count until they have.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
