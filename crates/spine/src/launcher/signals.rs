//! The operator's signals as a descriptor to poll.

use ironcache_store::DiskError;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// SIGTERM and SIGINT, blocked in this thread and readable here. The launcher has one thread.
#[derive(Debug)]
pub(super) struct StopSignals {
    fd: OwnedFd,
}

impl StopSignals {
    pub(super) fn block() -> Result<Self, DiskError> {
        let fd = Self::open().map_err(|source| DiskError {
            action: "make a signal descriptor for",
            path: "SIGTERM".into(),
            source,
        })?;
        Ok(StopSignals { fd })
    }

    fn open() -> io::Result<OwnedFd> {
        // SAFETY: `set` is initialised by sigemptyset before anything reads it, and outlives the
        // calls; signalfd answers a descriptor that is ours alone.
        unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }

    /// Takes what is pending; true if there was any.
    pub(super) fn take(&self) -> bool {
        let mut any = false;
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        // SAFETY: the buffer is ours and as long as stated.
        while unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) } > 0 {
            any = true;
        }
        any
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
