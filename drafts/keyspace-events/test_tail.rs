
/// The channels and payloads that a client was left since the last look.
fn heard(listener: &Client) -> Vec<String> {
    let text = String::from_utf8(listener.inbox.as_ref().unwrap().take()).unwrap();
    let messages = text.split("*4\r\n$8\r\npmessage\r\n").skip(1);
    messages.map(|message| message.split("\r\n").skip(3).step_by(2).take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn what_becomes_of_keys_is_told_as_far_as_it_is_wanted() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let (mut listener, mut other) = (client(&mut plane), client(&mut plane));
    answer(&mut plane, &mut listener, "PSUBSCRIBE __key*__:*");
    answer(&mut plane, &mut other, "SET k 1");
    assert_eq!(heard(&listener), [""; 0]);
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events KEA");
    assert!(answer(&mut plane, &mut other, "CONFIG GET notify-keyspace-events").contains("AKE"));
    answer(&mut plane, &mut other, "SET k 1 EX 100");
    assert_eq!(
        heard(&listener),
        ["__keyspace@0__:k set", "__keyevent@0__:set k", "__keyspace@0__:k expire", "__keyevent@0__:expire k"]
    );
    for request in ["MULTI", "LPUSH l a", "LPOP l", "EXEC"] {
        answer(&mut plane, &mut other, request);
    }
    let expected = ["lpush", "lpop", "del"];
    let of_events: Vec<String> =
        heard(&listener).into_iter().filter(|told| told.starts_with("__keyspace")).collect();
    assert_eq!(of_events, expected.map(|event| format!("__keyspace@0__:l {event}")));
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events Ex");
    answer(&mut plane, &mut other, "SET k 1 PX 1");
    let node = node(plane);
    let began = std::time::Instant::now();
    while heard(&listener) != ["__keyevent@0__:expired k"] {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "it expires in time");
        crate::data::clockwork::expire(&node);
    }
    let mut plane = node.plane.borrow_mut();
    assert_eq!(plane.outbox.waiting(), [], "nothing of it goes to other nodes");
    answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events Am");
    answer(&mut plane, &mut other, "SET k 1");
    assert_eq!(heard(&listener), [""; 0]);
    let refused = answer(&mut plane, &mut other, "CONFIG SET notify-keyspace-events Kq");
    assert!(refused.contains("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."), "{refused}");
}
