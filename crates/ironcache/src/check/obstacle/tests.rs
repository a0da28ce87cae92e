//! Each obstacle is found by its code, beside a directory and ports that have none.

use super::*;
use ironcache_spine::LevelFile;
use ironcache_types::Level;
use std::net::{SocketAddr, TcpListener};

fn config(data_dir: &Path) -> Config {
    let config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
    config.resolve().unwrap()
}

/// `port` of 127.0.0.1, or any that is free.
fn spec(address: SocketAddr) -> ListenerSpec {
    ListenerSpec { name: "client".to_owned(), key: "port".to_owned(), address }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[track_caller]
fn codes(config: &Config, specs: &[ListenerSpec]) -> Vec<String> {
    let found = all(config, specs);
    for obstacle in &found {
        assert!(!obstacle.what().is_empty() && !obstacle.advice().is_empty(), "{obstacle:?}");
    }
    found.iter().map(|obstacle| obstacle.code().to_owned()).collect()
}

#[test]
fn a_new_node_has_no_obstacle_and_nothing_is_made_for_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("not/there");
    assert_eq!(codes(&config(&dir), &[spec(free())]), [""; 0]);
    assert_eq!(codes(&config(temp.path()), &[spec(free())]), [""; 0]);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_port_that_is_taken_and_an_address_of_another_machine_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = all(&config(temp.path()), &[spec(taken.local_addr().unwrap())]);
    let [port] = &found[..] else { panic!("{found:?}") };
    assert_eq!((port.code(), port.weight()), ("port_in_use", Weight::Error));
    assert_eq!(port.setting().as_deref(), Some("port"));
    let elsewhere = spec("192.0.2.1:7001".parse().unwrap());
    let found = all(&config(temp.path()), &[elsewhere]);
    let [address] = &found[..] else { panic!("{found:?}") };
    assert_eq!(address.code(), "port_not_bound");
    assert!(address.advice().starts_with("set bind"), "{}", address.advice());
}

#[test]
fn a_directory_that_another_process_has_is_named_and_its_ports_are_not_held_against_it() {
    let temp = tempfile::tempdir().unwrap();
    let _held = DataDir::new(temp.path()).lock(std::time::Duration::ZERO).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = all(&config(temp.path()), &[spec(taken.local_addr().unwrap())]);
    let [held] = &found[..] else { panic!("{found:?}") };
    assert_eq!(held.code(), "data_dir_in_use");
    assert!(held.what().contains(&format!("process {}", std::process::id())), "{}", held.what());
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    assert!(codes(&config(&file.join("below")), &[]).contains(&"data_dir_not_writable".to_owned()));
    // A file system that takes nothing from anybody.
    let proc = all(&config(Path::new("/proc/self")), &[]);
    assert!(proc.iter().any(|obstacle| obstacle.code() == "data_dir_not_writable"), "{proc:?}");
}

#[test]
fn a_directory_of_another_user_is_told() {
    let temp = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().as_raw() != 0 {
        return;
    }
    let owner = Some(rustix::process::Uid::from_raw(12_345));
    rustix::fs::chown(temp.path(), owner, None).unwrap();
    assert_eq!(codes(&config(temp.path()), &[]), ["data_dir_other_owner"]);
}

#[test]
fn a_directory_of_another_version_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let line = LevelFile::line(Level(999));
    std::fs::write(temp.path().join("level"), line).unwrap();
    let found = all(&config(temp.path()), &[]);
    let [level] = &found[..] else { panic!("{found:?}") };
    assert_eq!((level.code(), level.setting().as_deref()), ("above_level", Some("level")));
    std::fs::remove_file(temp.path().join("level")).unwrap();
    std::fs::write(temp.path().join("state"), "no state").unwrap();
    assert_eq!(codes(&config(temp.path()), &[]), ["state_corrupt"]);
    std::fs::remove_file(temp.path().join("state")).unwrap();
    std::fs::write(temp.path().join("node.json"), "{}").unwrap();
    assert_eq!(codes(&config(temp.path()), &[]), ["data_dir"]);
}

#[test]
fn certificates_that_cannot_be_read_are_named_by_their_key() {
    let temp = tempfile::tempdir().unwrap();
    let missing = |name: &str| temp.path().join(name).display().to_string();
    let config = Config {
        data_dir: temp.path().to_owned(),
        tls_port: 6_380,
        tls_cert_file: missing("node.crt"),
        tls_key_file: missing("node.key"),
        tls_auth_clients: ironcache_node::AuthClients::No,
        ..Config::default()
    };
    let found = all(&config.resolve().unwrap(), &[]);
    let [tls] = &found[..] else { panic!("{found:?}") };
    assert_eq!((tls.code(), tls.setting().as_deref()), ("configuration", Some("tls-cert-file")));
}
