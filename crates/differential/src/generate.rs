//! Sequences of commands out of a grammar and a seed.

use crate::Args;
use crate::grammar::{Arg, Command, Grammar, Kind, container};
use crate::pool;
use crate::random::Dice;
use crate::scripted;
use crate::stream;
use crate::trial::Around;
use ironcache_resp::Protocol;

/// Commands on an empty dataset, and the protocol in which they are asked.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub protocol: Protocol,
    pub commands: Vec<Args>,
}

/// Commands a sequence, beside those that fill its keys and those of its transactions. More find more that only a longer
/// history brings about; fewer find sooner what a fresh key shows.
const COMMANDS: usize = 25;
/// Of a hundred commands that a grammar allows, so many are then made wrong.
const SPOILT_PERCENT: usize = 7;

/// Of a hundred sequences so many have scripts call every second command.
const SCRIPTED_PERCENT: usize = 25;

/// A grammar with dice.
pub(crate) struct Generator<'g> {
    grammar: &'g Grammar,
    names: Vec<&'g str>,
    dice: Dice,
    around: Around,
}

impl<'g> Generator<'g> {
    /// Draws from `names`, those of the grammar if there are none.
    pub(crate) fn new(grammar: &'g Grammar, names: &'g [String], seed: u64, around: Around) -> Self {
        let is_wanted = |name: &str| names.iter().any(|it| it == name || it == container(name));
        let all = grammar.names().filter(|name| names.is_empty() || is_wanted(name));
        Self { grammar, names: all.collect(), dice: Dice::new(seed), around }
    }

    /// The next sequence.
    ///
    /// # Panics
    /// If the grammar has none of the names.
    pub(crate) fn sequence(&mut self) -> Sequence {
        assert!(!self.names.is_empty(), "there are commands to draw from");
        let protocol = if self.dice.percent(50) { Protocol::Resp2 } else { Protocol::Resp3 };
        let mut commands = vec![words("FLUSHALL")];
        self.fill(&mut commands);
        let scripts = self.around == Around::TransactionsAndScripts && self.dice.percent(SCRIPTED_PERCENT);
        let mut queued = 0;
        for _ in 0..COMMANDS {
            if self.around != Around::Nothing && queued == 0 && self.dice.percent(5) {
                commands.push(words("MULTI"));
                queued = 1 + self.dice.below(4);
            }
            let command = self.command();
            let drawn = is_drawn(&command);
            if let Some(key) = lexicographic(&command) {
                let members =
                    (0..1 + self.dice.below(6)).flat_map(|_| [b"0".to_vec(), pool::element(&mut self.dice)]);
                let members: Vec<Vec<u8>> = members.collect();
                commands.push(vec![b"DEL".to_vec(), key.clone()]);
                commands.push([vec![b"ZADD".to_vec(), key], members].concat());
            }
            // What was drawn at random is not the same on both sides, so it goes; a transaction cannot be looked into.
            if !(drawn && queued > 0) {
                let key = command.get(1).cloned();
                let is_called = scripts && self.dice.percent(50);
                commands.push(if is_called { scripted::wrap(command, &mut self.dice) } else { command });
                if let (true, Some(key)) = (drawn, key) {
                    commands.push(vec![b"DEL".to_vec(), key]);
                }
            }
            queued = match queued {
                0 => 0,
                1 => {
                    commands.push(words("EXEC"));
                    0
                }
                more => more - 1,
            };
        }
        if queued > 0 {
            commands.push(words("EXEC"));
        }
        Sequence { protocol, commands }
    }

    /// A few keys of every type.
    fn fill(&mut self, commands: &mut Vec<Args>) {
        for key in pool::KEYS {
            let elements = if self.dice.percent(3) { 200 } else { 1 + self.dice.below(6) };
            let many = elements == 200;
            let dice = &mut self.dice;
            let element = |i: usize, dice: &mut Dice| {
                if many { format!("e{i}").into_bytes() } else { pool::element(dice) }
            };
            let name = match key.as_bytes()[3] {
                b's' => "SET",
                b'l' => "RPUSH",
                b't' => "SADD",
                b'z' => "ZADD",
                b'h' => "HSET",
                b'g' if self.grammar.commands.contains_key("geoadd") => "GEOADD",
                b'p' if self.grammar.commands.contains_key("pfadd") => "PFADD",
                b'x' if self.grammar.commands.contains_key("xadd") => {
                    stream::fill(commands, key, &mut self.dice);
                    continue;
                }
                _ => continue,
            };
            if dice.percent(20) {
                continue;
            }
            let mut args = vec![name.into(), key.into()];
            for i in 0..elements {
                match name {
                    "ZADD" => {
                        args.push(dice.pick(&["1", "2", "3", "1", "1.5", "-1", "inf"]).as_bytes().to_vec())
                    }
                    "GEOADD" => args.extend([pool::longitude(dice), pool::latitude(dice)]),
                    "HSET" => args.push(element(i, dice)),
                    _ => {}
                }
                args.push(element(i, dice));
                if name == "SET" {
                    break;
                }
            }
            commands.push(args);
            if dice.percent(10) {
                commands.push(vec![b"EXPIRE".into(), key.into(), b"3600".into()]);
            }
        }
    }

