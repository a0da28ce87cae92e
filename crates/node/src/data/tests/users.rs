//! Users: orders that the log takes, what holds once they are applied, and what becomes of those who are users no more.

use super::connections::{connect, expect, expect_end, until};
use super::*;
use crate::data::{Asked, Ordered};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

const LONG: Duration = Duration::from_secs(20);

/// A node, the log that it proposes to, and the world that is applied of it.
pub(super) struct Log {
    pub node: Rc<DataNode>,
    pub world: World,
    proposals: mpsc::UnboundedReceiver<ToControl>,
}

impl Log {
    pub(super) fn new(set: impl Fn(&mut Config)) -> Self {
        let world = World::alone(AckMode::Primary);
        let (mut plane, proposals) = plane(A, &world);
        let mut config = Config::clone(&plane.config);
        set(&mut config);
        plane.reconfigure(config);
        Self { node: node(plane), world, proposals }
    }

    /// The next order.
    pub(super) async fn asked(&mut self) -> (Command, Asked) {
        loop {
            let next =
                tokio::time::timeout(LONG, self.proposals.recv()).await.expect("in time").expect("it runs");
            if let ToControl { command, rejected: _, asked: Some(asked) } = next {
                return (command, asked);
            }
        }
    }

    /// The log takes it, or refuses it, and the node applies what it is.
    pub(super) fn take(&mut self, (command, Asked { origin, outcome }): (Command, Asked)) {
        self.world.index += 1;
        let applied = self.world.state.apply_of(self.world.index, &command, Some(&origin));
        let refused = |why: ironcache_control::Rejection| ironcache_raft::Refusal::from(&why);
        let answer: Ordered = Ok((self.world.index, applied.map(drop).map_err(refused)));
        assert!(outcome.send(answer).is_ok(), "somebody waits for it");
        show(&self.node, &self.world);
    }

    /// Sends an order; the log takes what comes of it.
    async fn order(&mut self, stream: &mut TcpStream, order: &str, reply: &str) {
        stream.write_all(order.as_bytes()).await.unwrap();
        let asked = self.asked().await;
        self.take(asked);
        expect(stream, reply).await;
    }
}

async fn said(stream: &mut TcpStream, request: &str, reply: &str) {
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    expect(stream, reply).await;
}

#[tokio::test]
async fn a_user_that_was_set_comes_in_and_is_held_to_its_rules() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let (mut admin, mut client) = (connect(&log.node).await, connect(&log.node).await);
            log.order(&mut admin, "ACL SETUSER ada on >p ~a* +get +acl|whoami\r\n", "+OK\r\n").await;
            said(&mut client, "AUTH ada p", "+OK\r\n").await;
            said(&mut client, "ACL WHOAMI", "$3\r\nada\r\n").await;
            said(&mut client, "GET abc", "$-1\r\n").await;
            said(
                &mut client,
                "SET abc 1",
                "-NOPERM this user has no permissions to run the 'set' command\r\n",
            )
            .await;
            log.order(&mut admin, "ACL SETUSER ada +set\r\n", "+OK\r\n").await;
            said(&mut client, "SET abc 1", "+OK\r\n").await;
            admin.write_all(b"CLIENT LIST\r\n").await.unwrap();
            let mut shown = vec![0; 64 << 10];
            let read = tokio::time::timeout(LONG, admin.read(&mut shown)).await.expect("in time").unwrap();
            let shown = String::from_utf8_lossy(&shown[..read]);
            assert!(shown.contains(" user=ada ") && shown.contains(" user=default "), "{shown}");
            let record = log.world.state.audit.records.back().expect("an order is audited");
            assert!(record.from.as_deref().is_some_and(|from| from.starts_with("127.0.0.1:")), "{record:?}");
        })
        .await;
}

#[tokio::test]
async fn connections_of_a_user_that_is_deleted_end_and_the_one_that_deleted_itself_hears_so_first() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let mut admin = connect(&log.node).await;
            log.order(&mut admin, "ACL SETUSER ada on nopass ~* +@all\r\n", "+OK\r\n").await;
            let mut killed = connect(&log.node).await;
            said(&mut killed, "AUTH ada x", "+OK\r\n").await;
            said(&mut admin, "CLIENT KILL USER ada", ":1\r\n").await;
            expect_end(&mut killed).await;
            let (mut first, mut second) = (connect(&log.node).await, connect(&log.node).await);
            said(&mut first, "AUTH ada x", "+OK\r\n").await;
            said(&mut second, "AUTH ada x", "+OK\r\n").await;
            log.order(&mut first, "ACL DELUSER ada nobody\r\n", ":1\r\n").await;
            expect_end(&mut first).await;
            expect_end(&mut second).await;
            said(&mut admin, "PING", "+PONG\r\n").await;
            said(&mut admin, "ACL DELUSER ada", ":0\r\n").await;
            said(&mut admin, "CLIENT KILL USER ada", "-ERR No such user 'ada'\r\n").await;
            until(&log.node, |plane| plane.clients.len() == 1).await;
        })
        .await;
}

