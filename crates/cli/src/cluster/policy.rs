//! `ironcache cluster policy …`: the settings that hold for the whole cluster.

use super::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::{PolicyChange, PolicyStatus, Setting};
use std::collections::BTreeMap;

#[derive(Clone, Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Show the settings, or one of them
    Get(GetArgs),
    /// Change settings: all that are given, or none
    Set(SetArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct GetArgs {
    /// Show the value of this one only
    key: Option<String>,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct SetArgs {
    /// `max-parallel 2`; several pairs take effect together
    #[arg(required = true, num_args = 2.., value_names = ["KEY", "VALUE"])]
    pairs: Vec<String>,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl PolicyCommand {
    pub fn json(&self) -> bool {
        match self {
            PolicyCommand::Get(args) => args.json,
            PolicyCommand::Set(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            PolicyCommand::Get(args) => get(&args).await,
            PolicyCommand::Set(args) => set(&args).await,
        }
    }
}

async fn get(args: &GetArgs) -> Result<(), Failure> {
    // Misspelt keys are told from the policy itself: this release need not know every key of the nodes'.
    let policy = args.seeds.client().await?.policy().await?;
    match (&args.key, Format::of(args.json)) {
        (None, Format::Json) => output::json(&policy),
        (None, Format::Text) => output::line(&table(&policy)),
        (Some(key), Format::Json) => output::json(setting(&policy, key)?),
        (Some(key), Format::Text) => output::line(&setting(&policy, key)?.value.to_string()),
    }
}

async fn set(args: &SetArgs) -> Result<(), Failure> {
    let change = PolicyChange { set: pairs(&args.pairs)?, seen: None };
    let policy = args.seeds.client().await?.set_policy(&change).await?;
    match Format::of(args.json) {
        Format::Json => output::json(&policy),
        Format::Text => {
            let now = |key: &String| match policy.get(key) {
                Some(Setting { value, .. }) => format!("{key} = {value}"),
                None => format!("{key} was changed"),
            };
            output::line(&change.set.keys().map(now).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn setting<'a>(policy: &'a PolicyStatus, key: &str) -> Result<&'a Setting, Failure> {
    policy.get(key).ok_or_else(|| {
        let keys: Vec<_> = policy.settings.iter().map(|setting| setting.key.as_str()).collect();
        Failure::Usage(format!("the policy has no {key:?}; there are {}", keys.join(", ")))
    })
}

fn pairs(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut set = BTreeMap::new();
    let (pairs, rest) = words.as_chunks::<2>();
    if let [key, ..] = rest {
        return Err(Failure::Usage(format!("{key} has no value: keys and values come in pairs")));
    }
    for [key, value] in pairs {
        if set.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::Usage(format!("{key} was given twice")));
        }
    }
    Ok(set)
}

fn table(policy: &PolicyStatus) -> String {
    let mut rows = vec![["KEY", "VALUE", "DEFAULT", ""].map(str::to_owned).to_vec()];
    for setting in &policy.settings {
        let Setting { key, value, default, changeable, about } = setting;
        let fixed = if *changeable { "" } else { " (fixed when the cluster was created)" };
        rows.push(vec![key.clone(), value.to_string(), default.to_string(), format!("{about}{fixed}")]);
    }
    output::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use ironcache_api::SettingValue;
    use ironcache_types::Epoch;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn policy() -> PolicyStatus {
        let word = |word: &str| SettingValue::Word(word.to_owned());
        let setting = |key: &str, value, default, changeable, about: &str| Setting {
            key: key.to_owned(),
            value,
            default,
            changeable,
            about: about.to_owned(),
        };
        let number = SettingValue::Number;
        PolicyStatus {
            epoch: Epoch(7),
            settings: vec![
                setting("finalize-after-s", word("never"), number(86_400), true, "How long a plan soaks"),
                setting("heartbeat-ms", number(100), number(100), false, "Raft's heartbeat"),
            ],
        }
    }

    #[test]
    fn the_settings_are_a_table_and_one_of_them_is_its_value() {
        expect![[r"
            KEY               VALUE  DEFAULT
            finalize-after-s  never  86400    How long a plan soaks
            heartbeat-ms      100    100      Raft's heartbeat (fixed when the cluster was created)"]]
        .assert_eq(&table(&policy()));
        assert_eq!(setting(&policy(), "finalize-after-s").unwrap().value.to_string(), "never");
        let unknown = setting(&policy(), "finalise-after-s").unwrap_err();
        assert_eq!(unknown.code(), 2);
        assert!(unknown.to_string().ends_with("there are finalize-after-s, heartbeat-ms"), "{unknown}");
    }

    #[test]
    fn keys_and_values_come_in_pairs_and_each_key_once() {
        let set = pairs(&words(&["max-parallel", "2", "settle-ms", "50"])).unwrap();
        assert_eq!(set["max-parallel"], "2");
        assert_eq!(set["settle-ms"], "50");
        for bad in [&["max-parallel", "2", "settle-ms"][..], &["settle-ms", "1", "settle-ms", "2"]] {
            let error = pairs(&words(bad)).unwrap_err();
            assert_eq!(error.code(), 2);
            assert!(error.to_string().starts_with("settle-ms"), "{error}");
        }
    }
}
