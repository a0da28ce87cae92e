//! `ironcache server-preflight`: what would keep this binary from running as the node with these arguments.
//!
//! *Invariant:* nothing is written, bound or started.

use crate::exit::Failure;
use crate::output;
use crate::server::{self, ServerArgs, Sources};
use crate::settings::{self, SettingsError};
use crate::version;
use clap::error::{ContextKind, ContextValue};
use ironcache_node::Config;
use ironcache_spine::{
    DataDir, LAUNCHER_PROTOCOL, LevelError, LevelFile, PROBLEMS_FOUND, PreflightReport, Problem, ProblemCode,
    StateFile,
};
use ironcache_types::{LEVELS, Manifest, WireRange, chain};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct PreflightArgs {
    /// What the running launcher speaks
    #[arg(long, value_name = "MIN-MAX")]
    launcher_protocol: WireRange,
    #[command(flatten)]
    server: ServerArgs,
}

pub fn run(args: &PreflightArgs) -> Result<(), Failure> {
    // Whoever asked may have died: nobody would end this process if it hung. A kernel that refuses changes no answer.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let PreflightArgs { launcher_protocol, server } = args;
    let mut problems = claims(&version::manifest());
    problems.extend(protocol(*launcher_protocol));
    match configuration(server) {
        Ok(config) => problems.extend(of_files(&config)),
        Err(wrong) => problems.extend(wrong),
    }
    report(problems)
}

/// The command line itself is not understood: a flag that only another release knows, say.
pub fn refuse(error: &clap::Error) -> Result<(), Failure> {
    let key = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => Some(flag.clone()),
        Some(_) | None => None,
    };
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    report(vec![Problem::new(ProblemCode::Configuration, key, first.trim_start_matches("error: "))])
}

fn report(problems: Vec<Problem>) -> Result<(), Failure> {
    let found = !problems.is_empty();
    output::json(&PreflightReport { problems })?;
    if found { Err(Failure::Reported(PROBLEMS_FOUND)) } else { Ok(()) }
}

/// Whatever the stamp claims was believed by every node that staged this binary.
fn claims(manifest: &Manifest) -> Vec<Problem> {
    let Manifest { version: _, levels, launcher_protocol, min_from: _, critical: _ } = manifest;
    let mut problems = Vec::new();
    let mut differs = |key: &str, claimed: String, real: String| {
        if claimed != real {
            let detail = format!("the stamp claims {key} {claimed}, and the code has {real}");
            problems.push(Problem::new(ProblemCode::Claims, Some(key.to_owned()), detail));
        }
    };
    differs("levels", levels.to_string(), LEVELS.to_string());
    differs("launcher_protocol", launcher_protocol.to_string(), LAUNCHER_PROTOCOL.to_string());
    problems
}

fn protocol(launcher: WireRange) -> Option<Problem> {
    let common = launcher.min.max(LAUNCHER_PROTOCOL.min) <= launcher.max.min(LAUNCHER_PROTOCOL.max);
    let detail = format!(
        "the running launcher speaks protocol {launcher}, and this release {LAUNCHER_PROTOCOL}: upgrade to a release \
         in between first"
    );
    (!common).then(|| Problem::new(ProblemCode::LauncherProtocol, None, detail))
}

/// All that is wrong with the configuration, as far as one mistake does not hide another.
fn configuration(args: &ServerArgs) -> Result<Config, Vec<Problem>> {
    let problem = |key, detail: String| Problem::new(ProblemCode::Configuration, key, detail);
    let Sources { mut file, variables } =
        server::sources(args, None).map_err(|error| vec![problem(None, error.to_string())])?;
    let mut problems = Vec::new();
    loop {
        let error = match settings::layered(file.clone(), &variables, args.flags()) {
            Ok(config) => {
                if let Err(error) = server::log_filter(&config) {
                    problems.push(problem(Some("log".to_owned()), error.to_string()));
                }
                return if problems.is_empty() { Ok(config) } else { Err(problems) };
            }
            Err(error) => error,
        };
        let detail = error.to_string();
        match error {
            // The rest of the file is looked at without the line.
            SettingsError::InFile { line, bad, .. } if blank(&mut file, line) => {
                problems.push(problem(Some(bad.key), detail));
            }
            SettingsError::InFile { bad, .. } => {
                problems.push(problem(Some(bad.key), detail));
                return Err(problems);
            }
            SettingsError::File { key, .. } => {
                problems.push(problem(key, detail));
                return Err(problems);
            }
            SettingsError::Variable { variable, .. } => {
                problems.push(problem(Some(variable), detail));
                return Err(problems);
            }
            SettingsError::Flag { bad } | SettingsError::Check(bad) => {
                problems.push(problem(Some(bad.key), detail));
                return Err(problems);
            }
        }
    }
}

/// Empties a line, counted from 1; false if it is empty already.
fn blank(file: &mut Option<(PathBuf, String)>, line: usize) -> bool {
    let Some((_, text)) = file else { return false };
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.get_mut(line - 1) {
        Some(line) if !line.is_empty() => *line = "",
        Some(_) | None => return false,
    }
    *text = lines.join("\n");
    true
}

/// What is wrong with the files that a configuration names.
pub(crate) fn of_files(config: &Config) -> Vec<Problem> {
    tls(config).into_iter().chain(data_dir(&config.data_dir)).collect()
}

/// The files are read again by the daemon; a binary that cannot use them would shut out clients by TLS.
fn tls(config: &Config) -> Option<Problem> {
    let error = ironcache_node::check_tls(config).err()?;
    Some(Problem::new(ProblemCode::Configuration, Some(error.key().setting().name.to_owned()), chain(&error)))
}

fn data_dir(path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(error) = LevelFile::new(path).admit(LEVELS) {
        let code = match &error {
            LevelError::Above { .. } => ProblemCode::AboveLevel,
            LevelError::Below { .. } => ProblemCode::BelowLevel,
            LevelError::Unreadable { .. } | LevelError::Disk(_) => ProblemCode::LevelFile,
        };
        problems.push(Problem::new(code, Some("level".to_owned()), chain(&error)));
    }
    if let Err(error) = StateFile::new(&DataDir::new(path)).read() {
        problems.push(Problem::new(ProblemCode::DataDir, Some("state".to_owned()), chain(&error)));
    }
    if let Err(error) = ironcache_node::check_identity(path) {
        problems.push(Problem::new(ProblemCode::DataDir, Some("node.json".to_owned()), chain(&error)));
    }
    problems
}
