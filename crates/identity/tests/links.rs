//! Two sides and what lies between them: who proves what to whom, and what is refused.

use ironcache_identity::{Expect, HANDSHAKE_TIMEOUT, JoinCode, LinkError, PrivateKey, Secured, Side, Tls};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn side() -> Tls {
    Tls::new(&PrivateKey::generate().unwrap()).unwrap()
}

type Ends = (Result<Secured<DuplexStream>, LinkError>, Result<Secured<DuplexStream>, LinkError>);

async fn link(caller: &Tls, called: &Tls, expect: Expect) -> Ends {
    let (near, far) = duplex(1 << 14);
    tokio::join!(caller.connect(near, expect), called.accept(far, || ()))
}

#[tokio::test]
async fn both_sides_know_whose_key_the_other_proved() {
    let (caller, called) = (side(), side());
    for expect in [
        Expect::Key(called.hash()),
        Expect::OneOf(Arc::new(BTreeSet::from([caller.hash(), called.hash()]))),
        Expect::Anybody,
    ] {
        let (near, far) = link(&caller, &called, expect).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!(near.session.peer, Some(called.hash()));
        assert_eq!(far.session.peer, Some(caller.hash()));
        near.stream.write_all(b"hello").await.unwrap();
        near.stream.flush().await.unwrap();
        let mut heard = [0; 5];
        far.stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}

#[tokio::test]
async fn a_node_with_another_key_than_the_pinned_one_is_told_nothing() {
    let (caller, called, pinned) = (side(), side(), side());
    for expect in [Expect::Key(pinned.hash()), Expect::OneOf(Arc::default()), Expect::Key(caller.hash())] {
        let (near, far) = link(&caller, &called, expect).await;
        assert!(matches!(near, Err(LinkError::OtherKey)), "{near:?}");
        assert!(matches!(far, Err(LinkError::Handshake(_))), "{far:?}");
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_proves_nothing() {
    let (thief, called) = (PrivateKey::generate().unwrap(), side());
    // The certificate of a member, which every member shows to whoever asks, with the thief's own key.
    let member = PrivateKey::generate().unwrap();
    let pem = |key: &PrivateKey| key.to_pem();
    assert_ne!(pem(&thief), pem(&member));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = certificate_of(&member).await;
    let stolen = resolver(&provider, &thief, shown);
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone::Anyone))
        .with_client_cert_resolver(stolen);
    let (near, far) = duplex(1 << 14);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let (_, far) = tokio::join!(connector.connect("x".try_into().unwrap(), near), called.accept(far, || ()));
    assert!(matches!(far, Err(LinkError::Handshake(_))), "{far:?}");
}

/// As anybody sees it who calls.
async fn certificate_of(key: &PrivateKey) -> rustls::pki_types::CertificateDer<'static> {
    let (near, far) = link(&side(), &Tls::new(key).unwrap(), Expect::Anybody).await;
    far.unwrap();
    let (_, tls) = match near.unwrap().stream {
        tokio_rustls::TlsStream::Client(stream) => stream.into_inner(),
        tokio_rustls::TlsStream::Server(_) => unreachable!("it called"),
    };
    tls.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_caller_may_show_no_key_and_is_known_as_nobody() {
    let called = side();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone::Anyone))
        .with_no_client_auth();
    let (near, far) = duplex(1 << 14);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let (near, far) =
        tokio::join!(connector.connect("x".try_into().unwrap(), near), called.accept(far, || ()));
    near.unwrap();
    assert_eq!(far.unwrap().session.peer, None);
}

