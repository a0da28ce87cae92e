//! Before a launcher reads its configuration: is another one to run?
//!
//! The image of a pod stays old while its node is upgraded. The configuration may by then have keys, and the command line
//! flags, that only the newer release knows; and nothing but its data directory is needed to find that one.
//!
//! *Invariant:* nothing is refused here: what cannot be made out is left to whoever reads the whole configuration.

use ironcache_cli::release::OWN_BINARY;
use ironcache_node::Config;
use ironcache_settings::VARIABLE_PREFIX;
use ironcache_types::{LEVELS, chain};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Becomes the launcher that is to run in the data directory, if that is another one. `given` is what follows
/// `server` on the command line.
pub(crate) fn make_way(given: &[OsString]) {
    // These are about this very binary.
    if given.iter().any(|arg| ["--check", "--help", "-h"].iter().any(|own| arg == own)) {
        return;
    }
    let dir = data_dir(given, |name| std::env::var_os(name), |path| std::fs::read_to_string(path).ok());
    if let Err(error) = ironcache_spine::make_way(&dir, Path::new(OWN_BINARY), LEVELS) {
        let _ = writeln!(std::io::stderr(), "ironcache: warning: {}", chain(&error));
    }
}

/// The data directory, by the same precedence as every key, whatever else the sources hold.
fn data_dir(
    given: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
    read: impl Fn(&Path) -> Option<String>,
) -> PathBuf {
    let named =
        |flag, name: &str| flag_of(given, flag).or_else(|| variable(&format!("{VARIABLE_PREFIX}{name}")));
    if let Some(dir) = named("--data-dir", "DATA_DIR") {
        return dir.into();
    }
    let file = named("--config", "CONFIG").and_then(|path| read(Path::new(&path)));
    let in_file = file.and_then(|text| {
        let table: toml::Table = text.parse().ok()?;
        table.get("data-dir")?.as_str().map(PathBuf::from)
    });
    in_file.unwrap_or_else(|| Config::default().data_dir)
}

/// `--flag VALUE` or `--flag=VALUE`.
fn flag_of(given: &[OsString], flag: &str) -> Option<OsString> {
    let mut args = given.iter();
    while let Some(arg) = args.next() {
        if arg == flag {
            return args.next().cloned();
        }
        let value =
            arg.as_encoded_bytes().strip_prefix(flag.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value {
            // SAFETY: what follows an ASCII prefix of an `OsString` is one too.
            return Some(unsafe { OsStr::from_encoded_bytes_unchecked(value) }.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn found(given: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> PathBuf {
        let given: Vec<OsString> = given.iter().map(OsString::from).collect();
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        data_dir(&given, variable, |path| file.filter(|_| path == Path::new("node.toml")).map(str::to_owned))
    }

    #[test]
    fn the_data_directory_is_found_among_what_only_another_release_knows() {
        let file = Some("zone = \"north\"\ndata-dir = \"in-file\"\n[future]\nx = 1");
        let named = [("IRONCACHE_DATA_DIR", "in-variable"), ("IRONCACHE_CONFIG", "node.toml")];
        let cases = [
            (found(&["--zone", "north", "--data-dir", "in-flag"], &named, file), "in-flag"),
            (found(&["--zone=north", "--data-dir=in-flag"], &named, file), "in-flag"),
            (found(&["--zone"], &named, file), "in-variable"),
            (found(&["--config", "node.toml"], &[], file), "in-file"),
            (found(&[], &named[1..], file), "in-file"),
            (found(&["--config", "other.toml"], &[], file), "ironcache-data"),
            (found(&["--config=node.toml"], &[], Some("no toml")), "ironcache-data"),
            (found(&["--data-dir"], &[], None), "ironcache-data"),
        ];
        for (found, expected) in cases {
            assert_eq!(found, Path::new(expected));
        }
    }

    #[test]
    fn fuzz_a_data_directory_is_found_whatever_stands_around_it() {
        let given = [
            "--zone\nnorth\n--data-dir\nin-flag\0data-dir = \"in-file\"\n[future]\nx = 1",
            "--data-dir=in-flag\0",
            "--config\nnode.toml\0data-dir = \"in-file\"",
            "--config=node.toml\0data-dir = 7",
        ];
        let words = ["--data-dir", "--config", "=", "\n", "\0", "\"", "[", "data-dir"];
        ironcache_fuzz::Campaign::of("data directories").from(given).words(words).run(|bytes| {
            let (args, file) = bytes
                .iter()
                .position(|byte| *byte == 0)
                .map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
            let args: Vec<OsString> =
                args.split(|byte| *byte == b'\n').map(|arg| OsStr::from_bytes(arg).to_owned()).collect();
            let file = String::from_utf8_lossy(file).into_owned();
            let found = data_dir(&args, |_| None, |_| Some(file.clone()));
            let by_flag = args.iter().any(|arg| arg.as_bytes().starts_with(b"--data-dir"));
            assert!(by_flag || file.contains("data-dir") || found == Config::default().data_dir);
            (by_flag, found == Config::default().data_dir)
        });
    }
}
