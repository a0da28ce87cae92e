//! One node under test: a data directory, a port, and a launcher that is started and killed.

use crate::own_version;
use ironcache_spine::{
    DataDir, HANDOVER_VARIABLE, LauncherConfig, ListenerSpec, ReadState, SlotStore, State, StateFile,
    StepRef, ToDaemon, ToLauncher, WayBack, handed_configuration, refuse_handover, run,
};
use ironcache_types::{Epoch, LEVELS, Manifest, PlanId, Release};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How many children a launcher is to inherit.
const INHERITS: &str = "TEST_INHERITS";

pub(crate) const LAUNCHER_VERB: &str = "run-launcher";

/// `run-launcher DATA_DIR ADDRESS READY_MS HANG_MS STOP_MS RESTART_MS_MAX FILE_BYTES_MAX`
pub(crate) fn launcher_main(args: &[String]) -> ! {
    misbehave(&args[0]);
    inherit();
    let [data_dir, address, ready_ms, hang_ms, stop_ms, restart_ms_max, file_bytes_max] = args else {
        panic!("{LAUNCHER_VERB}: {args:?}")
    };
    limit_files(file_bytes_max.parse().unwrap());
    let mut config = LauncherConfig::new(data_dir, LEVELS);
    config.listeners.push(ListenerSpec {
        name: "client".into(),
        key: "client_addr".into(),
        address: address.parse().unwrap(),
    });
    config.child_args.push(data_dir.into());
    config.limits.ready_timeout_ms = ready_ms.parse().unwrap();
    config.limits.hang_timeout_ms = hang_ms.parse().unwrap();
    config.limits.stop_timeout_ms = stop_ms.parse().unwrap();
    config.limits.restart_ms_max = restart_ms_max.parse().unwrap();
    configured(&mut config);
    match run(config) {
        Ok(_) => std::process::exit(0),
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            eprintln!("{text}");
            std::process::exit(error.exit().code().into())
        }
    }
}

/// Parents that end before their children, which sleep past the launcher's start.
fn inherit() {
    let Ok(count) = std::env::var(INHERITS) else { return };
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
    for _ in 0..count.parse().unwrap() {
        let parent = Command::new("sh").args(["-c", "sleep 0.3 & exit 0"]).status().unwrap();
        assert!(parent.success());
    }
}

/// What takes the place of a full disk, for launcher and daemon: no file is written beyond this.
fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: one call reads a local struct, the other installs no handler.
    let done = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    assert_eq!(done, 0);
}

/// A launcher with a configuration file: what it goes on with stands in `went-on-with`, a line for each, and the file is
/// spoilt as soon as it was read for a handover.
fn configured(config: &mut LauncherConfig) {
    let (file, seen) = (config.data_dir.join("config"), config.data_dir.join("went-on-with"));
    if let Some(text) = handed_configuration() {
        let mut seen = fs::File::options().create(true).append(true).open(seen).unwrap();
        writeln!(seen, "{} {text}", own_version()).unwrap();
    }
    config.way_back = WayBack::new(move || {
        let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
        fs::write(&file, "spoilt").unwrap();
        if text == "spoilt" { Err(text) } else { Ok(Some(text)) }
    });
}

/// What a launcher does by its version: `-refuses` gives a handover back, `-dies` does not survive one, `-future` is only
/// there to be run.
fn misbehave(data_dir: &str) {
    let is_handed_over = std::env::var_os(HANDOVER_VARIABLE).is_some();
    match own_version().pre.as_str() {
        "refuses" if is_handed_over => {
            let mut told = fs::File::options()
                .create(true)
                .append(true)
                .open(Path::new(data_dir).join("refused"))
                .unwrap();
            told.write_all(b"x").unwrap();
            panic!("the old launcher cannot be run: {:?}", refuse_handover("it does not want to"));
        }
        "dies" if is_handed_over => signal(std::process::id(), libc::SIGKILL),
        "future" => std::process::exit(9),
        _ => {}
    }
}

/// Long enough for a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` answers something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

pub(crate) struct Node {
    temp: tempfile::TempDir,
    pub address: SocketAddr,
    pub ready_ms: u64,
    pub hang_ms: u64,
    pub stop_ms: u64,
    /// Below what makes the launcher refuse its clients.
    pub restart_ms_max: u64,
    pub file_bytes_max: u64,
    launcher: Option<Child>,
}

