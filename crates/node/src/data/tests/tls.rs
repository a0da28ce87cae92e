//! Clients by TLS, strangers at their door, and files that change.

use super::connections::{expect, expect_end, until};
use super::*;
use crate::data::tls::{AT_ONCE, NotMade, begin, follow, shake_hands};
use crate::data::{Entrance, connection};
use crate::tls::AuthClients;
use crate::tls::tests::pem;
use ironcache_settings::OutputLimit;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const LONG: Duration = Duration::from_secs(60);

/// A certificate of the node's, and its key, in files.
fn certify(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("node.crt"), pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(dir.join("node.key"), pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
    made.cert.der().clone()
}

struct Door {
    dir: TempDir,
    certificate: CertificateDer<'static>,
    node: Rc<DataNode>,
}

impl Door {
    async fn open(set: impl Fn(&mut Config)) -> Door {
        Door::of(World::alone(AckMode::Primary), set).await
    }

    async fn of(world: World, set: impl Fn(&mut Config)) -> Door {
        let dir = tempfile::tempdir().unwrap();
        let certificate = certify(dir.path());
        let (mut plane, _proposals) = plane(A, &world);
        let mut config = Config::clone(&plane.config);
        config.tls_port = 2;
        config.tls_cert_file = dir.path().join("node.crt").display().to_string();
        config.tls_key_file = dir.path().join("node.key").display().to_string();
        config.tls_auth_clients = AuthClients::No;
        set(&mut config);
        plane.reconfigure(config);
        let node = node(plane);
        begin(&node).await;
        Door { dir, certificate, node }
    }

    /// Comes to the TLS port, and has said nothing yet.
    async fn knock(&self) -> TcpStream {
        self.come(Entrance::Tls(Arc::clone(&self.node.places).acquire_owned().await.unwrap())).await
    }

    async fn come(&self, entrance: Entrance) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stream, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (served, addr) = accepted.unwrap();
        spawn_local(connection::serve(Rc::clone(&self.node), served, addr, entrance));
        stream.unwrap()
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.begin(self.knock().await).await
    }

    /// The client's side of a handshake.
    async fn begin(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn problem(&self) -> Option<String> {
        self.node.plane.borrow().tls.problem().map(str::to_owned)
    }

    fn print(&self) -> String {
        self.node.plane.borrow().tls.print().expect("there is a certificate")
    }
}

async fn hears(stream: &mut TlsStream<TcpStream>, text: &str) {
    let mut read = vec![0; text.len()];
    tokio::time::timeout(LONG, stream.read_exact(&mut read)).await.expect("in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&read), text);
}

#[tokio::test]
async fn a_client_by_tls_is_served_and_told_the_end() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let mut client = door.connect().await.unwrap();
            client.write_all(b"SET k v\r\nGET k\r\nQUIT\r\n").await.unwrap();
            hears(&mut client, "+OK\r\n$1\r\nv\r\n+OK\r\n").await;
            let end = tokio::time::timeout(LONG, client.read(&mut [0; 1])).await.expect("in time");
            assert_eq!(end.unwrap(), 0, "an end that nobody announced would be an error");
            assert_eq!(door.node.places.available_permits(), AT_ONCE);
        })
        .await;
}

#[tokio::test]
async fn a_client_by_tls_may_send_all_its_commands_before_it_reads_a_reply() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let mut client = door.connect().await.unwrap();
            let value: String = ('a'..='z').cycle().take(2_000).collect();
            client.write_all(format!("SET k {value}\r\n").as_bytes()).await.unwrap();
            hears(&mut client, "+OK\r\n").await;
            // Far more in either direction than sockets hold; each reply tells its place.
            let commands = 20_000;
            let all: String = (0..commands).map(|n| format!("ECHO {n}\r\nGET k\r\n")).collect();
            tokio::time::timeout(LONG, client.write_all(all.as_bytes())).await.expect("in time").unwrap();
            until(&door.node, |plane| plane.clients.kept_bytes() > 0).await;
            for n in 0..commands {
                let n = n.to_string();
                let (len, bytes) = (n.len(), value.len());
                hears(&mut client, &format!("${len}\r\n{n}\r\n${bytes}\r\n{value}\r\n")).await;
            }
            until(&door.node, |plane| plane.clients.kept_bytes() == 0).await;
        })
        .await;
}

