//! One launcher in the place of another: the same process, with the same arguments.
//!
//! *Invariant:* whatever launcher is started, at whatever moment the one before it ended, one runs that admits the
//! directory's level, as long as the release that ran here does.
//! *Invariant:* only a binary that was hashed through the descriptor that is executed takes over.

use super::handover::HANDOVER_VARIABLE;
use crate::data_dir::DataDir;
use crate::slot_store::{SlotError, SlotStore};
use crate::{binary, state_file::StateFile};
use ironcache_store::{DiskError, LevelFile, at};
use ironcache_types::{Digest, LevelRange};
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Why this launcher stays, though the state names another.
#[derive(Debug, thiserror::Error)]
pub enum MakeWayError {
    #[error("the launcher of slot {} is to run here, and cannot be run", launcher.short())]
    Slot { launcher: Digest, source: SlotError },
    #[error("the launcher of slot {} is to run here, and the kernel does not execute it", launcher.short())]
    Exec { launcher: Digest, source: io::Error },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Becomes the launcher that is to run here, with this process's own arguments. Returns if this is the one, or if there is
/// no whole `state`. Reads only the frozen lines: the state itself may be in a format that this release does not know.
///
/// That is the launcher that `state` names; or that of the release that runs, where the directory's level was raised above
/// the other one before it could hand over: a finalize may come, and the machine die, within the second after a confirm.
/// Every launcher finds the same one, so that none makes way for one that would make way for it.
///
/// `own_exe` is this process's binary, `/proc/self/exe`, and `levels` are those that it admits.
///
/// # Errors
/// The launcher that is to run cannot be run; this one may go on, if it reads the state.
pub fn make_way(data_dir: &Path, own_exe: &Path, levels: LevelRange) -> Result<(), MakeWayError> {
    // Whoever hands over has looked at the state already, and may be about to correct it.
    if std::env::var_os(HANDOVER_VARIABLE).is_some() {
        return Ok(());
    }
    let dir = DataDir::new(data_dir);
    let Some(head) = StateFile::new(&dir).head()? else { return Ok(()) };
    let store = SlotStore::of(&dir);
    let named_is_own = is_own(&dir, own_exe, &head.launcher)?;
    // A level that cannot be read, and a slot that cannot be used, are told by whoever needs them.
    let level = LevelFile::new(data_dir).read().ok().flatten();
    let named_admits = level.is_none_or(|level| {
        let admits = if named_is_own { Some(levels) } else { levels_of(&store, &head.launcher) };
        admits.is_none_or(|admits| admits.admits(level))
    });
    let launcher = if named_admits { head.launcher } else { head.run };
    if is_own(&dir, own_exe, &launcher)? {
        return Ok(());
    }
    let binary = store.open_verified(&launcher).map_err(|source| MakeWayError::Slot { launcher, source })?;
    tracing::info!(launcher = %launcher.short(), "making way for the launcher that is to run here");
    let source = exec(rustix::fd::AsFd::as_fd(&binary), &[]);
    Err(MakeWayError::Exec { launcher, source })
}

/// What the release in a slot says that it admits.
fn levels_of(store: &SlotStore, digest: &Digest) -> Option<LevelRange> {
    store.artifact(digest).ok().map(|(artifact, _)| artifact.manifest.levels)
}

/// Is `digest` what this process runs?
pub(super) fn is_own(dir: &DataDir, own_exe: &Path, digest: &Digest) -> Result<bool, DiskError> {
    // One file is not hashed to be compared with itself. A slot that was replaced is another file.
    let own = fs::metadata(own_exe).map_err(at("read", own_exe))?;
    if fs::metadata(dir.binary(digest)).is_ok_and(|slot| (slot.dev(), slot.ino()) == (own.dev(), own.ino())) {
        return Ok(true);
    }
    Ok(own_digest(own_exe)? == *digest)
}

/// The digest of this process's own binary, which does not change while it runs.
pub(super) fn own_digest(own_exe: &Path) -> Result<Digest, DiskError> {
    static OWN: OnceLock<Digest> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Ok(*own);
    }
    let mut file = File::open(own_exe).map_err(at("open", own_exe))?;
    let (digest, _) = binary::digest_of(&mut file).map_err(at("read", own_exe))?;
    Ok(*OWN.get_or_init(|| digest))
}

/// A binary that was just written can be open for writing in a process that forked meanwhile and has not reached its
/// exec; that lasts a moment.
const BUSY_MAX: Duration = Duration::from_millis(500);

/// Executes `binary` in this process, with its arguments and its environment, and `variables` over it. What is inherited
/// besides is the caller's affair: descriptors, the signal mask, children. Returns only if it failed, having changed nothing.
pub(super) fn exec(binary: BorrowedFd<'_>, variables: &[(&str, Option<String>)]) -> io::Error {
    let given = std::env::vars_os().filter(|(name, _)| variables.iter().all(|(over, _)| name != over));
    let over =
        variables.iter().filter_map(|(name, value)| Some((OsString::from(name), value.as_ref()?.into())));
    let variables = given.chain(over).map(|(name, value)| {
        let mut pair = name;
        pair.push("=");
        pair.push::<OsString>(value);
        pair
    });
    let path = format!("/proc/self/fd/{}", binary.as_raw_fd());
    let texts = || -> io::Result<_> {
        Ok((CString::new(path)?, c_strings(std::env::args_os())?, c_strings(variables)?))
    };
    let (path, args, variables) = match texts() {
        Ok(texts) => texts,
        Err(error) => return error,
    };
    let (argv, envp) = (pointers(&args), pointers(&variables));
    let give_up = Instant::now() + BUSY_MAX;
    loop {
        // SAFETY: the path and the two lists, which end with null, live until the call returns; it returns only to fail.
        unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::ExecutableFileBusy || Instant::now() >= give_up {
            return error;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn c_strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts.map(|text| CString::new(text.into_vec()).map_err(Into::into)).collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}
