//! Users made by rules, what they come to as text, and what they may do.

use ironcache_acl::{Denied, Reason, User};
use ironcache_command::lookup;

fn words(text: &str) -> Vec<&[u8]> {
    text.split(' ').map(str::as_bytes).collect()
}

fn user(rules: &str) -> User {
    User::default().with(&words(rules)).unwrap_or_else(|error| panic!("{rules}: {error}"))
}

fn text(rules: &str) -> String {
    String::from_utf8(user(rules).text()).unwrap()
}

fn refused(rules: &str) -> String {
    User::default().with(&words(rules)).expect_err(rules).to_string()
}

fn tried(rules: &str, command: &str) -> Result<(), Denied> {
    let args = words(command);
    user(rules).check(lookup(args[0]).unwrap(), &args)
}

#[track_caller]
fn may(rules: &str, commands: &[&str]) {
    for command in commands {
        assert_eq!(tried(rules, command), Ok(()), "{rules}: {command}");
    }
}

#[track_caller]
fn may_not(rules: &str, reason: Reason, commands: &[&str]) {
    for command in commands {
        let denied = tried(rules, command).expect_err(command);
        assert_eq!(denied.reason, reason, "{rules}: {command}");
    }
}

#[test]
fn a_new_user_may_nothing_and_the_one_that_everybody_is_may_everything() {
    assert_eq!(String::from_utf8(User::default().text()).unwrap(), "off resetchannels -@all");
    let (open, closed) = (User::everybody(b""), User::everybody(b"p"));
    assert_eq!(String::from_utf8(open.text()).unwrap(), "on nopass ~* &* +@all");
    assert!(open.is_open() && open.may_everything() && open.authenticates(b"anything"));
    assert!(!closed.is_open() && closed.may_everything());
    assert!(closed.authenticates(b"p") && !closed.authenticates(b"q") && !closed.authenticates(b""));
}

#[test]
fn texts_are_those_of_redis() {
    assert_eq!(text("reset"), "off sanitize-payload resetchannels -@all");
    assert_eq!(
        text("on nopass ~a %R~b %W~c %RW~d &x &y +get"),
        "on nopass ~a %R~b %W~c ~d resetchannels &x &y -@all +get"
    );
    assert_eq!(text("%R~a %W~a"), "off ~a resetchannels -@all");
    assert_eq!(text("allkeys allchannels allcommands"), "off ~* &* +@all");
    assert_eq!(
        text("(+get ~x*) (+set %W~y* &c*)"),
        "off resetchannels -@all (~x* resetchannels -@all +get) (%W~y* resetchannels &c* -@all +set)"
    );
    assert_eq!(text("( +get ~x )"), "off resetchannels -@all (~x resetchannels -@all +get)");
    assert_eq!(
        text("+GET +@READ +config|GET +select|ABC"),
        "off resetchannels -@all +get +@read +config|get +select|ABC"
    );
    assert_eq!(text("skip-sanitize-payload on"), "on skip-sanitize-payload resetchannels -@all");
}

#[test]
fn of_each_subject_the_last_rule_is_kept() {
    assert_eq!(text("+get -get +get"), "off resetchannels -@all +get");
    assert_eq!(text("+config|get +config|set -config +config|get"), "off resetchannels -@all +config|get");
    assert_eq!(text("+select|0 +select"), "off resetchannels -@all +select");
    assert_eq!(text("+@all +get +@read"), "off resetchannels +@all", "what is said already");
    assert_eq!(text("+@all -get +@read"), "off resetchannels +@all -get +@read");
    assert_eq!(text("-get -@read"), "off resetchannels -@all");
}

#[test]
fn a_user_is_read_from_its_own_text() {
    for rules in [
        "on nopass ~* &* +@all",
        "reset on >p >q ~a %R~ &x -@all +@read -get +config|get +select|1 (+set ~y) (&z +@all -@dangerous %W~k)",
        "+@all -@all -select +select|0 +select|1",
    ] {
        let user = user(rules);
        assert_eq!(User::read(&user.text()).unwrap(), user, "{rules}");
    }
}

#[test]
fn passwords_come_and_go_by_what_they_are_or_hash_to() {
    let hash = "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940";
    assert!(user("on >p").authenticates(b"p") && user(&format!("on #{hash}")).authenticates(b"p"));
    assert!(!user("off >p").authenticates(b"p"), "a user that is off");
    assert!(!user("on").authenticates(b""), "a user without a password");
    assert!(user("on >q >p").authenticates(b"p") && user("on >q >p").authenticates(b"q"));
    assert!(!user("on >p <p").authenticates(b"p") && !user(&format!("on >p !{hash}")).authenticates(b"p"));
    assert!(user("on nopass").authenticates(b"p") && !user("on nopass >q").authenticates(b"p"));
    assert!(!user("on nopass resetpass").authenticates(b"p"));
    assert_eq!(text("on >p >p"), format!("on #{hash} resetchannels -@all"));
}

