//! Many seeds, each in a process of its own: what one run leaves behind (hash tables, thread-locals, statics) is in no
//! other one.

use crate::args::{Many, Of};
use std::collections::VecDeque;
use std::process::{Child, Command, ExitCode, Stdio};

struct Running {
    seed: u64,
    child: Child,
}

/// Plays them, and names the first ten that fail.
pub(crate) fn play(many: &Many) -> ExitCode {
    let Many { of, seeds, from, twice_every, jobs } = *many;
    let mut running = VecDeque::new();
    let (mut failed, mut differ) = (Vec::new(), Vec::new());
    let mut pending: VecDeque<u64> = (from..from + seeds)
        .flat_map(|seed| {
            let times = if seed % twice_every == 0 { 2 } else { 1 };
            std::iter::repeat_n(seed, times)
        })
        .collect();
    let (mut played, mut last) = (0_u64, None::<(u64, String)>);
    while !pending.is_empty() || !running.is_empty() {
        while (running.len() as u64) < jobs
            && let Some(seed) = pending.pop_front()
        {
            match start(of, seed) {
                Ok(child) => running.push_back(Running { seed, child }),
                Err(error) => {
                    eprintln!("seed {seed} cannot be started: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        let Some(Running { seed, child }) = running.pop_front() else { break };
        let output = match child.wait_with_output() {
            Ok(output) => output,
            Err(error) => {
                eprintln!("seed {seed} cannot be waited for: {error}");
                return ExitCode::FAILURE;
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let result = text.lines().last().unwrap_or_default().to_owned();
        played += 1;
        if !output.status.success() {
            println!("FAILED  seed {seed}: {result}");
            failed.push(seed);
        }
        match last.take() {
            Some((of, before)) if of == seed && before != result => {
                println!("DIFFERS seed {seed}:\n  {before}\n  {result}");
                differ.push(seed);
            }
            Some(_) | None => {}
        }
        if played.is_multiple_of(50) {
            println!("{played} runs; the last: {result}");
        }
        last = Some((seed, result));
        if failed.len() + differ.len() >= 10 {
            break;
        }
    }
    println!(
        "{played} runs of {seeds} seeds: {} failed {failed:?}, {} were not repeated {differ:?}",
        failed.len(),
        differ.len()
    );
    if failed.is_empty() && differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(of: Of, seed: u64) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([&of.to_string(), "--seed", &seed.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}
