//! `ironcache server`: a node, as its launcher; and the daemon that the launcher starts.
//!
//! Both read the same sources with the same flags: a daemon of another release reads the
//! configuration by its own rules.

use crate::allocator;
use crate::check;
use crate::exit::Failure;
use crate::settings::{self, ConfigFlags};
use crate::version;
use ironcache_node::Config;
use ironcache_spine::{DaemonExit, LauncherConfig, ListenerSpec, WayBack};
use ironcache_types::LEVELS;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Configuration file (TOML); the flags below are its keys, and so are IRONCACHE_* variables
    /// (`IRONCACHE_BACKLOG_BYTES`). A flag wins over a variable, a variable over the file.
    #[arg(long, value_name = "FILE", env = "IRONCACHE_CONFIG")]
    config: Option<PathBuf>,
    /// Show what a start would use, where each setting comes from, and what is wrong, without starting. Exit codes: 0 it
    /// would start, 1 something keeps it from that, 2 the configuration is not understood
    #[arg(long)]
    check: bool,
    /// With --check: answer in JSON
    #[arg(long, requires = "check")]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration keys")]
    flags: ConfigFlags,
}

/// Runs the launcher until it is told to stop. `given` is what followed `server` on the command line.
pub fn run(args: &ServerArgs, given: Vec<OsString>) -> Result<(), Failure> {
    // Another launcher may have left what it read of it.
    let from = sources(args, ironcache_spine::handed_configuration())?;
    if args.check {
        return check(args, from);
    }
    let config = resolve(args, from)?;
    let filter = log_filter(&config)?;
    log_to_stderr(filter);
    allocator::give_back();
    refuse_huge_pages();
    take_a_file_that_is_full_for_an_error();
    let mut launcher = LauncherConfig::new(&config.data_dir, LEVELS);
    launcher.listeners = listeners(&config);
    launcher.child_args = given;
    launcher.limits.ready_timeout_ms = config.ready_timeout_ms;
    launcher.limits.hang_timeout_ms = config.hang_timeout_ms;
    // What clients may take comes on top of what the rest of a stop may.
    launcher.limits.stop_timeout_ms = config.stop_timeout_ms + config.drain_timeout_ms;
    let args = args.clone();
    launcher.way_back = WayBack::new(move || {
        let Sources { file, variables } = sources(&args, None).map_err(|error| error.to_string())?;
        let text = file.as_ref().map(|(_, text)| text.clone());
        settings::layered(file, &variables, &args.flags).map_err(|error| error.to_string())?;
        Ok(text)
    });
    match ironcache_spine::run(launcher) {
        Ok(_stopped) => Ok(()),
        Err(error) => Err(ended(error.exit(), anyhow::Error::new(error).context("the node ended"))),
    }
}

fn listeners(config: &Config) -> Vec<ListenerSpec> {
    let bind: IpAddr = config.bind.parse().expect("a resolved configuration binds to an IP address");
    let listener = |name: &str, key: &str, port| ListenerSpec {
        name: name.to_owned(),
        key: key.to_owned(),
        address: SocketAddr::new(bind, port),
    };
    let mut specs = vec![
        listener("client", "port", config.port),
        listener("tls", "tls-port", config.tls_port),
        listener("peer", "peer-port", config.peer_port),
        listener("http", "http-port", config.http_port),
    ];
    specs.retain(|spec| spec.address.port() != 0);
    specs
}

fn check(args: &ServerArgs, from: Sources) -> Result<(), Failure> {
    let origins = settings::origins(from.file.as_ref(), &from.variables, &args.flags);
    let config = resolve(args, from)?;
    log_filter(&config)?;
    // As a start does: what it cannot refuse is told.
    refuse_huge_pages();
    let format = if args.json { check::Format::Json } else { check::Format::Text };
    check::run(&config, &origins, &listeners(&config), format)
}

