//! The product of the feature `next`, under a name of its own: it stands beside the one without.

fn main() -> std::process::ExitCode {
    ironcache::run(std::env::args_os())
}
