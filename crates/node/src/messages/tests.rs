//! What goes, what waits, what is heard.

use super::batch::encode;
use super::*;
use ironcache_session::Audience;
use ironcache_types::{Incarnation, Member};

const ME: Member = Member { node: NodeId(1), incarnation: Incarnation(10) };

fn message<'a>(audience: Audience, channel: &'a [u8], payload: &'a [u8]) -> Message<'a> {
    Message { audience, channel, payload }
}

#[test]
fn a_batch_reads_back_and_its_bytes_are_those_of_version_1() {
    let messages = [message(Audience::Cluster, b"c", b"hi"), message(Audience::Shard, b"", b"")];
    let encoded: Vec<_> = messages.iter().map(Message::encode).collect();
    let body = encode(ME, 7, &encoded);
    let golden = [
        &[1u8][..],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[10, 0, 0, 0, 0, 0, 0, 0],
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &[1, 1, 0, 0, 0, 2, 0, 0, 0, b'c', b'h', b'i'],
        &[2, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(body, golden);
    assert_eq!(Batch::decode(&body), Ok(Batch { sender: ME, number: 7, messages: messages.to_vec() }));
}

#[test]
fn what_is_no_batch_is_refused_by_name() {
    let body = encode(ME, 7, &[message(Audience::Cluster, b"channel", b"payload").encode()]);
    assert_eq!(Batch::decode(&[2]), Err(BatchError::Version(2)));
    let mut other = body.clone();
    other[25] = 3;
    assert_eq!(Batch::decode(&other), Err(BatchError::Audience(3)));
    for len in (0..body.len()).filter(|len| *len != 25) {
        assert_eq!(Batch::decode(&body[..len]), Err(BatchError::Short), "{len}");
    }
    let mut huge = body;
    huge[26..30].fill(0xff);
    assert_eq!(Batch::decode(&huge), Err(BatchError::Short));
}

#[test]
fn above_its_bound_a_queue_drops_what_comes_and_keeps_the_order_of_the_rest() {
    let (mut queue, large) = (Queue::default(), vec![0; MESSAGE_BYTES_MAX - 64]);
    let numbered = |number: u8| -> Arc<[u8]> {
        let mut bytes = large.clone();
        bytes[0] = number;
        bytes.into()
    };
    let fits = QUEUE_BYTES_MAX / MESSAGE_BYTES_MAX;
    for number in 0..fits {
        assert_eq!(queue.push(&numbered(number as u8)), Ok(()));
    }
    assert_eq!(queue.push(&numbered(9)), Err(queue::Full));
    assert_eq!(queue.take_dropped(), 1);
    assert_eq!(queue.take_dropped(), 0);
    let first: Vec<u8> = queue.take().iter().map(|message| message[0]).collect();
    assert_eq!(first, [0], "a large one goes alone");
    assert_eq!(queue.push(&numbered(10)), Ok(()), "there is room again");
    let rest: Vec<u8> = (0..fits).flat_map(|_| queue.take()).map(|message| message[0]).collect();
    assert_eq!(rest, [1, 2, 3, 10]);
    assert!(queue.take().is_empty());
}

#[test]
fn a_message_too_long_to_go_is_dropped_alone() {
    let mut queue = Queue::default();
    assert_eq!(queue.push(&vec![0; MESSAGE_BYTES_MAX + 1].into()), Err(queue::Full));
    assert_eq!(queue.push(&vec![0; MESSAGE_BYTES_MAX].into()), Ok(()));
}

#[test]
fn small_messages_go_together() {
    let mut queue = Queue::default();
    for _ in 0..10_000 {
        queue.push(&vec![0; 100].into()).unwrap();
    }
    let batches: Vec<usize> =
        std::iter::from_fn(|| Some(queue.take().len()).filter(|taken| *taken > 0)).collect();
    assert_eq!(batches.iter().sum::<usize>(), 10_000);
    assert!(batches.len() <= 4, "{batches:?}");
}

#[test]
fn what_waits_for_a_node_that_does_not_answer_is_dropped_and_counted() {
    let (mut outbox, _postman) = pair();
    let payload = vec![0; 1 << 20];
    for _ in 0..20 {
        outbox.send([NodeId(2), NodeId(3)].into_iter(), &message(Audience::Cluster, b"c", &payload));
    }
    assert_eq!(outbox.dropped(), 2 * 5, "16 MiB hold 15 messages of 1 MiB and their names");
}

#[test]
fn a_batch_that_comes_late_or_twice_is_not_heard() {
    let mut heard = Heard::default();
    let next_life = Member { incarnation: Incarnation(11), ..ME };
    let other = Member { node: NodeId(2), ..ME };
    for (sender, number, turn) in [
        (ME, 1, Turn::Next),
        (ME, 2, Turn::Next),
        (ME, 1, Turn::Late),
        (ME, 2, Turn::Late),
        (other, 1, Turn::Next),
        (ME, 4, Turn::Next),
        (next_life, 1, Turn::Next),
        (next_life, 1, Turn::Late),
    ] {
        assert_eq!(heard.turn(sender, number), turn, "{sender:?} {number}");
    }
}
