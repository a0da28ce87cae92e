//! `ironcache-differential --node HOST:PORT [--commands N] [--seed S] [--differences N] [--events | --invalidations] [NAME…]`
//!
//! Compares a node, which is a primary and owns every slot, with a redis-server that this starts. With `--events` also by what
//! their clients are told of keys, with `--invalidations` by what they are told of keys that they have read. The dataset of the node is emptied. Exit code 1: they differ, or something is missing.

use ironcache_differential::{Listen, Trial};
use std::process::ExitCode;

struct Options {
    node: String,
    commands: usize,
    differences: usize,
    seed: u64,
    names: Vec<String>,
    listen: Listen,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        node: String::new(),
        commands: 100_000,
        differences: 20,
        seed: 1,
        names: Vec::new(),
        listen: Listen::No,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number =
            |text: String| text.parse::<u64>().map_err(|_| format!("{arg} needs a number, not {text:?}"));
        match &*arg {
            "--node" => options.node = value()?,
            "--commands" => options.commands = number(value()?)? as usize,
            "--differences" => options.differences = number(value()?)? as usize,
            "--seed" => options.seed = number(value()?)?,
            "--events" => options.listen = Listen::ToKeys,
            "--invalidations" => options.listen = Listen::ToReadKeys,
            name if !name.starts_with('-') => options.names.push(name.to_lowercase()),
            other => return Err(format!("{other} is no option")),
        }
    }
    if options.node.is_empty() {
        Err("--node HOST:PORT says what is compared".to_owned())
    } else {
        Ok(options)
    }
}

fn run() -> Result<bool, String> {
    let options = options()?;
    let trial = Trial {
        seed: options.seed,
        names: options.names,
        commands: options.commands,
        differences_max: options.differences,
        listen: options.listen,
    };
    let summary = trial.of_node(&options.node)?;
    println!("{summary}");
    Ok(summary.differences.is_empty())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ironcache-differential: {error}");
            ExitCode::FAILURE
        }
    }
}
