//! How a daemon ends: the exit codes that its launcher, of whatever release, goes by. A format: a code never changes its
//! meaning, and a launcher takes one that it does not know for a failure.

/// The exit codes of `server-daemon`, all of them; `server` itself ends with the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonExit {
    /// It was asked to stop, and put everything in order.
    Done,
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// The data directory, or the log, is at a level above what this release admits: it changed nothing.
    AboveLevel,
    /// The data directory is at a level that this release does not admit any more: it changed nothing.
    BelowLevel,
    /// Launcher and daemon have no version of the launcher protocol in common.
    LauncherProtocol,
    /// It was the only one that held its dataset, and ended without a checkpoint: that dataset is gone.
    DatasetLost,
    /// It was asked to stop, nothing advanced, and its launcher killed it: what it held is there only if another node
    /// holds it too.
    CutShort,
    /// The node's log is older than what it has promised to the others, or gone: it must not go on under its id, whichever
    /// release and however often it is started. Nothing was changed.
    LogWentBack,
}

impl DaemonExit {
    pub const ALL: [DaemonExit; 9] = [
        DaemonExit::Done,
        DaemonExit::Failed,
        DaemonExit::Usage,
        DaemonExit::AboveLevel,
        DaemonExit::BelowLevel,
        DaemonExit::LauncherProtocol,
        DaemonExit::DatasetLost,
        DaemonExit::CutShort,
        DaemonExit::LogWentBack,
    ];

    /// Below 20 is what the command line says of every verb; 125 and above belong to shells and signals.
    pub const fn code(self) -> u8 {
        match self {
            DaemonExit::Done => 0,
            DaemonExit::Failed => 1,
            DaemonExit::Usage => 2,
            DaemonExit::AboveLevel => 20,
            DaemonExit::BelowLevel => 21,
            DaemonExit::LauncherProtocol => 22,
            DaemonExit::DatasetLost => 23,
            DaemonExit::CutShort => 24,
            DaemonExit::LogWentBack => 25,
        }
    }

    /// `None`: a code of another release, or of a panic.
    pub fn of(code: i32) -> Option<DaemonExit> {
        DaemonExit::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_one_way_to_end() {
        for exit in DaemonExit::ALL {
            assert_eq!(DaemonExit::of(exit.code().into()), Some(exit));
        }
        assert_eq!(DaemonExit::of(101), None);
    }
}
