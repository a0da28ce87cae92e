//! What `deploy/` says, held against the program: a default that moves takes its line along. `deploy/check.py` holds it
//! against systemd and Kubernetes.

use ironcache_settings::{NodeKey, VARIABLE_PREFIX, Value, node};
use ironcache_spine::DaemonExit;

const UNIT: &str = include_str!("../../../deploy/systemd/ironcache.service");
const MANIFEST: &str = include_str!("../../../deploy/kubernetes/ironcache.yaml");
const IMAGE: &str = include_str!("../../../deploy/container/Containerfile");
const SYSCTL: &str = include_str!("../../../deploy/sysctl/60-ironcache.conf");

fn unit(key: &str) -> &'static str {
    let value = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("the unit says {key}"))
}

fn default(key: NodeKey) -> u64 {
    match key.setting().default_value() {
        Value::Number(number) => number,
        Value::Never | Value::Word(_) | Value::Text(_) => panic!("{} is a number", key.setting().name),
    }
}

/// A stop that hangs is ended by the launcher, which has words for it, and not by whoever waits for the launcher.
fn stop_s() -> u64 {
    (default(NodeKey::StopTimeoutMs) + default(NodeKey::DrainTimeoutMs)) / 1_000 + 1
}

#[test]
fn the_unit_is_told_by_the_launcher_and_waits_longer_than_it() {
    assert_eq!((unit("Type"), unit("NotifyAccess")), ("notify", "main"));
    assert_eq!(
        unit("KillMode"),
        "mixed",
        "a daemon that is signalled beside its launcher does not hand over"
    );
    assert!(unit("TimeoutStopSec").parse::<u64>().unwrap() > stop_s());
    assert!(unit("TimeoutStartSec").parse::<u64>().unwrap() >= default(NodeKey::ReadyTimeoutMs) / 1_000);
    assert!(unit("WatchdogSec").parse::<u64>().unwrap() > 0);
}

#[test]
fn the_unit_does_not_try_again_what_would_end_the_same() {
    let codes: Vec<i32> =
        unit("RestartPreventExitStatus").split(' ').map(|code| code.parse().unwrap()).collect();
    for exit in DaemonExit::ALL {
        let hopeless = match exit {
            DaemonExit::AboveLevel
            | DaemonExit::BelowLevel
            | DaemonExit::LauncherProtocol
            | DaemonExit::LogWentBack => true,
            DaemonExit::Done
            | DaemonExit::Failed
            | DaemonExit::Usage
            | DaemonExit::DatasetLost
            | DaemonExit::CutShort => false,
        };
        assert_eq!(codes.contains(&i32::from(exit.code())), hopeless, "{exit:?}");
    }
}

#[test]
fn pods_wait_longer_for_a_stop_than_the_launcher() {
    let grace = MANIFEST.lines().find_map(|line| line.trim().strip_prefix("terminationGracePeriodSeconds: "));
    assert!(grace.unwrap().parse::<u64>().unwrap() > stop_s());
}

#[test]
fn every_variable_is_a_setting_and_every_port_a_default() {
    let known: Vec<String> = node::TABLE.iter().map(ironcache_settings::Setting::variable).collect();
    for text in [MANIFEST, IMAGE] {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let named: Vec<&str> = words.filter(|word| word.starts_with(VARIABLE_PREFIX)).collect();
        assert!(!named.is_empty());
        for name in named {
            assert!(known.contains(&name.to_owned()), "{name}");
        }
    }
    let port = default(NodeKey::Port);
    for port in [port, port + 10_000, port + 20_000] {
        assert!(MANIFEST.contains(&format!("containerPort: {port}")), "{port}");
        assert!(IMAGE.contains(&port.to_string()), "{port}");
    }
}

#[test]
fn the_kernel_is_asked_for_what_the_launcher_asks_for() {
    assert!(SYSCTL.contains(&format!("net.core.somaxconn = {}\n", ironcache_spine::LISTEN_BACKLOG)));
    assert!(!SYSCTL.contains("overcommit_memory = 2"));
}
