//! `ironcache release stamp`: another release of the same program, for rehearsals and demos.
//!
//! *Invariant:* the copy differs from its source in its stamp only; what it says of itself is read from there.
//! *Invariant:* a copy that claims what its code lacks is refused by its own preflight; it is for trying refusals.

use crate::exit::Failure;
use crate::output;
use anyhow::Context;
use ironcache_types::{LevelRange, Manifest, Version};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The running binary, also when its file has been replaced or removed meanwhile.
pub const OWN_BINARY: &str = "/proc/self/exe";

#[derive(Clone, Debug, clap::Args)]
pub struct StampArgs {
    /// The version that the copy says of itself
    #[arg(long = "version", value_name = "VERSION")]
    stamp: Version,
    /// The levels that it claims to read and write [those of FILE]
    #[arg(long, value_name = "MIN-MAX")]
    levels: Option<LevelRange>,
    /// The oldest release that it may follow [that of FILE]
    #[arg(long, value_name = "VERSION")]
    min_from: Option<Version>,
    /// A word that whoever reads the stamp has to know
    #[arg(long, value_name = "WORD")]
    critical: Vec<String>,
    /// Where the copy goes; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The binary to copy [this one]
    file: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &StampArgs) -> Result<(), Failure> {
    let source = args.file.as_deref().unwrap_or(Path::new(OWN_BINARY));
    copy(source, &args.out, |of_source| Manifest {
        version: args.stamp.clone(),
        levels: args.levels.unwrap_or(of_source.levels),
        launcher_protocol: of_source.launcher_protocol,
        min_from: args.min_from.clone().or(of_source.min_from),
        critical: [of_source.critical, args.critical.clone()].concat(),
    })?;
    let out = args.out.display().to_string();
    if args.json {
        return output::json(&serde_json::json!({ "version": args.stamp, "file": out }));
    }
    output::line(&format!("{out}: version {}", args.stamp))
}

/// Copies the binary `source` to `out`, executable, as another version of itself.
pub fn stamped_copy(source: &Path, version: &Version, out: &Path) -> Result<(), Failure> {
    copy(source, out, |of_source| Manifest { version: version.clone(), ..of_source })
}

fn copy(source: &Path, out: &Path, stamp: impl FnOnce(Manifest) -> Manifest) -> Result<(), Failure> {
    let name = source.display();
    let mut bytes = std::fs::read(source).with_context(|| format!("could not read {name}"))?;
    let of_source = Manifest::read(&bytes).with_context(|| format!("could not stamp {name}"))?;
    stamp(of_source).write(&mut bytes).map_err(|error| Failure::Usage(error.to_string()))?;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(out).with_context(
            || format!("could not create {}; an existing file is not overwritten", out.display()),
        )?;
    file.write_all(&bytes).with_context(|| format!("could not write {}", out.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::AtHand;
    use crate::release::testing::release_bytes;

    #[test]
    fn the_copy_says_its_new_version_and_is_never_written_over_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (source, out) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&source, release_bytes("1.0.0")).unwrap();
        let version = Version::new(1, 1, 0);
        stamped_copy(&source, &version, &out).unwrap();
        let says = |file: &Path| AtHand::open(file).unwrap().version().clone();
        assert_eq!((says(&source), says(&out)), (Version::new(1, 0, 0), version.clone()));
        assert_eq!(stamped_copy(&source, &version, &out).unwrap_err().code(), 1);
    }
}
