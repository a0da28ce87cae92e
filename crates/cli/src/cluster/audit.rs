//! `ironcache cluster audit`: who had the cluster do what, and whether anybody has rewritten that.
//!
//! *Invariant:* the chain is verified here, from the records themselves: the node that sent them is not believed.

use super::Seeds;
use crate::exit::{Failure, Format};
use crate::{output, text};
use ironcache_api::AuditTrail;
use ironcache_types::{AuditLink, AuditRecord, verify_audit, verify_kept};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// Only what came after record 120, or within the last 2h
    #[arg(long, value_name = "SEQ|DURATION", value_parser = parse_since)]
    since: Option<Since>,
    /// Prove that every record follows from the one before it
    #[arg(long, conflicts_with = "since")]
    verify: bool,
    /// Prove that nothing up to the record that was noted earlier has been rewritten
    #[arg(long, value_name = "SEQ:HASH", requires = "verify")]
    from: Option<AuditLink>,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Records above this number.
    Record(u64),
    /// Records that are younger than this.
    Age(Duration),
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(seq) = text.parse() {
        return Ok(Since::Record(seq));
    }
    output::parse_duration(text)
        .map(Since::Age)
        .map_err(|_| format!("{text:?} is neither a record's number nor a duration (90s, 5m, 2h)"))
}

