//! The one binary. Everything is in the library, where tests reach it.

/// The allocator: a cache allocates and frees small values of many sizes from several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ironcache::run(std::env::args_os())
}
