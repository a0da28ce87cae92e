//! Clients that come by TLS: over a whole roll, and while certificates change.

use crate::PRODUCT;
use crate::rolls::{assert_all_run, assert_order};
use ironcache_api::Outcome;
use ironcache_tests::{Cluster, Load, NEXT, Signal, Spec, TLS_PORT, until};
use std::path::Path;
use tempfile::TempDir;

/// A folder with a certificate for this machine and its key.
struct Certificate {
    dir: TempDir,
}

impl Certificate {
    fn new() -> Certificate {
        let certificate = Certificate { dir: tempfile::tempdir().expect("a directory can be made") };
        certificate.renew();
        certificate
    }

    fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it can be made");
        write_pem(&self.dir.path().join("node.key"), "PRIVATE KEY", &made.signing_key.serialize_der());
        write_pem(&self.dir.path().join("node.crt"), "CERTIFICATE", made.cert.der());
    }

    fn spoil(&self) {
        std::fs::write(self.dir.path().join("node.crt"), "spoilt").expect("a file can be written");
    }

    fn pem(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("node.crt")).expect("it was written")
    }

    fn flags(&self) -> Vec<String> {
        let file = |name: &str| self.dir.path().join(name).display().to_string();
        let flags = [
            ("--tls-port", TLS_PORT.to_owned()),
            ("--tls-cert-file", file("node.crt")),
            ("--tls-key-file", file("node.key")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}

/// As OpenSSL writes it.
fn write_pem(path: &Path, label: &str, der: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= three.len() { char::from(DIGITS[at as usize]) } else { '=' });
        }
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    let text = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    std::fs::write(path, text).expect("a file can be written");
}

/// What a node says of its TLS: the certificate in force, and why a newer one is not.
async fn tls_of(cluster: &Cluster, index: usize) -> (Option<String>, Option<String>) {
    let status = until("the node answers", async || cluster.status(index).await).await;
    let tls = status.data.tls.expect("it has a TLS port");
    (tls.certificate_sha256, tls.problem)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_by_tls_loses_nothing_and_no_client_sees_it() {
    let certificate = Certificate::new();
    let mut spec = Spec::new(PRODUCT, 2, 1);
    spec.flags = certificate.flags();
    let cluster = Cluster::start(&spec).await;
    let load = Load::start_tls(&cluster, certificate.pem()).await;
    cluster.stage(NEXT).await;
    let plan = cluster.set_target(NEXT, None).await;
    let (plan, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    assert_order(&plan);
    load.until_more(50).await;
    load.finish(&cluster).await.assert_unseen();
    cluster.until_whole().await;
    assert_all_run(&cluster, NEXT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_follows_its_file_a_signal_hurries_it_and_a_spoilt_one_stops_a_roll() {
    let certificate = Certificate::new();
    let mut spec = Spec::new(PRODUCT, 1, 1);
    spec.witnesses = 1;
    spec.flags = certificate.flags();
    let cluster = Cluster::start(&spec).await;
    let (first, problem) = tls_of(&cluster, 0).await;
    assert_eq!(problem, None);

    certificate.spoil();
    cluster.nodes[0].signal_launcher(Signal::HUP);
    let seen = async || tls_of(&cluster, 0).await.1;
    let problem = until("the spoilt file is seen", seen).await;
    assert!(problem.contains("no certificate is in it"), "{problem}");
    assert_eq!(tls_of(&cluster, 0).await.0, first);
    assert!(cluster.nodes[0].log_text().contains("the files of TLS cannot be used"));

    cluster.stage(NEXT).await;
    let plan = cluster.set_target(NEXT, None).await;
    let waits = |upgrade: &ironcache_api::UpgradeStatus| {
        serde_json::to_string(upgrade).ok().filter(|text| text.contains("tls-cert-file"))
    };
    cluster.until_upgrade("the roll waits for the certificate", waits).await;

    certificate.renew();
    let seen = async || Some(tls_of(&cluster, 0).await).filter(|(print, _)| *print != first);
    let (_, problem) = until("the new certificate is in force", seen).await;
    assert_eq!(problem, None);
    let load = Load::start_tls(&cluster, certificate.pem()).await;
    let (_, outcome) = cluster.until_ended(plan).await;
    assert_eq!(outcome, Outcome::Finalized);
    load.finish(&cluster).await.assert_nothing_lost();
    assert_all_run(&cluster, NEXT).await;
}

/// Clients by TLS, nodes by keys; and neither: what a person compares who asks what TLS costs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_by_tls_and_one_without_any_keys_both_pass() {
    let certificate = Certificate::new();
    let file = |name: &str| certificate.dir.path().join(name).display().to_string();
    let (crt, key) = (file("node.crt"), file("node.key"));
    for links in [&["--tls-cert-file", &crt, "--tls-key-file", &key][..], &["--insecure"]] {
        let small = ["demo", "--json", "--shards", "2", "--keys", "2000", "--rate", "100", "--seconds", "1"];
        let run = tokio::process::Command::new(PRODUCT).args(small).args(links).output();
        let output = run.await.expect("the demo can be started");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(report["verdict"], "pass", "{links:?}: {report}\n{said}");
        assert!(report["acknowledged_writes"].as_u64() > Some(100), "{links:?}: {report}");
    }
}
