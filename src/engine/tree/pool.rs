//! Pools of threads, as many as the system lets start.

use std::time::Duration;

/// A pool of `threads`; where the limits of processes (`ulimit -u`, cgroup pids) do not
/// let so many be started, of fewer. The error says that not even one was.
pub(crate) fn start(threads: usize, name: &'static str) -> Result<rayon::ThreadPool, String> {
    let mut wanted = threads.max(1);
    loop {
        let built =
            rayon::ThreadPoolBuilder::new().num_threads(wanted).thread_name(move |n| format!("{name}-{n}")).build();
        match built {
            Ok(pool) => return Ok(pool),
            Err(error) if wanted == 1 => {
                return Err(format!(
                    "cannot start a thread: {error}; raise the limit of processes (ulimit -u, pids.max of its cgroup)"
                ));
            }
            Err(_) => {
                wanted /= 2;
                // Those that did start are ending; until they have, they count.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
