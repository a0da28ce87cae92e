//! The product's binary, built with this package.

/// The product's: what its memory comes to is measured here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ironcache::run(std::env::args_os())
}