impl Node {
    pub(crate) fn new() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Node {
            temp: tempfile::tempdir().unwrap(),
            address,
            ready_ms: 20_000,
            hang_ms: 20_000,
            stop_ms: 1_000,
            restart_ms_max: 40,
            file_bytes_max: u64::MAX,
            launcher: None,
        }
    }

    /// A node that runs, and first did so from release 0.1.0.
    pub(crate) fn started() -> Self {
        let mut node = Node::new();
        node.start();
        node.serving("0.1.0");
        node
    }

    /// A node that a service manager listens to, which ends it if it is silent for two seconds.
    pub(crate) fn under_a_manager(socket: &Path) -> Self {
        let mut node = Node::new();
        let mut command = node.command(&node.executable("0.1.0"));
        command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "2000000");
        node.launcher = Some(command.spawn().unwrap());
        node
    }

    /// A node whose launcher gets children that it never started, as the first process of a container does.
    pub(crate) fn inheriting() -> Self {
        let mut node = Node::new();
        let mut command = node.command(&node.executable("0.1.0"));
        command.env(INHERITS, "5");
        node.launcher = Some(command.spawn().unwrap());
        node
    }

    pub(crate) fn dir(&self) -> DataDir {
        DataDir::new(self.temp.path().join("data"))
    }

    pub(crate) fn store(&self) -> SlotStore {
        SlotStore::open(&self.dir()).unwrap()
    }

    pub(crate) fn state_path(&self) -> PathBuf {
        self.dir().root().join("state")
    }

    /// Makes an executable of `version` out of this one.
    pub(crate) fn executable(&self, version: &str) -> PathBuf {
        let path = self.temp.path().join(format!("release-{version}"));
        if path.exists() {
            return path;
        }
        self.executable_as(version, self.manifest())
    }

    /// What this executable says of itself.
    pub(crate) fn manifest(&self) -> Manifest {
        crate::own_manifest()
    }

    /// The same, with claims of its own beside its version.
    fn executable_as(&self, version: &str, claims: Manifest) -> PathBuf {
        let path = self.temp.path().join(format!("release-{version}"));
        let mut bytes = fs::read("/proc/self/exe").unwrap();
        Manifest { version: version.parse().unwrap(), ..claims }.write(&mut bytes).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn stage(&self, version: &str) -> Release {
        self.store().install_file(&self.executable(version)).unwrap().release
    }

    pub(crate) fn stage_as(&self, version: &str, claims: Manifest) -> Release {
        self.store().install_file(&self.executable_as(version, claims)).unwrap().release
    }

    pub(crate) fn binary(&self, release: &Release) -> PathBuf {
        self.dir().root().join("slots").join(release.digest.to_string()).join("ironcache")
    }

    fn command(&self, exe: &Path) -> Command {
        let mut command = Command::new(exe);
        command
            .arg(LAUNCHER_VERB)
            .arg(self.dir().root())
            .arg(self.address.to_string())
            .args([self.ready_ms, self.hang_ms, self.stop_ms, self.restart_ms_max].map(|ms| ms.to_string()))
            .arg(self.file_bytes_max.to_string())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&mut self) {
        let child = self.command(&self.executable("0.1.0")).spawn().unwrap();
        assert!(self.launcher.replace(child).is_none(), "one launcher at a time");
    }

    /// Runs a launcher that is expected to give up by itself.
    pub(crate) fn start_in_vain(&self) -> Output {
        let output = self.command(&self.executable("0.1.0")).stderr(Stdio::piped()).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        output
    }

    pub(crate) fn launcher_id(&self) -> u32 {
        self.launcher.as_ref().unwrap().id()
    }

    /// Kills the launcher; its daemon must follow it.
    pub(crate) fn kill_launcher(&mut self) {
        let mut launcher = self.launcher.take().unwrap();
        launcher.kill().unwrap();
        launcher.wait().unwrap();
    }

    /// Waits for the launcher to end by itself.
    pub(crate) fn launcher_exit_code(&mut self) -> Option<i32> {
        let status = eventually("the launcher ends", || self.launcher.as_mut().unwrap().try_wait().unwrap());
        self.launcher = None;
        status.code()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a line to the daemon. `None` if nobody was there to answer.
    pub(crate) fn ask(&self, line: &str) -> Option<String> {
        let stream = TcpStream::connect(self.address).ok()?;
        ask_over(&stream, line)
    }

    pub(crate) fn tell_launcher(&self, message: &ToLauncher) -> ToDaemon {
        let line = serde_json::to_string(message).unwrap();
        let answer = eventually("the launcher answers", || self.ask(&line));
        serde_json::from_str(&answer).unwrap()
    }

    /// The version and process id of the daemon that answers.
    pub(crate) fn who(&self) -> Option<(String, u32)> {
        let answer = self.ask("who")?;
        let (version, pid) = answer.split_once(' ')?;
        Some((version.to_owned(), pid.parse().ok()?))
    }

    /// Waits until a daemon of `version` answers; its process id.
    #[track_caller]
    pub(crate) fn serving(&self, version: &str) -> u32 {
        eventually(&format!("{version} serves"), || {
            self.who().filter(|(v, _)| v == version).map(|(_, pid)| pid)
        })
    }

    /// Waits until a state that `look` likes is durable.
    #[track_caller]
    pub(crate) fn state<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let file = StateFile::new(&self.dir());
        eventually(what, || match file.read().unwrap() {
            ReadState::Present(state) => look(&state),
            ReadState::Missing => None,
            ReadState::Corrupt { problem } => panic!("the state is corrupt: {problem}"),
        })
    }

    pub(crate) fn write_state(&self, state: &State) {
        StateFile::new(&self.dir()).write(state).unwrap();
    }

    pub(crate) fn activate(&self, release: &Release, epoch: u64, confirm_timeout_ms: u64) -> ToDaemon {
        let digest = release.digest;
        self.tell_launcher(&ToLauncher::Activate { digest, step: step(epoch), confirm_timeout_ms })
    }

    /// Activates, and expects that the launcher agrees.
    pub(crate) fn begin_trial(&self, release: &Release, epoch: u64) {
        assert_eq!(self.activate(release, epoch, 600_000), ToDaemon::Activating { step: step(epoch) });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.launcher.is_some() {
            self.kill_launcher();
        }
    }
}

pub(crate) fn step(epoch: u64) -> StepRef {
    StepRef { plan: PlanId(1), epoch: Epoch(epoch) }
}

pub(crate) fn ask_over(mut stream: &TcpStream, line: &str) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("{line}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    answer.strip_suffix('\n').map(str::to_owned)
}

/// Sends a signal to one process, by its id.
pub(crate) fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, signal) }, 0, "kill {pid}");
}

/// How often a process has gone to sleep by itself.
pub(crate) fn voluntary_switches(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    switches.unwrap().trim().parse().unwrap()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    // A zombie is dead: it holds nothing any more.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        state != Some('Z') && state != Some('X')
    })
}
