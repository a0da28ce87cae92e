//! Users: who a session acts for, what that one may do, and what is asked and ordered about them.

use super::*;
use std::collections::BTreeMap;

fn users(users: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    users.iter().map(|(name, rules)| (name.as_bytes().to_vec(), rules.as_bytes().to_vec())).collect()
}

fn node(known: &[(&str, &str)]) -> Node {
    let mut accounts = Accounts::new("");
    accounts.set(Epoch(1), &users(known));
    Node { accounts: Rc::new(accounts), ..primary() }
}

fn come_to(node: &Node) -> Session {
    Session::new(7, node.accounts.everybody())
}

#[test]
fn a_user_comes_in_by_its_password_and_may_do_what_its_rules_say() {
    let node =
        node(&[("ada", "on >p ~a* -@all +get +multi +client +acl|whoami"), ("bob", "off >p ~* +@all")]);
    check(
        &mut come_to(&node),
        &node,
        &[
            ("ACL WHOAMI", "$7 default"),
            ("AUTH ada q", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH bob p", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("AUTH nobody p", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("ACL WHOAMI", "$7 default"),
            ("AUTH ada p", "+OK"),
            ("ACL WHOAMI", "$3 ada"),
            ("GET abc", "run get on 7638"),
            ("GET b", "-NOPERM this user has no permissions to access one of the keys used as arguments"),
            ("SET a 1", "-NOPERM this user has no permissions to run the 'set' command"),
            ("CONFIG GET x", "-NOPERM this user has no permissions to run the 'config|get' command"),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("RESET", "+RESET"),
            ("ACL WHOAMI", "$7 default"),
        ],
    );
}

#[test]
fn hello_authenticates_a_user_as_well() {
    let node = node(&[("ada", "on >p +@all"), ("default", "on >q ~* &* +@all")]);
    let mut client = come_to(&node);
    assert!(take(&mut client, &node, "HELLO 3").starts_with("-NOAUTH"));
    assert!(take(&mut client, &node, "HELLO 3 AUTH ada q").starts_with("-WRONGPASS"));
    let tab = "HELLO 3 SETNAME a\tb AUTH ada p";
    assert!(
        take(&mut client, &node, tab).starts_with("-ERR Client names"),
        "what stands first is looked at first"
    );
    assert!(take(&mut client, &node, "GET a").starts_with("-NOAUTH"));
    assert!(take(&mut client, &node, "HELLO 3 AUTH ada p").starts_with("%7"));
    assert_eq!(take(&mut client, &node, "ACL WHOAMI"), "$3 ada");
}

#[test]
fn what_a_user_may_not_do_spoils_its_transaction() {
    let node = node(&[("ada", "on nopass ~* -@all +get +multi +exec")]);
    check(
        &mut come_to(&node),
        &node,
        &[
            ("AUTH ada x", "+OK"),
            ("MULTI", "+OK"),
            ("GET a", "+QUEUED"),
            ("SET a 1", "-NOPERM this user has no permissions to run the 'set' command"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
}

#[test]
fn an_exec_that_a_user_may_not_run_ends_the_transaction_and_a_discard_does_not() {
    let node = node(&[("ada", "on nopass ~* -@all +get +multi")]);
    check(
        &mut come_to(&node),
        &node,
        &[
            ("AUTH ada x", "+OK"),
            ("MULTI", "+OK"),
            ("GET a", "+QUEUED"),
            ("DISCARD", "-NOPERM this user has no permissions to run the 'discard' command"),
            ("MULTI", "-ERR MULTI calls can not be nested"),
            (
                "EXEC",
                "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'exec' command",
            ),
            ("GET a", "run get on 15495"),
        ],
    );
}

#[test]
fn a_user_listens_and_publishes_by_its_channels_and_no_key_is_asked_for() {
    let node = node(&[("ada", "on nopass ~k resetchannels &c* +@all")]);
    let mut client = come_to(&node);
    let denied = "-NOPERM this user has no permissions to access one of the channels used as arguments";
    assert_eq!(take(&mut client, &node, "AUTH ada x"), "+OK");
    for refused in
        ["PUBLISH x 1", "SPUBLISH x 1", "SUBSCRIBE c x", "SSUBSCRIBE x", "PSUBSCRIBE c", "PSUBSCRIBE *"]
    {
        assert_eq!(take(&mut client, &node, refused), denied, "{refused}");
    }
    assert!(take(&mut client, &node, "PUBLISH c1 1").starts_with("answer"));
    assert!(take(&mut client, &node, "SPUBLISH c1 1").starts_with("answer"));
    for taken in ["SUBSCRIBE c1", "SSUBSCRIBE c1", "PSUBSCRIBE c*", "SUNSUBSCRIBE x", "UNSUBSCRIBE x"] {
        assert!(!take(&mut client, &node, taken).starts_with('-'), "{taken}");
    }
}

#[test]
fn users_that_have_fewer_channels_than_before_are_told_of() {
    let mut accounts = Accounts::new("");
    let rules = |ada| users(&[("ada", ada), ("bob", "on nopass &*")]);
    accounts.set(Epoch(1), &rules("on nopass &a &b"));
    let narrowed = |accounts: &mut Accounts, epoch, ada| {
        let changed = accounts.set(Epoch(epoch), &rules(ada));
        changed.narrowed.iter().map(|account| account.name().to_vec()).collect::<Vec<_>>()
    };
    assert!(narrowed(&mut accounts, 2, "on nopass &a &b &c").is_empty());
    assert_eq!(narrowed(&mut accounts, 3, "on nopass resetchannels &a"), [b"ada".to_vec()]);
    let ada = accounts.find(b"ada").expect("it is known");
    assert!(ada.may_listen_to(Kind::Shard, b"a") && !ada.may_listen_to(Kind::Channel, b"b"));
}

#[test]
fn rules_change_under_the_sessions_of_a_user() {
    let mut accounts = Accounts::new("");
    accounts.set(Epoch(1), &users(&[("ada", "on nopass ~* &* +@all")]));
    let mut node = Node { accounts: Rc::new(accounts), ..primary() };
    let mut client = come_to(&node);
    assert_eq!(take(&mut client, &node, "AUTH ada x"), "+OK");
    assert_eq!(take(&mut client, &node, "GET a"), "run get on 15495");
    let change = |node: &mut Node, epoch, known: &[(&str, &str)]| {
        Rc::get_mut(&mut node.accounts).expect("nobody else holds them").set(Epoch(epoch), &users(known))
    };
    change(&mut node, 2, &[("ada", "on nopass ~* &* +@all -get")]);
    assert!(take(&mut client, &node, "GET a").starts_with("-NOPERM"));
    let changed = change(&mut node, 3, &[]);
    let gone: Vec<_> = changed.gone.iter().map(|account| account.name().to_vec()).collect();
    assert_eq!(gone, [b"ada".to_vec()]);
    assert!(client.account().is_gone());
    assert!(take(&mut client, &node, "SET a 1").starts_with("-NOPERM"), "it may do nothing any more");
}

#[test]
fn default_is_everybody_until_it_is_set_and_then_requirepass_is_nobodys_password() {
    let mut accounts = Accounts::new("secret");
    assert!(accounts.everybody().user().authenticates(b"secret") && !accounts.is_default_set());
    accounts.set_requirepass("other");
    assert!(accounts.everybody().user().authenticates(b"other"));
    let changed = accounts.set(Epoch(1), &users(&[("default", "on >mine ~* &* +@all")]));
    assert!(changed.gone.is_empty() && changed.in_part.is_empty() && accounts.is_default_set());
    accounts.set_requirepass("third");
    assert!(accounts.everybody().user().authenticates(b"mine"));
    assert!(!accounts.everybody().user().authenticates(b"third"));
    accounts.set(Epoch(2), &users(&[]));
    assert!(accounts.everybody().user().authenticates(b"third"));
}

#[test]
fn who_has_not_said_who_they_are_may_go_on_once_everybody_may() {
    let mut accounts = Accounts::new("secret");
    let mut client = Session::new(1, accounts.everybody());
    accounts.set(Epoch(1), &users(&[]));
    let mut node = Node { accounts: Rc::new(accounts), ..primary() };
    assert_eq!(take(&mut client, &node, "GET a"), "-NOAUTH Authentication required.");
    Rc::get_mut(&mut node.accounts).expect("nobody else holds them").set_requirepass("");
    assert_eq!(take(&mut client, &node, "GET a"), "run get on 15495");
}

#[test]
fn rules_of_another_release_hold_as_far_as_they_are_known() {
    let mut accounts = Accounts::new("");
    let known =
        users(&[("ada", "on nopass ~* resetchannels -@all +get +nosuch|x"), ("eve", "on nonsense ~* +@all")]);
    let changed = accounts.set(Epoch(1), &known);
    assert_eq!(changed.in_part, [b"ada".to_vec(), b"eve".to_vec()]);
    let user =
        |name: &[u8]| String::from_utf8(accounts.find(name).expect("it is known").user().text()).unwrap();
    assert_eq!(user(b"ada"), "on nopass ~* resetchannels -@all +get");
    assert_eq!(user(b"eve"), "off resetchannels -@all");
    assert!(!accounts.find(b"ada").expect("it is known").is_whole());
}

#[test]
fn what_is_known_of_users_is_told() {
    let node = node(&[("ada", "on nopass ~a &* -@all +get (~b resetchannels -@all +set)")]);
    let hashed = "*12 $5 flags *2 $2 on $6 nopass $9 passwords *0 $8 commands $10 -@all +get $4 keys $2 ~a $8 channels $2 &* \
                  $9 selectors *1 *6 $8 commands $10 -@all +set $4 keys $2 ~b $8 channels $0";
    check(
        &mut come_to(&node),
        &node,
        &[
            ("ACL USERS", "*2 $3 ada $7 default"),
            (
                "ACL LIST",
                "*2 $65 user ada on nopass ~a &* -@all +get (~b resetchannels -@all +set) $34 user default on nopass ~* &* +@all",
            ),
            ("ACL GETUSER nobody", "$-1"),
            ("ACL CAT transaction", "*5 $7 discard $4 exec $5 multi $7 unwatch $5 watch"),
            ("ACL CAT nosuch", "-ERR Unknown category 'nosuch'"),
            ("ACL DRYRUN ada get a", "+OK"),
            ("ACL DRYRUN ada get c", "$50 This user has no permissions to access the 'c' key"),
            ("ACL DRYRUN ada set b 1", "+OK"),
            ("ACL DRYRUN ada incr a", "$54 This user has no permissions to run the 'incr' command"),
            ("ACL DRYRUN nobody get a", "-ERR User 'nobody' not found"),
            ("ACL DRYRUN ada nosuch", "-ERR Command 'nosuch' not found"),
            ("ACL DRYRUN ada get", "-ERR wrong number of arguments for 'get' command"),
            ("ACL DRYRUN ada config nosuch", "-ERR Command 'config' not found"),
            ("ACL DRYRUN ada config get", "-ERR wrong number of arguments for 'config|get' command"),
            ("ACL DRYRUN ada config", "-ERR wrong number of arguments for 'config' command"),
            ("ACL DRYRUN ada", "-ERR wrong number of arguments for 'acl|dryrun' command"),
            ("ACL GENPASS", "answer GeneratePassword { bits: 256 }"),
            ("ACL GENPASS 5", "answer GeneratePassword { bits: 5 }"),
            ("ACL GENPASS x", "-ERR value is not an integer or out of range"),
            (
                "ACL GENPASS 1 2",
                "-ERR unknown subcommand or wrong number of arguments for 'GENPASS'. Try ACL HELP.",
            ),
            ("ACL LOG", "answer AclLog(Show { most: 10 })"),
            ("ACL LOG -1", "answer AclLog(Show { most: 0 })"),
            ("ACL LOG reset", "answer AclLog(Reset)"),
            ("ACL NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try ACL HELP."),
        ],
    );
    assert_eq!(take(&mut come_to(&node), &node, "ACL GETUSER ada"), hashed);
}

#[test]
fn an_order_is_looked_at_before_the_log_is_asked_and_none_is_given_in_a_transaction() {
    let node = node(&[]);
    check(
        &mut come_to(&node),
        &node,
        &[
            ("ACL SETUSER a\tb on", "-ERR Usernames can't contain spaces or null characters"),
            ("ACL SETUSER ada zzz", "-ERR Error in ACL SETUSER modifier 'zzz': Syntax error"),
            ("ACL SETUSER ada on", "order SetUser { name: [97, 100, 97], rules: [[111, 110]] }"),
            ("ACL DELUSER default", "-ERR The 'default' user cannot be removed"),
            ("ACL DELUSER a", "order DeleteUsers { names: [[97]] }"),
            ("ACL LOAD", "order LoadUsers"),
            ("ACL SAVE", "order SaveUsers"),
            ("MULTI", "+OK"),
            ("ACL WHOAMI", "+QUEUED"),
            (
                "acl setUser ada on",
                "-ERR users and libraries are not changed, loaded or saved within a transaction",
            ),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
}