#[tokio::test]
async fn whoever_listens_to_more_than_its_user_may_ends_and_the_one_that_ordered_it_hears_so_first() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let mut admin = connect(&log.node).await;
            log.order(&mut admin, "ACL SETUSER ada on nopass ~* &* +@all\r\n", "+OK\r\n").await;
            let mut clients = Vec::new();
            for (order, reply) in [
                ("SUBSCRIBE c1", "*3\r\n$9\r\nsubscribe\r\n$2\r\nc1\r\n:1\r\n"),
                ("SUBSCRIBE c2", "*3\r\n$9\r\nsubscribe\r\n$2\r\nc2\r\n:1\r\n"),
                ("PSUBSCRIBE c*", "*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:1\r\n"),
                ("PSUBSCRIBE c1*", "*3\r\n$10\r\npsubscribe\r\n$3\r\nc1*\r\n:1\r\n"),
                ("SSUBSCRIBE c2", "*3\r\n$10\r\nssubscribe\r\n$2\r\nc2\r\n:1\r\n"),
            ] {
                let mut client = connect(&log.node).await;
                said(&mut client, "AUTH ada x", "+OK\r\n").await;
                said(&mut client, order, reply).await;
                clients.push(client);
            }
            // Of another user, to the same channel.
            let mut other = connect(&log.node).await;
            said(&mut other, "SUBSCRIBE c2", "*3\r\n$9\r\nsubscribe\r\n$2\r\nc2\r\n:1\r\n").await;
            let mut itself = connect(&log.node).await;
            itself.write_all(b"HELLO 3 AUTH ada x\r\n").await.unwrap();
            let mut introduction = vec![0; 4096];
            let _ =
                tokio::time::timeout(LONG, itself.read(&mut introduction)).await.expect("in time").unwrap();
            said(&mut itself, "SUBSCRIBE c3", ">3\r\n$9\r\nsubscribe\r\n$2\r\nc3\r\n:1\r\n").await;
            log.order(&mut itself, "ACL SETUSER ada resetchannels &c1 &c1*\r\n", "+OK\r\n").await;
            expect_end(&mut itself).await;
            for ended in [1, 2, 4] {
                expect_end(&mut clients[ended]).await;
            }
            for stays in [0, 3] {
                said(&mut clients[stays], "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
            }
            said(&mut other, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn an_order_that_others_were_quicker_than_is_worked_out_again() {
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|_| {});
            let (mut one, mut other) = (connect(&log.node).await, connect(&log.node).await);
            one.write_all(b"ACL SETUSER ada +get\r\n").await.unwrap();
            let first = log.asked().await;
            other.write_all(b"ACL SETUSER ada +set\r\n").await.unwrap();
            let second = log.asked().await;
            log.take(second);
            expect(&mut other, "+OK\r\n").await;
            log.take(first);
            let again = log.asked().await;
            log.take(again);
            expect(&mut one, "+OK\r\n").await;
            let rules = log.world.state.users.by_name.get(&b"ada"[..]).expect("both have set it");
            assert_eq!(String::from_utf8_lossy(rules), "off resetchannels -@all +set +get");
        })
        .await;
}

#[tokio::test]
async fn users_are_saved_to_a_file_and_those_of_a_file_replace_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.acl");
    LocalSet::new()
        .run_until(async {
            let mut log = Log::new(|config| config.aclfile = path.display().to_string());
            let mut admin = connect(&log.node).await;
            let mut user = connect(&log.node).await;
            log.order(&mut admin, "ACL SETUSER ada on nopass ~a +@read\r\n", "+OK\r\n").await;
            said(&mut user, "AUTH ada x", "+OK\r\n").await;
            said(&mut admin, "ACL SAVE", "+OK\r\n").await;
            let saved = std::fs::read_to_string(&path).unwrap();
            assert_eq!(
                saved,
                "user ada on nopass ~a resetchannels -@all +@read\nuser default on nopass ~* &* +@all\n"
            );
            std::fs::write(&path, "user bob on +nosuch\n").unwrap();
            admin.write_all(b"ACL LOAD\r\n").await.unwrap();
            let mut start = [0; 5];
            tokio::time::timeout(LONG, admin.read_exact(&mut start)).await.expect("in time").unwrap();
            assert_eq!(&start, b"-ERR ");
            let mut admin = connect(&log.node).await;
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            let endless = format!(
                "-ERR Error loading ACLs, opening file '{}': a file of at most 4194304 bytes is expected\r\n",
                path.display()
            );
            said(&mut admin, "ACL LOAD", &endless).await;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "user bob on nopass ~b +get\n").unwrap();
            log.order(&mut admin, "ACL LOAD\r\n", "+OK\r\n").await;
            expect_end(&mut user).await;
            said(&mut admin, "ACL USERS", "*2\r\n$3\r\nbob\r\n$7\r\ndefault\r\n").await;
        })
        .await;
}

