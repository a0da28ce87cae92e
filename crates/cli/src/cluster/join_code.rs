//! `ironcache cluster join-code`: a code for a node that reads one, from a Secret say, instead of printing its own.

use crate::exit::{Failure, Format};
use crate::output;
use ironcache_identity::JoinCode;

#[derive(Clone, Debug, clap::Args)]
pub struct JoinCodeArgs {
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// No node is asked: the code is whoever's who holds it, and good for one node once.
pub(super) fn run(args: &JoinCodeArgs) -> Result<(), Failure> {
    let code = JoinCode::draw().map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
    match Format::of(args.json) {
        Format::Json => output::json(&serde_json::json!({ "join_code": code.to_string() })),
        Format::Text => output::line(&code.to_string()),
    }
}
