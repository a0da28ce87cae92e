//! What a session answers itself, and in which order it refuses.

use super::*;

fn with_password() -> std::rc::Rc<Accounts> {
    std::rc::Rc::new(Accounts::new("secret"))
}

#[test]
fn checks_come_in_the_order_of_redis() {
    let node = Node { accounts: with_password(), ..replica() };
    let mut stranger = Session::new(1, node.accounts.everybody());
    check(
        &mut stranger,
        &node,
        &[
            ("nothing", "-ERR unknown command 'nothing', with args beginning with:"),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("GET k", "-NOAUTH Authentication required."),
            ("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH other secret", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH secret", "+OK"),
            ("MSET k 1 other 2", "-CROSSSLOT Keys in request don't hash to the same slot"),
            ("GET k", "-MOVED 7629 10.0.0.1:7000"),
        ],
    );
}

#[test]
fn hello_changes_the_protocol_only_if_all_of_it_is_right() {
    let mut client = session();
    for wrong in ["HELLO 4", "HELLO x", "HELLO 3 FOO", "HELLO 3 SETNAME \n", "HELLO 3 AUTH other x"] {
        assert!(take(&mut client, &primary(), wrong).starts_with('-'), "{wrong}");
        assert_eq!(client.protocol(), Protocol::Resp2, "{wrong}");
    }
    assert!(take(&mut client, &primary(), "HELLO 3 SETNAME me").starts_with("%7 $6 server $5 redis"));
    assert_eq!((client.protocol(), client.profile().name.as_str()), (Protocol::Resp3, "me"));
    assert_eq!(take(&mut client, &primary(), "CLIENT ID"), ":7");
}

#[test]
fn reset_forgets_all_but_what_the_client_is() {
    let mut client = session();
    let node = Node { accounts: with_password(), ..primary() };
    for request in ["HELLO 3 SETNAME me", "CLIENT SETINFO lib-name x", "READONLY", "WATCH k", "MULTI", "PING"]
    {
        assert!(!take(&mut client, &node, request).starts_with('-'), "{request}");
    }
    assert_eq!(take(&mut client, &node, "RESET"), "+RESET");
    assert_eq!((client.protocol(), client.trusted()), (Protocol::Resp2, Trusted::No));
    assert_eq!((client.queued(), client.is_readonly(), client.watch.is_none()), (None, false, true));
    let Profile { name, lib_name, lib_version: _ } = &**client.profile();
    assert_eq!((name.as_str(), lib_name.as_str()), ("", "x"));
}

#[test]
fn what_is_about_the_node_is_handed_on() {
    check(
        &mut session(),
        &primary(),
        &[
            ("INFO", "answer Info"),
            ("CONFIG GET x", "answer Config"),
            ("CLUSTER NODES", "answer Cluster"),
            ("ROLE", "answer Role"),
            ("TIME", "answer Time"),
            ("CLIENT INFO", "answer Myself"),
            ("CLIENT LIST", "answer Clients(All)"),
            ("CLIENT LIST ID 3 4", "answer Clients(Ids([3, 4]))"),
            ("CLIENT LIST TYPE pubsub", "answer Clients(Of(PubSub))"),
            ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ],
    );
}

#[test]
fn http_is_neither_executed_nor_answered() {
    let mut client = Session::new(1, with_password().everybody());
    check(&mut client, &primary(), &[("POST / HTTP/1.1", "Http"), ("host: localhost", "Http")]);
}

#[test]
fn a_name_is_shown_by_another_profile() {
    let mut client = session();
    let before = std::rc::Rc::clone(client.profile());
    check(
        &mut client,
        &primary(),
        &[
            ("PING", "+PONG"),
            (
                "CLIENT SETNAME a\u{7f}",
                "-ERR Client names cannot contain spaces, newlines or special characters.",
            ),
        ],
    );
    assert!(std::rc::Rc::ptr_eq(&before, client.profile()));
    check(&mut client, &primary(), &[("CLIENT SETNAME a", "+OK"), ("CLIENT GETNAME", "$1 a")]);
    assert!(!std::rc::Rc::ptr_eq(&before, client.profile()));
}