#[test]
fn exec_judges_each_command_by_the_rules_that_hold_then() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let set = |rules: &str, world: &mut World, plane: &mut Plane| {
        let (seen, by, deleted) = (world.state.users.epoch, b"default".to_vec(), BTreeSet::new());
        let set = [(b"ada".to_vec(), rules.as_bytes().to_vec())].into();
        world.apply(&Command::ChangeUsers { seen, by, set, deleted });
        plane.apply_view(world.view());
    };
    set("on nopass ~* &* +@all", &mut world, &mut plane);
    let mut client = client(&mut plane);
    for command in ["AUTH ada x", "MULTI", "SET k 1", "INCR k", "GET k"] {
        assert!(!answer(&mut plane, &mut client, command).starts_with('-'), "{command}");
    }
    set("on nopass ~* &* +@all -incr", &mut world, &mut plane);
    let denied = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                  command is no longer allowed for the following reason: no permission to execute the command or subcommand";
    assert_eq!(answer(&mut plane, &mut client, "EXEC"), format!("*3\r\n+OK\r\n{denied}\r\n$1\r\n1\r\n"));
    let entry = plane.acl_log.iter().next().expect("it is remembered");
    assert_eq!((entry.attempt.reason(), entry.attempt.context.word()), ("command", "multi"));
}

#[test]
fn what_a_script_calls_is_judged_by_the_user_who_runs_it_also_within_a_transaction() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let (seen, by, deleted) = (Epoch(0), b"default".to_vec(), BTreeSet::new());
    let set = [(b"ada".to_vec(), b"on nopass ~a* resetchannels &c* +@all -set".to_vec())].into();
    world.apply(&Command::ChangeUsers { seen, by, set, deleted });
    plane.apply_view(world.view());
    let mut client = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut client, "AUTH ada x"), "+OK\r\n");
    let denied = [
        ("redis.call('set','a','1')", "run this command or subcommand"),
        ("redis.call('get','b')", "access at least one of the keys mentioned in the command arguments"),
        ("redis.call('publish','x','1')", "publish to the channel mentioned in the command"),
    ];
    for (call, what) in denied {
        let reply = answer(&mut plane, &mut client, &format!("EVAL return({call}) 0"));
        assert!(
            reply.starts_with(&format!("-ERR The user executing the script can't {what} script: ")),
            "{reply}"
        );
    }
    for (call, reply) in [
        ("redis.call('incr','a')", ":1\r\n"),
        ("redis.acl_check_cmd('get','b')", "$-1\r\n"),
        ("redis.acl_check_cmd('GET','a')", ":1\r\n"),
        ("redis.acl_check_cmd('set')", "$-1\r\n"),
        ("redis.acl_check_cmd('publish','c','1')", ":1\r\n"),
    ] {
        assert_eq!(answer(&mut plane, &mut client, &format!("EVAL return({call}) 0")), reply, "{call}");
    }
    for nonsense in ["'nosuch'", "'config','nosuch'"] {
        let reply = answer(&mut plane, &mut client, &format!("EVAL redis.acl_check_cmd({nonsense}) 0"));
        assert!(
            reply.starts_with("-ERR Invalid command passed to redis.acl_check_cmd() script: "),
            "{reply}"
        );
    }
    for queued in ["MULTI", "EVAL return(redis.pcall('set','a','1')) 0"] {
        assert!(!answer(&mut plane, &mut client, queued).starts_with('-'));
    }
    assert_eq!(
        answer(&mut plane, &mut client, "EXEC"),
        "*1\r\n-ERR The user executing the script can't run this command or subcommand\r\n"
    );
    let noted = |entry: &ironcache_acl::LogEntry| {
        let object = String::from_utf8_lossy(&entry.attempt.object).into_owned();
        (entry.attempt.reason(), entry.attempt.context.word(), object, entry.count)
    };
    let noted: Vec<_> = plane.acl_log.iter().map(noted).collect();
    let entry = |reason, object: &str, count| (reason, "lua", object.to_owned(), count);
    assert_eq!(noted, [entry("command", "set", 2), entry("channel", "x", 1), entry("key", "b", 1)]);
}

