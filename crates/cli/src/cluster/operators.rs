//! `ironcache cluster operator …`: who may do what.
//!
//! *Invariant:* an operator's key is made here and goes into its file: of it the cluster is told the hash alone.

use super::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::{AddOperator, Operator, OperatorRole, RevokeOperator};
use ironcache_client::Access;
use ironcache_identity::{Credentials, PrivateKey};
use ironcache_types::{Digest, KeyHash};
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Subcommand)]
pub enum OperatorCommand {
    /// Make a key for somebody, with a credentials file of its own
    Add(AddArgs),
    /// Everybody with a key
    List(ListArgs),
    /// A key opens nothing any more; the last admin's stays
    Revoke(RevokeArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct AddArgs {
    /// Who it is
    name: String,
    /// What they may do; each role may do what those before it may, too
    #[arg(long, value_enum)]
    role: Role,
    /// Where the new credentials go: they are handed to that person as they are
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// Reads
    Viewer,
    /// Releases, plans and policies
    Operator,
    /// Nodes, operators and accepted losses
    Admin,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RevokeArgs {
    /// By name, or by key as `operator list` shows it
    #[arg(value_name = "NAME|KEY")]
    whom: String,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl From<Role> for OperatorRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => OperatorRole::Viewer,
            Role::Operator => OperatorRole::Operator,
            Role::Admin => OperatorRole::Admin,
        }
    }
}

impl OperatorCommand {
    pub fn json(&self) -> bool {
        match self {
            OperatorCommand::Add(args) => args.json,
            OperatorCommand::List(args) => args.json,
            OperatorCommand::Revoke(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            OperatorCommand::Add(args) => add(args).await,
            OperatorCommand::List(args) => list(&args).await,
            OperatorCommand::Revoke(args) => revoke(&args).await,
        }
    }
}

async fn add(args: AddArgs) -> Result<(), Failure> {
    let AddArgs { name, role, out, seeds, json } = args;
    let client = seeds.client().await?;
    client.may_order()?;
    let control = client.cluster().await?.control;
    let cluster = control.cluster_id.ok_or_else(|| Failure::failed("the cluster is not founded yet"))?;
    let key = PrivateKey::generate().map_err(anyhow::Error::from)?;
    let request = AddOperator { key: key.hash(), name, role: role.into() };
    let credentials = match client.access() {
        Access::Keyed(keyed) => keyed.credentials_for(cluster, key),
        // An insecure cluster knows nobody, and refuses to.
        Access::Open | Access::Without { looked: _ } => {
            Credentials { cluster, key, pins: BTreeSet::new(), heard: BTreeSet::new() }
        }
    };
    // Before the cluster knows the key: one that is known and that nobody has would stay for ever.
    let out = std::path::absolute(out)?;
    credentials.create(&out).map_err(|error| Failure::Usage(ironcache_types::chain(&error)))?;
    let mut done = match client.add_operator(&request).await {
        Ok(done) => done,
        Err(error) => {
            let failure = Failure::from(error);
            // Whoever did not answer may know the key all the same: then the file stays.
            if matches!(failure, Failure::Refused(_)) {
                std::fs::remove_file(&out)?;
            }
            return Err(failure);
        }
    };
    done.done.push_str(&format!("; the credentials are in {}", out.display()));
    output::done(&done, Format::of(json))
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let operators = args.seeds.client().await?.operators().await?;
    match Format::of(args.json) {
        Format::Json => output::json(&operators),
        Format::Text if operators.operators.is_empty() => {
            output::line("the cluster is insecure: it knows nobody, and believes everybody")
        }
        Format::Text => output::line(&table(&operators.operators)),
    }
}

fn table(operators: &[Operator]) -> String {
    let mut rows = vec![["NAME", "ROLE", "KEY"].map(str::to_owned).to_vec()];
    for Operator { key, name, role } in operators {
        rows.push(vec![name.clone(), role.to_string(), key.to_string()]);
    }
    output::table(&rows)
}

async fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let RevokeArgs { whom, seeds, json } = args;
    let client = seeds.client().await?;
    let key = find(&client.operators().await?.operators, whom)?;
    let done = client.revoke_operator(&RevokeOperator { key }).await?;
    output::done(&done, Format::of(*json))
}

/// A name that two have names nobody.
fn find(operators: &[Operator], whom: &str) -> Result<KeyHash, Failure> {
    if let Ok(key) = whom.parse::<Digest>() {
        return Ok(KeyHash(key));
    }
    let mut named = operators.iter().filter(|operator| operator.name == whom);
    match (named.next(), named.next()) {
        (Some(operator), None) => Ok(operator.key),
        (Some(_), Some(_)) => Err(Failure::Usage(format!(
            "two operators are called {whom}: name the one that you mean by its key (`ironcache cluster operator list`)"
        ))),
        (None, _) => Err(Failure::Usage(format!(
            "nobody is called {whom} (`ironcache cluster operator list` lists everybody)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn operator(name: &str, byte: u8, role: OperatorRole) -> Operator {
        Operator { key: KeyHash(Digest([byte; 32])), name: name.to_owned(), role }
    }

    #[test]
    fn who_is_meant_is_one_operator_or_nobody() {
        let operators = [
            operator("ada", 1, OperatorRole::Admin),
            operator("bob", 2, OperatorRole::Viewer),
            operator("bob", 3, OperatorRole::Operator),
        ];
        let key = |byte| KeyHash(Digest([byte; 32]));
        assert_eq!(find(&operators, "ada").unwrap(), key(1));
        assert_eq!(find(&operators, &"03".repeat(32)).unwrap(), key(3));
        for (whom, why) in [("bob", "two operators are called bob"), ("eve", "nobody is called eve")] {
            let failure = find(&operators, whom).unwrap_err();
            assert!(failure.to_string().starts_with(why) && failure.code() == 2, "{failure}");
        }
    }

    #[test]
    fn everybody_is_shown_with_role_and_key() {
        let text = table(&[operator("ada", 1, OperatorRole::Admin), operator("ci", 2, OperatorRole::Viewer)]);
        expect![[r#"
            NAME  ROLE    KEY
            ada   admin   0101010101010101010101010101010101010101010101010101010101010101
            ci    viewer  0202020202020202020202020202020202020202020202020202020202020202"#]]
        .assert_eq(&text);
    }
}