pub(super) async fn run(args: &AuditArgs) -> Result<(), Failure> {
    let trail = args.seeds.client().await?.audit().await?;
    let format = Format::of(args.json);
    if args.verify {
        return proved(&trail, args.from, format);
    }
    let trail = match args.since {
        None => trail,
        Some(since) => after(trail, since, unix_ms()),
    };
    match format {
        Format::Json => output::json(&trail),
        Format::Text => output::line(&table(&trail)),
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The newer part of the chain. Its anchor is the newest record that is left out, so that it is a chain like the whole.
fn after(trail: AuditTrail, since: Since, now_ms: u64) -> AuditTrail {
    let AuditTrail { anchor, head, records } = trail;
    let is_old = |record: &AuditRecord| match since {
        Since::Record(seq) => record.seq <= seq,
        Since::Age(age) => {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            record.at_ms < now_ms.saturating_sub(age_ms)
        }
    };
    // Clocks differ from node to node: what stands after the first that is new is shown, whatever its time.
    let first = records.iter().position(|record| !is_old(record)).unwrap_or(records.len());
    let anchor = first.checked_sub(1).map_or(anchor, |last| records[last].link());
    AuditTrail { anchor, head, records: records.into_iter().skip(first).collect() }
}

fn proved(trail: &AuditTrail, kept: Option<AuditLink>, format: Format) -> Result<(), Failure> {
    verify(trail, kept)?;
    let AuditTrail { anchor, head, records } = trail;
    match format {
        Format::Json => output::json(&serde_json::json!({
            "verified": true,
            "anchor": anchor.to_string(),
            "head": head.to_string(),
            "records": records.len(),
            "from": kept.map(|kept| kept.to_string()),
        })),
        Format::Text => {
            let since = kept.map_or_else(String::new, |kept| format!("; record {} is what it was", kept.seq));
            let count = records.len();
            output::line(&format!(
                "{count} records are a whole chain, after record {}{since}\nkeep for the next time: --from {head}",
                anchor.seq
            ))
        }
    }
}

fn verify(trail: &AuditTrail, kept: Option<AuditLink>) -> Result<(), Failure> {
    let AuditTrail { anchor, head, records } = trail;
    let broken = |error| Failure::failed(format!("the audit chain does not hold: {error}"));
    verify_audit(*anchor, records, *head).map_err(broken)?;
    kept.map_or(Ok(()), |kept| verify_kept(*anchor, records, kept).map_err(broken))
}

fn table(trail: &AuditTrail) -> String {
    let mut rows = vec![["SEQ", "TIME (UTC)", "EPOCH", "WHO", "FROM", "WHAT"].map(str::to_owned).to_vec()];
    for record in &trail.records {
        rows.push(vec![
            record.seq.to_string(),
            text::utc(record.at_ms),
            record.epoch.to_string(),
            text::asker(record),
            record.from.clone().unwrap_or_else(|| "-".to_owned()),
            text::act(record),
        ]);
    }
    let mut shown = output::table(&rows);
    if trail.anchor.seq > 0 {
        shown.push_str(&format!("\nafter record {}", trail.anchor.seq));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use ironcache_types::{Digest, Epoch};
    use std::collections::BTreeMap;

    fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Who, from where, what, and what more is said of it.
    type Row = (BTreeMap<String, String>, Option<&'static str>, &'static str, BTreeMap<String, String>);

    /// Four records after record 7.
    fn trail() -> AuditTrail {
        let anchor = AuditLink { seq: 7, hash: Digest([7; 32]) };
        let (mut records, mut last) = (Vec::new(), anchor);
        let (key, digest) = ("0a".repeat(32), "0b".repeat(32));
        let rows: [Row; 4] = [
            (
                words(&[("credential", "insecure")]),
                Some("10.0.0.7:4"),
                "plan-paused",
                words(&[("plan", "3")]),
            ),
            (
                words(&[("credential", "operator"), ("key", &key), ("name", "ada")]),
                Some("[::1]:5"),
                "release-staged",
                words(&[("digest", &digest), ("version", "0.2.0")]),
            ),
            (words(&[("credential", "policy")]), None, "plan-resumed", words(&[("plan", "3")])),
            (words(&[("credential", "seal"), ("of", "the king")]), None, "moon-moved", words(&[])),
        ];
        for (at, (who, from, act, details)) in rows.into_iter().enumerate() {
            let seq = 8 + at as u64;
            let record = AuditRecord {
                seq,
                at_ms: 1_795_000_000_000 + 60_000 * at as u64,
                epoch: Epoch(40 + at as u64),
                log_index: 100 + seq,
                who,
                from: from.map(str::to_owned),
                act: act.to_owned(),
                details,
                previous: last.hash,
            };
            last = record.link();
            records.push(record);
        }
        AuditTrail { anchor, head: last, records }
    }

    #[test]
    fn records_are_a_table_and_what_this_release_does_not_know_is_shown_as_it_came() {
        expect![[r"
            SEQ  TIME (UTC)           EPOCH  WHO                           FROM        WHAT
            8    2026-11-18 11:06:40  40     anybody (insecure)            10.0.0.7:4  plan paused: plan 3
            9    2026-11-18 11:07:40  41     ada (0a0a0a0a0a0a)            [::1]:5     release staged: digest 0b0b0b0b0b0b, version 0.2.0
            10   2026-11-18 11:08:40  42     policy                        -           plan resumed: plan 3
            11   2026-11-18 11:09:40  43     credential seal, of the king  -           moon moved
            after record 7"]]
        .assert_eq(&table(&trail()));
    }

    #[test]
    fn the_newer_part_is_a_chain_of_its_own() {
        for (since, left) in [
            (Since::Record(0), 4),
            (Since::Record(9), 2),
            (Since::Record(11), 0),
            (Since::Record(99), 0),
            (Since::Age(Duration::from_secs(60)), 2),
            (Since::Age(Duration::from_secs(9_000_000_000)), 4),
        ] {
            let newer = after(trail(), since, 1_795_000_180_000);
            assert_eq!(newer.records.len(), left, "{since:?}");
            assert!(verify(&newer, None).is_ok(), "{since:?}");
        }
        assert_eq!(parse_since("120"), Ok(Since::Record(120)));
        assert_eq!(parse_since("2h"), Ok(Since::Age(Duration::from_secs(7200))));
        assert!(parse_since("yesterday").is_err());
    }

    #[test]
    fn one_that_was_rewritten_ends_the_command_with_a_failure() {
        let kept = trail().records[1].link();
        assert!(verify(&trail(), Some(kept)).is_ok());
        let mut bad = trail();
        bad.records[1].act = "plan-paused".to_owned();
        let error = verify(&bad, None).unwrap_err();
        assert_eq!(error.code(), 1);
        assert!(error.to_string().contains("record 10 is not chained to the one before it"), "{error}");
        let other = AuditLink { hash: Digest([1; 32]), ..kept };
        let error = verify(&trail(), Some(other)).unwrap_err();
        assert!(error.to_string().contains("it, or one before it, was rewritten"), "{error}");
    }

    #[test]
    fn fuzz_numbers_of_records_durations_and_links() {
        let link = trail().head.to_string();
        let given = ["120".to_owned(), "250ms".to_owned(), "2h".to_owned(), link];
        ironcache_fuzz::Campaign::of("since when").from(given).words(["ms", "s", "m", "h", ":"]).run(
            |bytes| {
                let text = String::from_utf8_lossy(bytes);
                let since = parse_since(&text);
                // Whatever it is, the rest of a chain is a chain.
                if let Ok(since) = since {
                    assert!(verify(&after(trail(), since, u64::MAX), None).is_ok());
                }
                let kept = text.parse::<AuditLink>().ok();
                assert!(kept.is_none_or(|kept| kept == trail().anchor
                    || trail().records.iter().any(|record| record.link() == kept)
                    || verify(&trail(), Some(kept)).is_err()));
                (since.is_ok(), kept.is_some(), output::parse_duration(&text).is_ok())
            },
        );
    }
}
