//! Fuzzing of what a client may ask of a node, the data commands among the others; see crate `ironcache-fuzz`.

use super::*;
use ironcache_command::{Run, table};
use ironcache_fuzz::Campaign;
use ironcache_resp::{CommandParser, Parsed, Protocol, parse_value};
use ironcache_session::Wake;

const WORDS: [&str; 22] = [
    "\r\n",
    " ",
    "a",
    "0",
    "1",
    "-1",
    "*",
    "get",
    "set",
    "help",
    "MULTI\r\n",
    "EXEC\r\n",
    "WATCH a\r\n",
    "DISCARD\r\n",
    "HELLO 3\r\n",
    "RESET\r\n",
    "id",
    "maxclients",
    "tls-port",
    "9223372036854775807",
    "skipme",
    "nodes",
];
/// A value of 512 MiB is a valid wish; here it would only take time.
const OFFSET_MAX: u64 = 1 << 20;
/// `COMMAND DOCS` says more than any other; a transaction may hold many of them.
const ASKED_MAX: usize = 64;

/// Commands of one session of a corpus.
const TOGETHER: usize = 12;

/// Every command of the server with each of its subcommands, in and out of a transaction.
fn sessions() -> Vec<Vec<u8>> {
    let server = table().iter().filter(|spec| matches!(spec.run, Run::Server)).map(|spec| spec.name);
    let each: Vec<_> =
        server.flat_map(|name| ["", " a", " a b", " help"].map(|rest| format!("{name}{rest}\r\n"))).collect();
    // Many at a time: a plane is made for each session.
    let together = each.chunks(TOGETHER).map(<[String]>::concat);
    let said = [
        "CLIENT SETNAME me\r\nCLIENT GETNAME\r\nCLIENT INFO\r\nCLIENT LIST TYPE normal ID 1\r\n",
        "CLIENT KILL ID 7 SKIPME yes\r\nCLIENT NO-EVICT on\r\nCLIENT SETINFO lib-name x\r\n",
        "CONFIG GET max* tls-*\r\nCONFIG SET maxclients 100 timeout 5\r\nCONFIG RESETSTAT\r\n",
        "CLUSTER SLOTS\r\nCLUSTER SHARDS\r\nCLUSTER NODES\r\nCLUSTER KEYSLOT a\r\nCLUSTER GETKEYSINSLOT 5 9\r\n",
        "COMMAND DOCS get\r\nCOMMAND INFO get set\r\nCOMMAND GETKEYS mset a 1 b 2\r\nCOMMAND LIST FILTERBY PATTERN a*\r\n",
        "SET a 1\r\nWATCH a\r\nMULTI\r\nGET a\r\nINFO\r\nWAIT 0 0\r\nEXEC\r\nINFO replication memory\r\n",
        "HELLO 3 AUTH default x SETNAME me\r\nHELLO 2\r\nAUTH x\r\nREADONLY\r\nGET a\r\nREADWRITE\r\nRESET\r\nQUIT\r\n",
    ];
    together.chain(said.map(str::to_owned)).map(String::into_bytes).collect()
}

fn asks_for_much(args: &[&[u8]]) -> bool {
    let is = |name: &str| args[0].eq_ignore_ascii_case(name.as_bytes());
    let number = |arg: &[u8]| std::str::from_utf8(arg).ok()?.parse::<u64>().ok();
    is("setrange") && args.get(2).and_then(|offset| number(offset)).is_some_and(|offset| offset > OFFSET_MAX)
}

/// A primary of all slots, without the buffers of a real one.
fn small_plane(world: &World) -> Plane {
    let config = Config { backlog_bytes: 1 << 20, ..Config::default() };
    let (to_control, _) = mpsc::unbounded_channel();
    let mut plane = Plane::new(Arc::new(config), A, Version::new(1, 0, 0), LEVELS, to_control, 1);
    plane.loaded(Keyspace::new(), None);
    plane.apply_view(world.view());
    grant(&mut plane, FOR_EVER);
    plane
}

/// One value, or of what is confirmed one for each channel; `EXEC` counts those of a command as one.
fn is_answered_once(args: &[&[u8]], out: &[u8]) -> bool {
    let name = args[0].to_ascii_lowercase();
    let (mut rest, mut values) = (out, 0);
    while let Ok(Some((_, used))) = parse_value(rest) {
        (rest, values) = (&rest[used..], values + 1);
    }
    let may_be_more = name.ends_with(b"subscribe") || name == b"exec";
    rest.is_empty() && (values == 1 || values > 1 && may_be_more)
}

#[test]
fn fuzz_every_command_is_answered_once_and_whole() {
    let world = World::alone(AckMode::Primary);
    Campaign::of("commands of the server").from(sessions()).words(WORDS).keeps(64 << 20).costly().run(
        |bytes| {
            let mut plane = small_plane(&world);
            let mut client = client(&mut plane);
            let (mut parser, mut rest, mut last) = (CommandParser::default(), bytes, None);
            for _ in 0..ASKED_MAX {
                let Ok(Parsed::Complete { consumed }) = parser.parse(rest) else { break };
                let args: Vec<&[u8]> = parser.args(rest).iter().collect();
                rest = &rest[consumed..];
                if args.is_empty() || asks_for_much(&args) {
                    continue;
                }
                let was_mute = client.session.is_mute();
                let (was_queueing, mut out) = (client.session.queued().is_some(), Vec::new());
                let stop = dispatch::run(&mut plane, &mut client, &args, &mut out);
                let is_mute = was_mute || client.session.is_mute();
                let is_one = (is_mute && out.is_empty()) || is_answered_once(&args, &out);
                match stop {
                    None => {
                        assert!(is_one, "{args:?} is answered {:?}", out.escape_ascii().to_string())
                    }
                    Some(Stop::Close) => {
                        assert!(is_one || out.is_empty(), "{:?}", out.escape_ascii().to_string())
                    }
                    // Answered later, or tried again.
                    Some(Stop::Park | Stop::Hold | Stop::Pause | Stop::Order) => {
                        assert!(out.is_empty(), "{args:?}")
                    }
                    // Only after seconds.
                    Some(Stop::Slow) => panic!("{args:?} is slow"),
                    Some(Stop::Blocked) => {
                        assert!(out.is_empty(), "{args:?}");
                        let waiting = dispatch::wake(&mut plane, &mut client, Wake::TimeIsUp, &mut out);
                        assert_eq!(waiting, dispatch::Waiting::Over);
                        let is_one = matches!(parse_value(&out), Ok(Some((_, used))) if used == out.len());
                        assert!(is_one || (is_mute && out.is_empty()));
                    }
                }
                assert!(matches!(client.session.protocol(), Protocol::Resp2 | Protocol::Resp3));
                let word = out.split(|byte| *byte == b' ' || *byte == b'\r').next().unwrap_or_default();
                let word = String::from_utf8_lossy(&word[..word.len().min(12)]).into_owned();
                last = Some((was_queueing, stop, word));
                if stop == Some(Stop::Close) {
                    break;
                }
            }
            last
        },
    );
}