#[tokio::test]
async fn a_certificate_is_what_others_call_one_and_no_authority_made_it() {
    // A caller that asks authorities, as a browser does: the handshake fails for the issuer, not for the form.
    let called = side();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let (near, far) = duplex(1 << 14);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let (near, _) = tokio::join!(connector.connect("x".try_into().unwrap(), near), called.accept(far, || ()));
    let error = near.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn what_is_no_tls_is_refused_at_once_and_silence_in_time() {
    let called = side();
    let (mut near, far) = duplex(1 << 14);
    near.write_all(b"GET /status HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(called.accept(far, || ()).await, Err(LinkError::Handshake(_))));
    tokio::time::pause();
    let (silent, far) = duplex(1 << 14);
    let began = tokio::time::Instant::now();
    assert!(matches!(called.accept(far, || ()).await, Err(LinkError::TooSlow)));
    assert!(began.elapsed() >= HANDSHAKE_TIMEOUT);
    drop(silent);
}

#[tokio::test]
async fn the_code_proves_itself_to_the_other_side_of_this_connection_and_to_nobody_in_the_middle() {
    let (caller, called, middle) = (side(), side(), side());
    let code = JoinCode::draw().unwrap();
    let (near, far) = link(&caller, &called, Expect::Anybody).await;
    let (near, far) = (near.unwrap().session, far.unwrap().session);
    assert!(code.is_proved_by(&code.prove(Side::Caller, &near), Side::Caller, &far));
    assert!(code.is_proved_by(&code.prove(Side::Called, &far), Side::Called, &near));
    // Somebody in the middle passes on what each side says.
    let (to_middle, from_caller) = link(&caller, &middle, Expect::Anybody).await;
    let (to_called, from_middle) = link(&middle, &called, Expect::Anybody).await;
    drop((from_caller.unwrap(), to_called.unwrap()));
    let passed_on = code.prove(Side::Caller, &to_middle.unwrap().session);
    assert!(!code.is_proved_by(&passed_on, Side::Caller, &from_middle.unwrap().session));
}

#[tokio::test]
async fn two_connections_of_the_same_keys_share_nothing() {
    let (caller, called) = (side(), side());
    let (one, first) = link(&caller, &called, Expect::Key(called.hash())).await;
    let (two, second) = link(&caller, &called, Expect::Key(called.hash())).await;
    drop((first.unwrap(), second.unwrap()));
    assert_ne!(one.unwrap().session, two.unwrap().session);
}

/// What a library does that nobody told otherwise: it speaks older versions, keeps sessions, and takes early data.
mod lax {
    use super::*;
    use rustls::{ClientConnection, HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    type Versions = &'static [&'static SupportedProtocolVersion];

    pub(super) fn client(versions: Versions) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(anyone::Anyone))
            .with_no_client_auth();
        config.enable_early_data = true;
        Arc::new(config)
    }

    pub(super) async fn server(key: &PrivateKey, versions: Versions) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver = resolver(&provider, key, certificate_of(key).await);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.max_early_data_size = 1 << 10;
        Arc::new(config)
    }

    /// What came of a call.
    #[derive(Debug, PartialEq)]
    pub(super) struct Called {
        pub handshake: HandshakeKind,
        /// Was something said before the handshake, and was it taken?
        pub early: Option<bool>,
        /// To take the session up again.
        pub tickets: u32,
    }

    /// Calls, and reads one byte.
    pub(super) fn call(config: &Arc<ClientConfig>, addr: SocketAddr) -> Called {
        let mut tls = ClientConnection::new(Arc::clone(config), "x".try_into().unwrap()).unwrap();
        let mut tcp = TcpStream::connect(addr).unwrap();
        let said = tls.early_data().map(|mut early| early.write_all(b"pause").unwrap());
        rustls::Stream::new(&mut tls, &mut tcp).read_exact(&mut [0]).unwrap();
        Called {
            handshake: tls.handshake_kind().unwrap(),
            early: said.map(|()| tls.is_early_data_accepted()),
            tickets: tls.tls13_tickets_received(),
        }
    }

    /// Answers so many calls with one byte.
    pub(super) fn serve(config: &Arc<ServerConfig>, calls: usize) -> SocketAddr {
        let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::clone(config));
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for _ in 0..calls {
                let (mut tcp, _) = listener.accept().unwrap();
                let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
                stream.write_all(b"x").unwrap();
                stream.flush().unwrap();
                // Until the caller has gone.
                let _ = stream.read(&mut [0]);
            }
        });
        addr
    }
}