#[test]
fn rules_are_refused_in_redis_words() {
    let modifier = |rule: &str, why: &str| format!("ERR Error in ACL SETUSER modifier '{rule}': {why}");
    let unknown = "Unknown command or category name in ACL";
    for rule in ["+foo", "-foo", "+@foo", "+", "-@", "+config|foo", "-select|0", "(+foo)"] {
        assert_eq!(refused(rule), modifier(rule, unknown));
    }
    for rule in ["zzz", ")", "%X~a", "%~a", "%", "+get|", "(on)", "~a\tb", "&a\x0bb", "+get|a\tb"] {
        assert_eq!(refused(rule), modifier(rule, "Syntax error"));
    }
    assert_eq!(
        refused("+config|get|x"),
        modifier("+config|get|x", "Allowing first-arg of a subcommand is not supported")
    );
    assert!(
        refused("~* ~a")
            .starts_with(&modifier("~a", "Adding a pattern after the * pattern (or the 'allkeys' flag)"))
    );
    assert!(
        refused("&* &a")
            .starts_with(&modifier("&a", "Adding a pattern after the * pattern (or the 'allchannels' flag)"))
    );
    assert_eq!(
        refused("<p"),
        modifier("<p", "The password you are trying to remove from the user does not exist")
    );
    let no_hash =
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    assert_eq!(refused("#abc"), modifier("#abc", no_hash));
    assert_eq!(refused("!ABC"), modifier("!ABC", no_hash));
    assert_eq!(refused("on (+get ( ~x"), "ERR Unmatched parenthesis in acl selector starting at '(+get'.");
    let one = User::default().with(&[b"(~a) +get)"]).expect_err("what its text would not say").to_string();
    assert_eq!(one, modifier("(~a) +get)", "Syntax error"));
}

#[test]
fn commands_and_subcommands_are_judged_by_the_last_rule_about_them() {
    may("+get ~*", &["get a", "GET a", "auth x", "hello", "quit"]);
    may_not("+get ~*", Reason::Command, &["set a 1", "config get x"]);
    may("+@all -@dangerous ~*", &["get a", "config help", "client id"]);
    may_not(
        "+@all -@dangerous ~*",
        Reason::Command,
        &["config get x", "keys *", "client list", "acl setuser x"],
    );
    may("+config|get", &["config get x", "CONFIG GET x"]);
    may_not("+config|get", Reason::Command, &["config set x 1", "config nosuch"]);
    may("+config -config|set", &["config get x", "config nosuch"]);
    may_not("+config -config|set", Reason::Command, &["config set x 1"]);
    may("+select|0", &["select 0"]);
    may_not("+select|0", Reason::Command, &["select 1"]);
    may_not("+select|0 -select", Reason::Command, &["select 0"]);
    may_not("+select|0 -@fast", Reason::Command, &["select 0"]);
    let denied = tried("+config|get", "CONFIG SET x 1").unwrap_err();
    assert_eq!(denied.to_string(), "NOPERM this user has no permissions to run the 'config|set' command");
    assert_eq!(denied.dry_run(), "This user has no permissions to run the 'config|set' command");
    assert!(denied.at_exec().ends_with("reason: no permission to execute the command or subcommand"));
}

#[test]
fn keys_are_judged_by_what_is_done_with_them() {
    may("+@all ~a* %R~r %W~w", &["get abc", "set abc 1", "get r", "exists w", "set w 1", "strlen w"]);
    may("+@all %R~r %W~w", &["copy r w", "sort r store w", "sunionstore w r r"]);
    may_not(
        "+@all %R~r %W~w",
        Reason::Key,
        &["get w", "set r 1", "copy w r", "incr w", "set w 1 get", "exists x"],
    );
    may_not("+@all ~a", Reason::Key, &["mget a b"]);
    may("+@all %R~a %W~a", &["incr a"]);
    let denied = tried("+get ~a", "get b").unwrap_err();
    assert_eq!(
        denied.to_string(),
        "NOPERM this user has no permissions to access one of the keys used as arguments"
    );
    assert_eq!(denied.dry_run(), "This user has no permissions to access the 'b' key");
    assert!(denied.at_exec().ends_with("reason: no permission to touch the specified keys"));
}

#[test]
fn one_selector_has_to_allow_all_of_a_command() {
    let two = "+get ~a (+set ~b) (+mget ~a ~b)";
    may(two, &["get a", "set b 1", "mget a b"]);
    may_not(two, Reason::Key, &["get b", "set a 1"]);
    may_not(two, Reason::Command, &["incr a"]);
    assert_eq!(tried(two, "mget a c").unwrap_err().object, b"c");
    assert!(user("(~* &* +@all)").may_everything());
    assert!(!user("~* +@all (&*)").may_everything());
    assert!(!user("~* &* +@all -get").may_everything());
    assert!(
        !user("~* &* +@all -get +get").may_everything() || tried("~* &* +@all -get +get", "get a").is_ok()
    );
}