#[tokio::test]
async fn a_client_by_tls_that_reads_nothing_is_closed_above_the_hard_limit() {
    LocalSet::new()
        .run_until(async {
            let limit = OutputLimit { hard_bytes: 1 << 20, ..OutputLimit::default() };
            let door = Door::open(|config| config.client_output_buffer_limit.normal = limit).await;
            let mut client = door.connect().await.unwrap();
            let value = "v".repeat(50_000);
            client.write_all(format!("SET k {value}\r\n").as_bytes()).await.unwrap();
            hears(&mut client, "+OK\r\n").await;
            // Nothing is read: the node has to end it, whatever the sockets take.
            let all = b"GET k\r\n".repeat(1_000);
            let _ = client.write_all(&all).await;
            until(&door.node, |plane| plane.clients.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn a_stranger_without_tls_is_told_so_and_ends() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let mut stranger = door.knock().await;
            stranger.write_all(b"*1\r\n$4\r\nPING\r\n").await.unwrap();
            expect(&mut stranger, "-ERR this port speaks TLS only\r\n").await;
            stranger.shutdown().await.unwrap();
            expect_end(&mut stranger).await;
            until(&door.node, |plane| plane.clients.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn a_stranger_that_says_nothing_makes_room_while_others_wait_for_its_place() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let served = listener.accept().await.unwrap().0;
            let server = door.node.plane.borrow().tls.server();
            let full = Semaphore::new(0);
            let shaken = shake_hands(served, server, &full, &door.node.turns);
            let ended = tokio::time::timeout(LONG, shaken).await.expect("in time");
            assert!(matches!(ended, Err(NotMade::Pressed)));
        })
        .await;
}

/// Bytes that the kernel has sent, or is to send, from this port, and that nobody has acknowledged.
#[cfg(target_os = "linux")]
fn unacknowledged(port: u16) -> u64 {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_it = format!(":{port:04X}");
    let queues = sockets.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        fields.nth(1).filter(|local| local.ends_with(&of_it))?;
        fields.nth(2)
    });
    let (to_send, _to_read) = queues.expect("the socket is there").split_once(':').unwrap();
    u64::from_str_radix(to_send, 16).unwrap()
}

/// A system that is left alone does so after 40 ms: a few of many may be seen then, whatever the machine does meanwhile.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_end_of_a_handshake_is_acknowledged_before_anything_else_comes() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (handshakes, mut waiting) = (20, 0);
            for _ in 0..handshakes {
                let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let port = stream.local_addr().unwrap().port();
                let served = listener.accept().await.unwrap().0;
                ironcache_host::net::prepare(&served, 0).unwrap();
                let server = door.node.plane.borrow().tls.server();
                let shaken = shake_hands(served, server, &door.node.places, &door.node.turns);
                let (client, made) = tokio::join!(door.begin(stream), shaken);
                waiting += u32::from(unacknowledged(port) > 0);
                drop((client.unwrap(), made.unwrap()));
            }
            assert!(waiting < handshakes / 4, "{waiting} of {handshakes} clients wait for the system");
        })
        .await;
}

#[tokio::test]
async fn a_stranger_that_says_nothing_or_half_of_a_handshake_ends_after_five_seconds() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let before = Instant::now();
            let (mut silent, mut half) = (door.knock().await, door.knock().await);
            // A record of 512 bytes, of which the first one comes.
            half.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
            for stranger in [&mut silent, &mut half] {
                expect_end(stranger).await;
                assert!(before.elapsed() >= Duration::from_secs(5), "{:?}", before.elapsed());
            }
        })
        .await;
}

