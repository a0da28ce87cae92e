//! Children that this process never started: as the first process of a container it inherits whatever loses its parent.

/// Takes every child that has ended, but for the daemon: how that ended is asked for elsewhere.
///
/// The daemon's end is in the way of what ended after it. It is asked for at once, and then the others follow.
pub(super) fn reap(daemon: Option<u32>) {
    while let Some(pid) = ended().filter(|pid| daemon.map(u32::cast_signed) != Some(*pid)) {
        // SAFETY: nothing is written: the status is not asked for.
        if unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } != pid {
            return;
        }
        tracing::debug!(pid, "a process that had lost its parent has ended");
    }
}

/// A child that has ended, and is still to be taken.
fn ended() -> Option<libc::pid_t> {
    // SAFETY: all zeros is a value of it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the struct is ours. The kernel fills it as that of SIGCHLD, or leaves it all zeros when nobody has ended.
    let pid = unsafe {
        if libc::waitid(libc::P_ALL, 0, &raw mut info, look) != 0 {
            // There are no children.
            return None;
        }
        info.si_pid()
    };
    (pid != 0).then_some(pid)
}
