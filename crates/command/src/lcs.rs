//! The longest common subsequence of two strings. Source of the order in which matches are met: `lcsCommand` of redis 7.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::{MAX_STRING_BYTES, progress};
use ironcache_resp::parse_integer;

type Outcome = Result<(), CommandError>;

#[derive(Default)]
struct Options {
    length: bool,
    indexes: bool,
    with_lengths: bool,
    length_min: u64,
}

impl Options {
    fn parse(mut options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut it = Options::default();
        while let [option, rest @ ..] = options {
            options = rest;
            if arg::is(option, "idx") {
                it.indexes = true;
            } else if arg::is(option, "len") {
                it.length = true;
            } else if arg::is(option, "withmatchlen") {
                it.with_lengths = true;
            } else if let (true, [length, rest @ ..]) = (arg::is(option, "minmatchlen"), rest) {
                let length = parse_integer(length).ok_or(CommandError::NotAnInteger)?;
                it.length_min = u64::try_from(length).unwrap_or(0);
                options = rest;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if it.indexes && it.length { Err(CommandError::LcsLenAndIndexes) } else { Ok(it) }
    }
}

/// A stretch that both strings have, by its first position in each.
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

/// The lengths for all pairs of beginnings: of the first `i` bytes of one and the first `j` of the other.
struct Lengths {
    cells: Vec<u32>,
    width: usize,
}

impl Lengths {
    fn of(a: &[u8], b: &[u8]) -> Result<Self, CommandError> {
        let (height, width) = (a.len() + 1, b.len() + 1);
        let cells = height.checked_mul(width).ok_or(CommandError::LcsTooLarge)?;
        if cells as u64 > MAX_STRING_BYTES / size_of::<u32>() as u64 {
            return Err(CommandError::LcsTooLarge);
        }
        let mut it = Lengths { cells: vec![0; cells], width };
        for (i, byte_a) in a.iter().enumerate() {
            progress::tick();
            let (before, row) = it.cells[i * width..].split_at_mut(width);
            for (j, byte_b) in b.iter().enumerate() {
                row[j + 1] = if byte_a == byte_b { before[j] + 1 } else { before[j + 1].max(row[j]) };
            }
        }
        Ok(it)
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    /// The subsequence, and its stretches from the last to the first.
    fn walk_back(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (a.len(), b.len());
        let (mut common, mut matches) = (Vec::new(), Vec::new());
        let mut open: Option<Match> = None;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                common.push(a[i - 1]);
                i -= 1;
                j -= 1;
                let len = open.take().map_or(0, |later| later.len) + 1;
                open = Some(Match { a: i, b: j, len });
            } else {
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
                matches.extend(open.take());
            }
            if common.len().is_multiple_of(1024) {
                progress::tick();
            }
        }
        matches.extend(open);
        common.reverse();
        (common, matches)
    }
}

pub(crate) fn lcs(call: &mut Call<'_>) -> Outcome {
    let read = |key: &[u8]| match call.db.peek::<[u8]>(key) {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(_) => Err(CommandError::LcsNotStrings),
    };
    // Both are looked up, whatever the first one is.
    let (a, b) = (read(call.args[1]), read(call.args[2]));
    let (a, b) = (a?, b?);
    let options = Options::parse(&call.args[3..])?;
    let lengths = Lengths::of(a, b)?;
    let length = lengths.at(a.len(), b.len());
    if options.length {
        call.reply.int(i64::from(length));
        return Ok(());
    }
    let (common, mut matches) = lengths.walk_back(a, b);
    if !options.indexes {
        call.reply.bulk(&common);
        return Ok(());
    }
    matches.retain(|found| found.len as u64 >= options.length_min);
    call.reply.map(2);
    call.reply.bulk(b"matches");
    call.reply.array(matches.len());
    for Match { a, b, len } in matches {
        call.reply.array(if options.with_lengths { 3 } else { 2 });
        for start in [a, b] {
            call.reply.array(2);
            call.reply.count(start);
            call.reply.count(start + len - 1);
        }
        if options.with_lengths {
            call.reply.count(len);
        }
    }
    call.reply.bulk(b"len");
    call.reply.int(i64::from(length));
    Ok(())
}
