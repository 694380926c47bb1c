//! What signals do to this process (signal(7)).

/// Makes a write beyond the limit of file sizes (`ulimit -f`) fail with `EFBIG`; by default `SIGXFSZ`
/// would end the process silently (setrlimit(2)).
#[expect(unsafe_code, reason = "signal(2) takes a function pointer")]
pub fn ignore_file_size_limit() {
    // SAFETY: `SIG_IGN` is no function that could run at a wrong moment.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Lets SIGINT, SIGTERM and SIGHUP end the process at once again, if the thread that handles them could
/// not be started.
#[expect(unsafe_code, reason = "signal(2) takes a function pointer")]
pub fn default_for_stop() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: `SIG_DFL` is no function that could run at a wrong moment.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
