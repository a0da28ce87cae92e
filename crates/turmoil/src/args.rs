//! The command line.

pub(crate) const USAGE: &str = "usage: ironcache-turmoil raft|node|roll --seed N [--log] | --seeds N [--from N] [--twice-every N] [--jobs N]";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// In this process.
    One { of: Of, seed: u64, log: bool },
    /// A process each.
    Many(Many),
}

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Raft alone, with its log and its HTTP.
    Raft,
    /// Whole nodes.
    Node,
    /// Whole nodes that are rolled from release to release.
    Roll,
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Of::Raft => "raft",
            Of::Node => "node",
            Of::Roll => "roll",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Many {
    pub of: Of,
    pub seeds: u64,
    pub from: u64,
    /// Every so many are played twice, and must be the same run.
    pub twice_every: u64,
    pub jobs: u64,
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<What, String> {
    let of = match args.next().as_deref() {
        Some("raft") => Of::Raft,
        Some("node") => Of::Node,
        Some("roll") => Of::Roll,
        Some(_) | None => return Err("what is to be simulated?".to_owned()),
    };
    let (mut seed, mut log) = (None, false);
    let mut many = Many { of, seeds: 0, from: 0, twice_every: 10, jobs: 2 };
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or(format!("{arg} needs a number"))?;
            value.parse().map_err(|_| format!("{arg} needs a number, not {value:?}"))
        };
        match arg.as_str() {
            "--seed" => seed = Some(number()?),
            "--seeds" => many.seeds = number()?,
            "--from" => many.from = number()?,
            "--twice-every" => many.twice_every = number()?,
            "--jobs" => many.jobs = number()?,
            "--log" => log = true,
            other => return Err(format!("{other:?} is unknown")),
        }
    }
    match seed {
        Some(seed) => Ok(What::One { of, seed, log }),
        None if many.seeds > 0 && many.jobs > 0 && many.twice_every > 0 => Ok(What::Many(many)),
        None => Err("neither a seed nor a number of seeds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_or_many() {
        let parsed = |text: &str| parse(text.split_whitespace().map(str::to_owned));
        assert_eq!(parsed("node --seed 7 --log"), Ok(What::One { of: Of::Node, seed: 7, log: true }));
        let many = Many { of: Of::Raft, seeds: 500, from: 3, twice_every: 10, jobs: 2 };
        assert_eq!(parsed("raft --seeds 500 --from 3"), Ok(What::Many(many)));
        for wrong in
            ["", "--seed 1", "raft --seed", "node --seed x", "raft --sed 1", "raft --seeds 5 --jobs 0"]
        {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
