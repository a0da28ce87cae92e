//! Before anything of a `server` command line is judged: does another launcher run this node?
//!
//! A node that was upgraded may be given keys that only its own release knows, and be started by the launcher of an older
//! image. That one must not judge them: it reads where the data directory is, and makes way.
//!
//! *Invariant:* nothing is refused here. What cannot be read is left to whoever goes on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Becomes the launcher that the node's own state names, or returns. `given` is what followed `server`.
pub fn to_the_launcher_of_the_node(given: &[OsString]) {
    let given: Vec<&str> = given.iter().filter_map(|arg| arg.to_str()).collect();
    // Questions about this binary are answered by this binary.
    if given.iter().any(|arg| ["--check", "--help", "-h"].contains(arg)) {
        return;
    }
    let dir = data_dir(&given, |name| std::env::var(name).ok(), |path| std::fs::read_to_string(path).ok());
    // It fails where this launcher may go on, which says so itself when it does.
    let _ = ironcache_spine::make_way(&dir, Path::new("/proc/self/exe"));
}

fn data_dir(
    given: &[&str],
    variable: impl Fn(&str) -> Option<String>,
    file: impl Fn(&str) -> Option<String>,
) -> PathBuf {
    let setting = ironcache_settings::find("data-dir").expect("the table has it");
    let flag = |name: &str| {
        let with_value = given.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='));
        let before_value = given.iter().position(|arg| *arg == name).and_then(|at| given.get(at + 1));
        with_value.or(before_value.copied()).map(str::to_owned)
    };
    let in_file = || {
        let text = file(&flag("--config").or_else(|| variable("IRONCACHE_CONFIG"))?)?;
        let table: toml::Table = text.parse().ok()?;
        Some(table.get(setting.name)?.as_str()?.to_owned())
    };
    let said = flag("--data-dir").or_else(|| variable(&setting.variable())).or_else(in_file);
    said.unwrap_or_else(|| setting.default.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(given: &[&str], variables: &[(&str, &str)], text: &str) -> String {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let file = |path: &str| (path == "node.toml").then(|| text.to_owned());
        data_dir(given, variable, file).display().to_string()
    }

    #[test]
    fn the_directory_is_found_whatever_else_is_said() {
        let file = "data-dir = \"of-the-file\"\nof-a-later-release = [1]\n";
        let variable = [("IRONCACHE_DATA_DIR", "of-the-variable")];
        assert_eq!(found(&["--of-a-later-release=1", "--data-dir", "flag"], &variable, file), "flag");
        assert_eq!(found(&["--data-dir=flag", "--config", "node.toml"], &variable, file), "flag");
        assert_eq!(found(&["--config", "node.toml"], &variable, file), "of-the-variable");
        assert_eq!(found(&["--config", "node.toml"], &[], file), "of-the-file");
        assert_eq!(found(&[], &[("IRONCACHE_CONFIG", "node.toml")], file), "of-the-file");
        for text in ["", "data-dir = 7", "no toml"] {
            assert_eq!(found(&["--config=node.toml"], &[], text), "ironcache-data", "{text}");
        }
    }
}