fn resolver(
    provider: &rustls::crypto::CryptoProvider,
    key: &PrivateKey,
    shown: rustls::pki_types::CertificateDer<'static>,
) -> Arc<rustls::sign::SingleCertAndKey> {
    use rustls::pki_types::pem::PemObject;
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap();
    let signing = provider.key_provider.load_private_key(der.into()).unwrap();
    Arc::new(rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(vec![shown], signing)))
}

#[tokio::test]
async fn an_older_version_of_tls_is_refused_on_both_sides() {
    const OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let key = PrivateKey::generate().unwrap();
    let (caller, called) = (side(), Tls::new(&key).unwrap());
    let old_client = tokio_rustls::TlsConnector::from(lax::client(OLD));
    let old_server = tokio_rustls::TlsAcceptor::from(lax::server(&key, OLD).await);

    let (near, far) = duplex(1 << 14);
    let (near, far) =
        tokio::join!(old_client.connect("x".try_into().unwrap(), near), called.accept(far, || ()));
    assert!(near.is_err() && matches!(far, Err(LinkError::Handshake(_))), "{near:?} {far:?}");

    let (near, far) = duplex(1 << 14);
    let (near, far) = tokio::join!(caller.connect(near, Expect::Anybody), old_server.accept(far));
    assert!(far.is_err() && matches!(near, Err(LinkError::Handshake(_))), "{near:?}");

    // They are not refused for anything else.
    let (near, far) = duplex(1 << 14);
    let (near, far) = tokio::join!(old_client.connect("x".try_into().unwrap(), near), old_server.accept(far));
    near.and(far.map(drop)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_taken_up_again_and_nothing_is_said_before_the_keys_are_proved() {
    use rustls::HandshakeKind::{Full, Resumed};
    const NEW: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let key = PrivateKey::generate().unwrap();
    let called = Tls::new(&key).unwrap();
    let client = lax::client(NEW);
    let call = async |addr| {
        let client = Arc::clone(&client);
        tokio::task::spawn_blocking(move || lax::call(&client, addr)).await.unwrap()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = listener.local_addr().unwrap();
    let first = lax::Called { handshake: Full, early: None, tickets: 0 };
    for _ in 0..2 {
        let (told, open) = tokio::join!(call(ours), serve_once(&listener, &called));
        assert_eq!(told, first, "nothing was given to take up");
        drop(open);
    }
    // Another server with the same key gives what ours does not, and it is of no use here.
    let theirs = lax::serve(&lax::server(&key, NEW).await, 3);
    assert_eq!(call(theirs).await.handshake, Full);
    let again = call(theirs).await;
    assert_eq!((again.handshake, again.early), (Resumed, Some(true)), "the caller knows how");
    let (told, open) = tokio::join!(call(ours), serve_once(&listener, &called));
    assert_eq!(told, lax::Called { handshake: Full, early: Some(false), tickets: 0 });
    drop(open);
    // Nor does ours take up what another gave.
    let (caller, config) = (side(), lax::server(&key, NEW).await);
    for _ in 0..2 {
        let (near, far) = duplex(1 << 14);
        let accept = tokio_rustls::TlsAcceptor::from(Arc::clone(&config)).accept(far);
        let (near, far) = tokio::join!(caller.connect(near, Expect::Key(called.hash())), accept);
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        assert_eq!(far.get_ref().1.handshake_kind(), Some(Full));
        far.write_all(b"x").await.unwrap();
        far.flush().await.unwrap();
        near.stream.read_exact(&mut [0]).await.unwrap();
    }
}

/// Takes a call, and answers with one byte.
async fn serve_once(listener: &tokio::net::TcpListener, called: &Tls) -> Secured<tokio::net::TcpStream> {
    let (tcp, _) = listener.accept().await.unwrap();
    let mut secured = called.accept(tcp, || ()).await.unwrap();
    secured.stream.write_all(b"x").await.unwrap();
    secured.stream.flush().await.unwrap();
    secured
}

/// A caller that believes everybody.
mod anyone {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    }
}