    fn command(&mut self) -> Args {
        let name = *self.dice.pick(&self.names);
        let command = &self.grammar.commands[name];
        let mut drawing = Drawing { dice: &mut self.dice, command, out: Vec::new(), numkeys: None, keys: 0 };
        drawing.out.extend(name.to_uppercase().split('|').map(|word| word.as_bytes().to_vec()));
        command.args.iter().for_each(|arg| drawing.arg(arg));
        let mut args = drawing.out;
        if self.dice.percent(SPOILT_PERCENT) {
            self.spoil(&mut args, command);
        }
        if asks_for_much(&args) || expires_soon(&args) { self.command() } else { args }
    }

    fn spoil(&mut self, args: &mut Args, command: &Command) {
        let dice = &mut self.dice;
        let at = 1 + dice.below(args.len());
        match dice.below(6) {
            0 if at < args.len() => drop(args.remove(at)),
            1 if at < args.len() => args.insert(at, args[at].clone()),
            2 if at + 1 < args.len() => args.swap(at, at + 1),
            3 if at < args.len() => args[at] = pool::element(dice),
            4 => args.insert(at, pool::integer(dice)),
            // An option of this command once more, wherever it falls.
            _ => {
                let mut tokens = Vec::new();
                command.args.iter().for_each(|arg| collect_tokens(arg, &mut tokens));
                if !tokens.is_empty() {
                    args.insert(at, dice.pick(&tokens).as_bytes().to_vec());
                }
            }
        }
    }
}

fn words(line: &str) -> Args {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn collect_tokens<'a>(arg: &'a Arg, tokens: &mut Vec<&'a str>) {
    tokens.extend(arg.token.as_deref().filter(|token| !token.is_empty()));
    arg.parts.iter().for_each(|part| collect_tokens(part, tokens));
}

/// Whether the data may differ afterwards: it changes them at random, or keeps what it computed in them.
fn is_drawn(args: &Args) -> bool {
    let takes_the_time = args[0].eq_ignore_ascii_case(b"xadd") && args.iter().any(|arg| arg == b"*");
    takes_the_time || args[0].eq_ignore_ascii_case(b"spop") || args[0].eq_ignore_ascii_case(b"pfcount")
}

/// The key of a range by members, which has a meaning only where all have one score.
fn lexicographic(args: &Args) -> Option<Vec<u8>> {
    let name = args[0].to_ascii_lowercase();
    let by_members = args.iter().any(|arg| arg.eq_ignore_ascii_case(b"bylex"));
    let at = match &name[..] {
        b"zrangebylex" | b"zrevrangebylex" | b"zremrangebylex" | b"zlexcount" => 1,
        b"zrange" if by_members => 1,
        b"zrangestore" if by_members => 2,
        _ => return None,
    };
    args.get(at).filter(|key| key.starts_with(b"{k}")).cloned()
}

/// Half a gigabyte is a valid wish, and only takes time.
fn asks_for_much(args: &Args) -> bool {
    const OFFSET_MAX: i64 = 1 << 20;
    let name = args[0].to_ascii_lowercase();
    let large = |arg: &Vec<u8>| {
        let text = std::str::from_utf8(arg).unwrap_or_default().trim_start_matches('#');
        text.parse::<i64>().is_ok_and(|n| n > OFFSET_MAX && n < 4_294_967_296)
    };
    matches!(&name[..], b"setrange" | b"setbit" | b"bitfield") && args.iter().any(large)
}

/// A key that expires while it is compared is gone on one side only.
fn expires_soon(args: &Args) -> bool {
    let name = args[0].to_ascii_lowercase();
    let soon = |arg: Option<&Vec<u8>>, unit_ms: i64| {
        let amount = arg.and_then(|arg| std::str::from_utf8(arg).ok()?.parse::<i64>().ok());
        amount.is_some_and(|amount| amount > 0 && amount < 100_000 / unit_ms)
    };
    let by_option = |option: &[u8], unit_ms| {
        args.windows(2).any(|pair| pair[0].eq_ignore_ascii_case(option) && soon(Some(&pair[1]), unit_ms))
    };
    match &name[..] {
        b"psetex" | b"pexpire" | b"restore" => soon(args.get(2), 1),
        b"setex" | b"expire" => soon(args.get(2), 1000),
        b"set" | b"getex" => by_option(b"px", 1) || by_option(b"ex", 1000),
        _ => false,
    }
}

