//! The product's binary, built with this package.

fn main() -> std::process::ExitCode {
    ironcache::run(std::env::args_os())
}