/// A key that signs when it is told to.
#[derive(Debug)]
struct Held {
    key: Arc<dyn SigningKey>,
    begun: tokio::sync::mpsc::UnboundedSender<()>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
    waited_in_vain: AtomicBool,
}

#[derive(Debug)]
struct HeldKey(Arc<Held>);

#[derive(Debug)]
struct HeldSigner(Arc<Held>, Box<dyn Signer>);

impl SigningKey for HeldKey {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(HeldSigner(Arc::clone(&self.0), self.0.key.choose_scheme(offered)?)))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        self.0.key.algorithm()
    }
}

impl Signer for HeldSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.begun.send(()).unwrap();
        let told = self.0.go_on.lock().unwrap().recv_timeout(LONG / 4);
        self.0.waited_in_vain.fetch_or(told.is_err(), Ordering::Relaxed);
        self.1.sign(message)
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        self.1.scheme()
    }
}

#[tokio::test]
async fn others_are_served_while_a_client_is_signed_for() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let der =
                rustls::pki_types::PrivateKeyDer::from_pem_file(door.dir.path().join("node.key")).unwrap();
            let key = rustls::crypto::ring::sign::any_supported_type(&der).unwrap();
            let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
            let (release, go_on) = std::sync::mpsc::channel();
            let held = Held { key, begun, go_on: Mutex::new(go_on), waited_in_vain: AtomicBool::new(false) };
            let held = Arc::new(held);
            let certified =
                CertifiedKey::new(vec![door.certificate.clone()], Arc::new(HeldKey(Arc::clone(&held))));
            let server = rustls::ServerConfig::builder_with_provider(Arc::new(
                rustls::crypto::ring::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
            door.node.plane.borrow_mut().tls.serve_with(Arc::new(server));
            let coming = async { door.connect().await.unwrap() };
            let here = async {
                has_begun.recv().await.expect("it is signed for");
                let mut plain = door.come(Entrance::Plain).await;
                plain.write_all(b"PING\r\n").await.unwrap();
                expect(&mut plain, "+PONG\r\n").await;
                release.send(()).unwrap();
            };
            let (mut client, ()) = tokio::join!(coming, here);
            assert!(!held.waited_in_vain.load(Ordering::Relaxed), "who is here waited for who comes");
            client.write_all(b"PING\r\n").await.unwrap();
            hears(&mut client, "+PONG\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away_where_one_is_asked_for() {
    LocalSet::new()
        .run_until(async {
            let with = |word: AuthClients| {
                move |config: &mut Config| {
                    config.tls_auth_clients = word;
                    config.tls_ca_cert_file.clone_from(&config.tls_cert_file);
                }
            };
            let strict = Door::open(with(AuthClients::Yes)).await;
            let refused = async {
                let mut client = strict.connect().await?;
                client.write_all(b"PING\r\n").await?;
                client.read(&mut [0; 1]).await
            };
            assert!(!matches!(refused.await, Ok(1..)), "it was served");
            until(&strict.node, |plane| plane.clients.is_empty()).await;
            let lenient = Door::open(with(AuthClients::Optional)).await;
            let mut client = lenient.connect().await.unwrap();
            client.write_all(b"PING\r\n").await.unwrap();
            hears(&mut client, "+PONG\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn clients_are_sent_to_the_kind_of_port_that_they_came_by() {
    LocalSet::new()
        .run_until(async {
            let mut world = World::pair(AckMode::InSync);
            for node in world.state.nodes.values_mut() {
                node.tls_port = Some(2);
            }
            let (mut plane, _proposals) = plane(B, &world);
            show_plane(&mut plane, &world);
            let mut plain = client(&mut plane);
            let mut tls = client(&mut plane);
            tls.door = crate::data::Door::Tls;
            assert!(answer(&mut plane, &mut plain, "GET k").starts_with("-MOVED 7629 c1:1\r\n"));
            assert!(answer(&mut plane, &mut tls, "GET k").starts_with("-MOVED 7629 c1:2\r\n"));
            assert!(answer(&mut plane, &mut plain, "CLUSTER SLOTS").contains("$2\r\nc1\r\n:1\r\n"));
            assert!(answer(&mut plane, &mut tls, "CLUSTER SLOTS").contains("$2\r\nc1\r\n:2\r\n"));
            assert!(answer(&mut plane, &mut plain, "CLUSTER NODES").contains(" c1:1@1 "));
            assert!(answer(&mut plane, &mut tls, "CLUSTER NODES").contains(" c1:2@1 "));
            let both = "$4\r\nport\r\n:1\r\n$8\r\ntls-port\r\n:2\r\n";
            assert!(answer(&mut plane, &mut plain, "CLUSTER SHARDS").contains(both));
            for node in world.state.nodes.values_mut() {
                node.tls_port = Some(1);
            }
            world.index += 1;
            show_plane(&mut plane, &world);
            let shards = answer(&mut plane, &mut tls, "CLUSTER SHARDS");
            assert!(shards.contains("\r\n$8\r\ntls-port\r\n:1\r\n") && !shards.contains("$4\r\nport\r\n"));
        })
        .await;
}

fn show_plane(plane: &mut Plane, world: &World) {
    plane.apply_view(world.view());
}

#[tokio::test]
async fn a_spoilt_file_leaves_the_certificate_in_force_and_a_mended_one_replaces_it() {
    LocalSet::new()
        .run_until(async {
            let mut door = Door::open(|_| {}).await;
            spawn_local(follow(Rc::clone(&door.node)));
            let first = door.print();
            let mut before = door.connect().await.unwrap();
            std::fs::write(door.dir.path().join("node.crt"), "spoilt").unwrap();
            until(&door.node, |plane| plane.tls.problem().is_some()).await;
            let problem = door.problem().unwrap();
            assert!(problem.starts_with("tls-cert-file = ") && problem.ends_with("no certificate is in it"));
            assert_eq!(door.print(), first);
            assert!(door.connect().await.is_ok(), "with the certificate of before");
            door.certificate = certify(door.dir.path());
            until(&door.node, |plane| plane.tls.problem().is_none()).await;
            assert_ne!(door.print(), first);
            let mut after = door.connect().await.unwrap();
            for client in [&mut before, &mut after] {
                client.write_all(b"PING\r\n").await.unwrap();
                hears(client, "+PONG\r\n").await;
            }
        })
        .await;
}

#[tokio::test]
async fn config_set_reads_the_files_at_once_and_refuses_those_that_cannot_be_used() {
    LocalSet::new()
        .run_until(async {
            let door = Door::open(|_| {}).await;
            let first = door.print();
            let own = door.dir.path().join("node.crt").display().to_string();
            let mut plane = door.node.plane.borrow_mut();
            let mut admin = client(&mut plane);
            let refused = answer(&mut plane, &mut admin, "CONFIG SET tls-key-file /nowhere");
            let expected = "-ERR CONFIG SET failed (possibly related to argument 'tls-key-file') - tls-key-file = \
                            /nowhere: it cannot be read";
            assert!(refused.starts_with(expected), "{refused}");
            assert_eq!(plane.tls.print().unwrap(), first);
            assert!(!plane.config.tls_key_file.contains("nowhere"));
            certify(door.dir.path());
            assert_eq!(answer(&mut plane, &mut admin, &format!("CONFIG SET tls-cert-file {own}")), "+OK\r\n");
            assert_ne!(plane.tls.print().unwrap(), first);
            assert_eq!(answer(&mut plane, &mut admin, "CONFIG SET tls-protocols TLSv1.3"), "+OK\r\n");
        })
        .await;
}
