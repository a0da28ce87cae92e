//! The table is whole, its rows obey themselves, and what is made from it is up to date.

use expect_test::{expect, expect_file};
use ironcache_settings::{
    BadSetting, Change, ClusterKey, Key, Kind, Range, Value, Why, all, cluster, document, find, named, node,
    parse,
};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn the_documents_are_made_from_the_table() {
    expect_file!["../../../docs/ironcache.toml"].assert_eq(&document::example_file());
    expect_file!["../../../docs/settings.md"].assert_eq(&document::reference());
}

#[test]
fn every_key_has_its_own_row() {
    for (at, setting) in node::TABLE.iter().enumerate() {
        let Key::Node(key) = setting.key else { panic!("{} is of another scope", setting.name) };
        assert_eq!(key as usize, at, "{}", setting.name);
    }
    for (at, setting) in cluster::TABLE.iter().enumerate() {
        let Key::Cluster(key) = setting.key else { panic!("{} is of another scope", setting.name) };
        assert_eq!(key as usize, at, "{}", setting.name);
        assert_eq!((key.setting().name, key.name()), (setting.name, setting.name));
    }
    let names: BTreeSet<_> = all().map(|setting| setting.name).collect();
    assert_eq!(names.len(), node::TABLE.len() + cluster::TABLE.len(), "no name twice");
}

#[test]
fn a_default_is_read_by_the_rules_and_prints_itself() {
    for setting in all() {
        assert_eq!(setting.parse(setting.default).unwrap().to_string(), setting.default, "{}", setting.name);
        assert_eq!(setting.default_value().to_string(), setting.default);
    }
    assert_eq!(cluster::together(|key| key.setting().default_value()), Ok(()));
}

#[test]
fn the_words_of_a_row_are_whole() {
    for setting in all() {
        assert!(!setting.doc.is_empty() && !setting.doc.ends_with('.'), "{}: one line", setting.name);
        assert!(setting.more.is_empty() || setting.more.ends_with('.'), "{}: sentences", setting.name);
        let scope_fits = match setting.key {
            Key::Node(_) => setting.change != Change::AtCreate,
            Key::Cluster(_) => setting.change != Change::AtStart,
        };
        assert!(scope_fits, "{}", setting.name);
        if let Some(Range { least, below, most, above }) = setting.kind.range() {
            assert_eq!(below.is_empty(), least == 0, "{}: what is lost below", setting.name);
            assert!(!above.is_empty() && least < most, "{}: what is lost above", setting.name);
        }
    }
}

#[test]
fn both_bounds_are_taken_and_one_past_them_is_not() {
    for setting in all() {
        let Some(range) = setting.kind.range() else { continue };
        for at in [range.least, range.most] {
            assert_eq!(setting.parse(&at.to_string()), Ok(Value::Number(at)), "{}", setting.name);
        }
        let above = setting.parse(&(range.most + 1).to_string()).unwrap_err();
        assert_eq!(
            above.why,
            Why::Above { most: range.most, lost: range.above, default: setting.default },
            "{}",
            setting.name
        );
        assert_eq!(setting.parse("99999999999999999999").unwrap_err().why, above.why, "and what overflows");
        if let Some(below) = range.least.checked_sub(1) {
            let below = setting.parse(&below.to_string()).unwrap_err();
            assert_eq!(
                below.why,
                Why::Below { least: range.least, lost: range.below, default: setting.default },
                "{}",
                setting.name
            );
        }
        for text in ["", " 5", "-1", "+5", "5ms", "0x10", "1_000", "five"] {
            let why = setting.parse(text).unwrap_err().why;
            assert!(matches!(why, Why::NotANumber { .. }), "{} = {text:?}: {why}", setting.name);
        }
    }
}

#[test]
fn memory_may_carry_the_units_of_redis() {
    let maxmemory = find("maxmemory").unwrap();
    for (text, bytes) in [("1", 1), ("64k", 64_000), ("64KB", 65_536), ("100mb", 100 << 20), ("4gb", 4 << 30)] {
        assert_eq!(maxmemory.parse(text), Ok(Value::Number(bytes)), "{text}");
    }
    assert!(matches!(maxmemory.parse("99999999gb").unwrap_err().why, Why::Above { .. }));
    for text in ["1tb", "mb", "1 gb", "50%", "-1", "1.5gb"] {
        assert!(matches!(maxmemory.parse(text).unwrap_err().why, Why::NotANumber { .. }), "{text}");
    }
}

