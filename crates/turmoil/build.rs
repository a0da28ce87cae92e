//! Whatever asks the C library for entropy or the time has to find this program's answer, also by `dlsym`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_TURMOIL").is_some() {
        for symbol in ["getrandom", "clock_gettime"] {
            println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
        }
    }
}