#[test]
fn whatever_a_script_asks_about_is_answered() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut world = World::alone(AckMode::Primary);
    let (seen, by, deleted) = (Epoch(0), b"default".to_vec(), BTreeSet::new());
    let set = [(b"ada".to_vec(), b"on nopass ~a resetchannels &c +@all".to_vec())].into();
    world.apply(&Command::ChangeUsers { seen, by, set, deleted });
    plane.apply_view(world.view());
    let mut client = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut client, "AUTH ada x"), "+OK\r\n");
    // As in Redis a wrong number of arguments is no mistake here.
    for spec in ironcache_command::table() {
        for more in ["", ",'1'", ",'1','9'", ",'streams','x','y'"] {
            let asked = format!("EVAL return({{redis.acl_check_cmd('{}'{more})}}) 0", spec.name);
            let reply = answer(&mut plane, &mut client, &asked);
            assert!(reply.starts_with('*') || reply.contains("Invalid command passed"), "{asked}: {reply}");
        }
    }
}

#[test]
fn what_was_refused_is_in_the_log_of_the_node() {
    let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
    let mut client = client(&mut plane);
    assert!(answer(&mut plane, &mut client, "AUTH eve x").starts_with("-WRONGPASS"));
    assert!(answer(&mut plane, &mut client, "AUTH eve y").starts_with("-WRONGPASS"));
    let shown = answer(&mut plane, &mut client, "ACL LOG");
    for part in [
        "*1\r\n*14\r\n$5\r\ncount\r\n:2\r\n$6\r\nreason\r\n$4\r\nauth\r\n",
        "$6\r\nobject\r\n$4\r\nAUTH\r\n",
        "$3\r\neve\r\n",
        "cmd=auth user=default",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(answer(&mut plane, &mut client, "ACL LOG RESET"), "+OK\r\n");
    assert_eq!(answer(&mut plane, &mut client, "ACL LOG"), "*0\r\n");
    assert!(answer(&mut plane, &mut client, "ACL GENPASS 5").starts_with("$2\r\n"));
    assert_eq!(answer(&mut plane, &mut client, "ACL GENPASS").len(), "$64\r\n\r\n".len() + 64);
}

#[test]
fn requirepass_is_the_password_of_default_until_that_user_is_set() {
    let mut world = World::alone(AckMode::Primary);
    let (mut plane, _proposals) = plane(A, &world);
    let mut admin = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut admin, "CONFIG SET requirepass p"), "+OK\r\n");
    let mut stranger = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut stranger, "PING"), "-NOAUTH Authentication required.\r\n");
    assert_eq!(answer(&mut plane, &mut stranger, "AUTH default p"), "+OK\r\n");
    let set = [(b"default".to_vec(), b"on nopass ~* &* +@all".to_vec())].into();
    let (seen, by, deleted) = (Epoch(0), b"default".to_vec(), BTreeSet::new());
    world.apply(&Command::ChangeUsers { seen, by, set, deleted });
    plane.apply_view(world.view());
    let mut anybody = client(&mut plane);
    assert_eq!(answer(&mut plane, &mut anybody, "PING"), "+PONG\r\n");
    assert!(answer(&mut plane, &mut admin, "CONFIG SET requirepass q").starts_with("-ERR CONFIG SET failed"));
}

#[tokio::test]
async fn a_node_that_has_applied_nothing_of_its_cluster_yet_lets_nobody_do_anything() {
    LocalSet::new()
        .run_until(async {
            let (to_control, _proposals) = mpsc::unbounded_channel();
            let mut plane =
                Plane::new(Arc::new(Config::default()), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
            plane.is_member = true;
            let (node, mut world) = (node(plane), World::alone(AckMode::Primary));
            let mut stream = connect(&node).await;
            stream.write_all(b"CONFIG GET maxclients\r\nPING\r\n").await.unwrap();
            until(&node, |plane| plane.parked == 1).await;
            let set = [(b"default".to_vec(), b"on nopass ~* &* +@all -config".to_vec())].into();
            let (seen, by, deleted) = (Epoch(0), b"default".to_vec(), BTreeSet::new());
            world.apply(&Command::ChangeUsers { seen, by, set, deleted });
            show(&node, &world);
            expect(
                &mut stream,
                "-NOPERM this user has no permissions to run the 'config|get' command\r\n+PONG\r\n",
            )
            .await;
        })
        .await;
}