#[test]
fn never_is_for_who_says_so() {
    let takes_never = |setting: &&ironcache_settings::Setting| setting.parse("never") == Ok(Value::Never);
    let names: Vec<_> = all().filter(takes_never).map(|setting| setting.name).collect();
    assert_eq!(names, ["slowlog-slower-than-us", "finalize-after-s"]);
    for name in names {
        assert!(matches!(find(name).unwrap().kind, Kind::NumberOrNever { .. }), "{name}");
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let refused = |result: Result<(Key, Value), BadSetting>| result.unwrap_err().to_string();
    let of_cluster = |result: Result<(ClusterKey, Value), BadSetting>| result.unwrap_err().to_string();
    let said = [
        refused(parse("isr-timeout", "5")),
        refused(parse("save", "5")),
        refused(parse("maxclients", "0")),
        refused(parse("maxclients", "many")),
        refused(parse("settle-ms", "3600001")),
        refused(parse("finalize-after-s", "soon")),
        refused(parse("auto-rollout", "major")),
        of_cluster(cluster::parse("port", "5")),
        of_cluster(cluster::parse_change("heartbeat-ms", "50")),
    ]
    .join("\n");
    expect![[r#"
        isr-timeout = 5: there is no such setting; did you mean `isr-timeout-ms`?
        save = 5: there is no such setting; docs/settings.md lists all
        maxclients = 0: no client could connect; at least 1 is needed, and 10000 is the default
        maxclients = many: a whole number, in digits, is expected
        settle-ms = 3600001: each step would wait longer than an hour for a replica that is in sync; at most 3600000 is taken, and 100 is the default
        finalize-after-s = soon: a whole number of seconds, in digits, or `never`, is expected
        auto-rollout = major: one of `off`, `patch`, `minor` is expected
        port = 5: `port` is a setting of each node: its file, `--port`, or its variable
        heartbeat-ms = 50: it was fixed when the cluster was created; `ironcache cluster create --set` is where it is chosen"#]]
    .assert_eq(&said);
}

#[test]
fn a_cluster_is_created_with_what_fits_together() {
    let create = |chosen: &[(&str, &str)]| -> Result<(), BadSetting> {
        let chosen = chosen.iter().map(|(name, text)| cluster::parse(name, text));
        let chosen = chosen.collect::<Result<BTreeMap<_, _>, _>>()?;
        cluster::together(|key| chosen.get(&key).cloned().unwrap_or_else(|| key.setting().default_value()))
    };
    assert_eq!(
        create(&[("heartbeat-ms", "50"), ("election-min-ms", "150"), ("auto-rollout", "patch")]),
        Ok(())
    );
    let said = [
        &[("heartbeat-ms", "300")][..],
        &[("election-min-ms", "1000")],
        &[("step-timeout-s", "10"), ("settle-ms", "10000")],
        &[("bind", "::1")],
        &[("hartbeat-ms", "5")],
    ]
    .map(|chosen| create(chosen).unwrap_err().to_string())
    .join("\n");
    expect![[r#"
        election-min-ms = 500: at least twice heartbeat-ms is needed, or leaders come and go
        election-max-ms = 1000: it has to be above election-min-ms, or nodes ask for the same election at once
        settle-ms = 10000: it has to be below step-timeout-s, or every step times out before its replica counts as settled
        bind = ::1: `bind` is a setting of each node: its file, `--bind`, or its variable
        hartbeat-ms = 5: there is no such setting; did you mean `heartbeat-ms`?"#]]
    .assert_eq(&said);
}

#[test]
fn a_password_is_in_no_refusal() {
    let bad = find("requirepass").unwrap().bad("secret", Why::NotText).to_string();
    assert!(!bad.contains("secret"), "{bad}");
}

#[test]
fn a_name_is_found_as_it_is_spelled_only() {
    assert!(named("port", "1").is_ok());
    for name in ["Port", "port ", "peer_port", ""] {
        assert!(matches!(named(name, "1").unwrap_err().why, Why::Unknown { .. }), "{name:?}");
    }
}

#[test]
fn a_variable_is_the_name_in_capitals() {
    assert_eq!(find("max-lag-bytes").unwrap().variable(), "IRONCACHE_MAX_LAG_BYTES");
}