/// Inherited by the daemon. With transparent huge pages an idle node holds 60 MB more, and each first write to a
/// page clears 2 MiB while clients wait; Redis turns them off for the same reasons.
fn refuse_huge_pages() {
    // SAFETY: this option takes one number and no memory.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } == -1 {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "transparent huge pages stay on; expect more memory and slower first writes");
    }
}

/// Inherited by the daemon. At a limit of a file's size (`ulimit -f`) the kernel would end the process in the middle of a
/// write; ignored, the signal becomes an error of that write, as a full disk is.
fn take_a_file_that_is_full_for_an_error() {
    // SAFETY: it installs no handler, and takes no memory.
    if unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } == libc::SIG_ERR {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "SIGXFSZ is not ignored: a limit of a file's size ends this node");
    }
}

/// Runs the daemon, under its launcher.
pub fn run_daemon(args: &ServerArgs) -> Result<(), Failure> {
    let config = configuration(args)?;
    log_to_stderr(log_filter(&config)?);
    allocator::give_back();
    ironcache_node::tell_allocator(allocator::of_this_process());
    ironcache_node::run_daemon(config, version::own())
        .map_err(|error| ended(error.exit(), anyhow::Error::new(error).context("the daemon ended")))
}

/// What `openraft` says at each heartbeat and each append for as long as a machine is away, or raft has stopped here on a
/// full disk: dozens of lines a second. Each of it is told once by ourselves: a peer by our network, the end of raft by the
/// daemon.
const REPEATED: &str = "openraft::core::heartbeat=error,openraft::replication=error,\
     openraft::engine::handler::replication_handler=error,openraft::raft::raft_inner=off";

/// `openraft` tells of every heartbeat's worker at `info`: it speaks from `warn` on, and not at all of what it repeats,
/// unless the configured filter names it.
pub(crate) fn log_filter(config: &Config) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(format!("openraft=warn,{REPEATED},{}", config.log))
        .map_err(|error| Failure::Usage(format!("log = {:?} is no filter: {error}", config.log)))
}

fn log_to_stderr(filter: EnvFilter) {
    // A log that cannot be written, on a full disk say, is no reason to end: the subscriber would say so on stderr, which is
    // that very log, and panic. Colours are for terminals; in a file their codes are in the way.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();
}

/// Where a configuration comes from, besides the flags.
pub(crate) struct Sources {
    /// The path and the text of the configuration file.
    pub(crate) file: Option<(PathBuf, String)>,
    pub(crate) variables: Vec<(String, String)>,
}

impl ServerArgs {
    pub(crate) fn flags(&self) -> &ConfigFlags {
        &self.flags
    }
}

/// `handed` stands for the text of the configuration file.
pub(crate) fn sources(args: &ServerArgs, handed: Option<String>) -> Result<Sources, Failure> {
    let file = match (&args.config, handed) {
        (Some(path), Some(text)) => Some((path.clone(), text)),
        (Some(path), None) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::Usage(format!("could not read {}: {error}", path.display())))?;
            Some((path.clone(), text))
        }
        (None, _) => None,
    };
    // A variable whose name or value is no text is none of ours.
    let text = |part: OsString| part.into_string().ok();
    let variables = std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect();
    Ok(Sources { file, variables })
}

fn configuration(args: &ServerArgs) -> Result<Config, Failure> {
    resolve(args, sources(args, None)?)
}

fn resolve(args: &ServerArgs, from: Sources) -> Result<Config, Failure> {
    let Sources { file, variables } = from;
    for name in settings::unknown_variables(&variables) {
        // Whoever does not take the warning loses no more than that.
        let _ = writeln!(
            std::io::stderr(),
            "ironcache: warning: {name} names no configuration key and is ignored"
        );
    }
    let path = file.as_ref().and_then(|(path, _)| std::path::absolute(path).ok());
    let config = settings::layered(file, &variables, &args.flags);
    let config = config.map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Config { file: path, ..config })
}

/// A node that ended with a code of its own: its launcher, and whoever manages services, go by it.
fn ended(exit: DaemonExit, error: anyhow::Error) -> Failure {
    Failure::Ended { code: exit.code(), error }
}