/// One command while it is being drawn.
struct Drawing<'a, 'g> {
    dice: &'a mut Dice,
    command: &'g Command,
    out: Args,
    /// Where the number of keys stands that follow it.
    numkeys: Option<usize>,
    keys: usize,
}

impl Drawing<'_, '_> {
    fn arg(&mut self, arg: &Arg) {
        // Nobody adds what a read would wait for.
        let waits = arg.token.as_deref() == Some("BLOCK");
        if waits || arg.optional && self.dice.percent(55) {
            return;
        }
        let wrong = self.dice.percent(5);
        let times = match (&*arg.name, arg.multiple) {
            (_, false) => 1,
            ("weight", true) if !wrong => self.keys,
            // Of streams that are read, an id each.
            ("id", true) if self.command.name.starts_with("xread") && !wrong => self.keys,
            (_, true) => *self.dice.pick(&[1, 1, 2, 2, 3, 4]),
        };
        for time in 0..times {
            let has_token = time == 0 || arg.multiple_token;
            if let (true, Some(token)) = (has_token, arg.token.as_ref().filter(|token| !token.is_empty())) {
                let cased = if self.dice.percent(20) { token.to_lowercase() } else { token.clone() };
                self.out.push(cased.into_bytes());
            }
            match arg.kind {
                Kind::PureToken => {}
                Kind::Block => arg.parts.iter().for_each(|part| self.arg(part)),
                Kind::OneOf => {
                    let own_id = arg.name == "id_or_auto" && self.dice.percent(90);
                    let part = if own_id { arg.parts.len() - 1 } else { self.dice.below(arg.parts.len()) };
                    self.arg(&arg.parts[part]);
                }
                Kind::String | Kind::Integer | Kind::Double | Kind::Key | Kind::Pattern | Kind::UnixTime => {
                    let value = self.value(arg);
                    self.out.push(value);
                }
            }
        }
        if arg.kind == Kind::Key && arg.multiple {
            self.keys = times;
        }
        if arg.name == "numkeys" {
            self.numkeys = Some(self.out.len() - 1);
        } else if let (Kind::Key, Some(at)) = (arg.kind, self.numkeys) {
            self.keys = times;
            if !wrong {
                self.out[at] = times.to_string().into_bytes();
            }
        }
    }

    fn value(&mut self, arg: &Arg) -> Vec<u8> {
        let (dice, command) = (&mut *self.dice, self.command);
        let name = &*arg.name;
        let is = |part: &str| name.contains(part);
        match (arg.kind, &*command.group) {
            (Kind::Key, group) => pool::key(dice, group),
            (kind, "stream") => stream::value(dice, &command.name, name, kind),
            (Kind::Pattern, _) => pool::pattern(dice),
            (_, "geo") if is("longitude") => pool::longitude(dice),
            (_, "geo") if is("latitude") => pool::latitude(dice),
            (_, "geo") if is("radius") || is("width") || is("height") => pool::distance(dice),
            (_, "bitmap") if is("encoding") => pool::encoding(dice),
            (_, "bitmap") if is("offset") => pool::bit_offset(dice),
            (_, "bitmap") if is("bit") => dice.pick(&["0", "1", "0", "1", "2"]).as_bytes().to_vec(),
            // "0" begins a scan; where other cursors lead differs from server to server.
            (Kind::Integer, _) if is("cursor") => {
                dice.pick(&["0", "0", "0", "0", "a", "-1"]).as_bytes().to_vec()
            }
            (Kind::Integer | Kind::UnixTime, _)
                if is("seconds") || is("unix-time") || is("timestamp") || is("ttl") =>
            {
                let unit_ms = if is("milliseconds") || command.name.starts_with('p') { 1 } else { 1000 };
                pool::time(dice, unit_ms, arg.kind == Kind::UnixTime || is("unix-time") || is("timestamp"))
            }
            (Kind::Integer, _) if is("count") => pool::count(dice),
            (Kind::String | Kind::Double | Kind::Integer, "sorted-set")
                if is("min") || is("max") || is("start") || is("stop") =>
            {
                pool::bound(dice, &command.name)
            }
            (Kind::Double, _) => pool::double(dice),
            // Redis' documentation calls what ZINCRBY and weights take an integer.
            (Kind::Integer, "sorted-set") if is("increment") || is("weight") => pool::double(dice),
            (Kind::Integer | Kind::UnixTime, _) => pool::integer(dice),
            (Kind::String, _) if command.name == "restore" => pool::payload(dice),
            (Kind::String, _) if command.name == "scan" => {
                dice.pick(&["string", "list", "set", "zset", "hash", "stream", "x"]).as_bytes().to_vec()
            }
            (Kind::String | Kind::PureToken | Kind::OneOf | Kind::Block, _) => pool::element(dice),
        }
    }
}
