//! Fuzzing of settings: what a file, a variable, a flag or `CONFIG SET` gives; see crate `ironcache-fuzz`.

use ironcache_fuzz::Campaign;
use ironcache_settings::{OutputLimits, TlsProtocols, all, cluster, parse};

/// `name=value` of every setting, as its default says it.
fn defaults() -> Vec<String> {
    all().map(|setting| format!("{}={}", setting.name, setting.default_value())).collect()
}

#[test]
fn fuzz_settings_read_as_what_they_are_shown_as() {
    let words = ["=", " ", "k", "mb", "GB", "-1", "0", "yes", "no", "18446744073709551616", "TLSv1.3"];
    Campaign::of("settings").from(defaults()).words(words).run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (name, value) = text.split_once('=').unwrap_or((&text, ""));
        let _ = (OutputLimits::parse(value), TlsProtocols::parse(value));
        drop((cluster::parse_change(name, value), cluster::parse(name, value)));
        let (key, read) = parse(name, value).map_err(|error| error.to_string().len() > 20)?;
        let again = parse(name, &read.to_string());
        assert!(again.is_ok_and(|(_, again)| again == read), "{name} reads {read} as something else");
        Ok::<_, bool>(key.setting().name)
    });
}
