//! Every node of every test keeps copies of the binary: without symbols they are a third as large.

fn main() {
    println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    println!("cargo::rerun-if-changed=build.rs");
}
