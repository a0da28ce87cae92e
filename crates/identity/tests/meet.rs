//! The first contact, between two sides of which neither knows the other's key.

use ironcache_identity::{Expect, JoinCode, MeetError, PrivateKey, Secured, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

async fn strangers() -> (Secured<DuplexStream>, Secured<DuplexStream>) {
    let side = || Tls::new(&PrivateKey::generate().unwrap()).unwrap();
    let (caller, called) = (side(), side());
    let (near, far) = duplex(1 << 14);
    let (near, far) = tokio::join!(caller.connect(near, Expect::Anybody), called.accept(far, || ()));
    (near.unwrap(), far.unwrap())
}

#[tokio::test]
async fn who_holds_the_code_is_known_by_its_key_from_then_on() {
    let code = JoinCode::draw().unwrap();
    let (mut near, mut far) = strangers().await;
    let (heard, asked) = tokio::join!(near.meet(&code), far.meet(&code));
    assert_eq!(Some(heard.unwrap()), near.session.peer);
    assert_eq!(Some(asked.unwrap()), far.session.peer);
    // What follows is said on the same connection.
    near.stream.write_all(b"you are node 7").await.unwrap();
    near.stream.flush().await.unwrap();
    let mut order = [0; 14];
    far.stream.read_exact(&mut order).await.unwrap();
    assert_eq!(&order, b"you are node 7");
}

#[tokio::test]
async fn who_is_called_proves_nothing_to_whoever_holds_another_code() {
    let (mut near, mut far) = strangers().await;
    let (mine, other) = (JoinCode::draw().unwrap(), JoinCode::draw().unwrap());
    let asks = async {
        let met = near.meet(&other).await;
        (met, near)
    };
    let answers = async move {
        let met = far.meet(&mine).await;
        drop(far);
        met
    };
    let ((met, _near), answered) = tokio::join!(asks, answers);
    assert!(matches!(answered, Err(MeetError::OtherCode)), "{answered:?}");
    assert!(matches!(met, Err(MeetError::Broken(_))), "not a byte came back: {met:?}");
}

#[tokio::test]
async fn who_calls_obeys_nobody_who_answers_with_something_else() {
    let code = JoinCode::draw().unwrap();
    let (mut near, mut far) = strangers().await;
    let echo = async {
        let mut asked = [0; 32];
        far.stream.read_exact(&mut asked).await.unwrap();
        // The caller's own proof, sent back.
        far.stream.write_all(&asked).await.unwrap();
        far.stream.flush().await.unwrap();
    };
    let (met, ()) = tokio::join!(near.meet(&code), echo);
    assert!(matches!(met, Err(MeetError::OtherCode)), "{met:?}");
}

#[tokio::test]
async fn silence_ends_in_time() {
    let code = JoinCode::draw().unwrap();
    let (_near, mut far) = strangers().await;
    tokio::time::pause();
    assert!(matches!(far.meet(&code).await, Err(MeetError::TooSlow)));
}
