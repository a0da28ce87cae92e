//! `ironcache cluster create`: nodes that know nothing of each other become one cluster.
//!
//! With keys (see [`super::found`]), or, if that is what somebody asks for, an insecure one: then whoever reaches a node's
//! port is believed.

use super::found::{FIRST_ADMIN, Founding};
use super::layout::{self, Candidate};
use super::newcomer::Newcomer;
use super::served;
use crate::access;
use crate::exit::{Failure, Format};
use crate::output;
use ironcache_api::{AckMode, CreateCluster, Done, Refused};
use ironcache_client::seed;
use ironcache_client::{Access, Client, ClientError};
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nodes that are up take a second or two. Shorter fails on a busy machine; longer keeps whoever has a node that cannot serve.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub struct CreateArgs {
    /// The nodes that hold data, primaries first: client or http addresses, each with a file that has the join code
    /// which the node prints (join.code in its data directory); `HOST:PORT=CODE` shows the code to everybody on the machine
    #[arg(required = true, value_name = "HOST:PORT=@FILE")]
    nodes: Vec<Newcomer>,
    /// Replicas of each primary
    #[arg(long, default_value_t = 1, value_name = "N")]
    replicas: u16,
    /// A node that votes and holds no data; may be given several times
    #[arg(long = "witness", value_name = "HOST:PORT=@FILE")]
    witnesses: Vec<Newcomer>,
    /// When a write is acknowledged: by the primary, or after every in-sync replica
    #[arg(long, value_enum, default_value_t = Mode::Primary)]
    mode: Mode,
    /// Where the first admin's key goes, with all that is needed to reach the cluster
    /// [IRONCACHE_CREDENTIALS, else ironcache/credentials.json of the user's configuration]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// The first admin's name
    #[arg(long, value_name = "NAME", default_value = FIRST_ADMIN)]
    admin: String,
    /// Without keys, for good: whoever reaches a node's peer or http port owns the cluster. Each node has to permit it
    #[arg(long, conflicts_with_all = ["credentials", "admin"])]
    insecure: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    /// A setting of the whole cluster, as `cluster policy set` takes it, and raft's timers; may be given more than once
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    Primary,
    InSync,
}

impl From<Mode> for AckMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Primary => AckMode::Primary,
            Mode::InSync => AckMode::InSync,
        }
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct CreateSpec {
    /// Primaries first.
    pub data: Vec<Newcomer>,
    pub witnesses: Vec<Newcomer>,
    pub replicas: u16,
    pub mode: AckMode,
    /// Settings of the cluster that differ from their defaults.
    pub set: BTreeMap<String, String>,
}

pub async fn run(args: CreateArgs) -> Result<(), Failure> {
    let CreateArgs { nodes, replicas, witnesses, mode, credentials, admin, insecure, set, yes, json } = args;
    let set = assignments(&set)?;
    let spec = CreateSpec { data: nodes, witnesses, replicas, mode: mode.into(), set };
    let format = Format::of(json);
    if insecure {
        let request = plan(&spec).await?;
        agreed(&request, yes, format)?;
        let mut done = create(&request).await?;
        done.done.push_str(
            "; it has no keys: give orders to it with `--credentials none`, or IRONCACHE_CREDENTIALS=none",
        );
        output::done(&done, format)?;
        return until_served(Access::Open, &request).await;
    }
    let path = access::new_file(credentials)?;
    let founding = Founding::prepare(&spec, &admin, &path).await?;
    agreed(&founding.request, yes, format)?;
    let request = founding.request.clone();
    output::done(&founding.carry_out().await?, format)?;
    until_served(Access::of_file(&path)?, &request).await
}

/// Whoever goes on with the cluster after this command is served.
async fn until_served(access: Access, request: &CreateCluster) -> Result<(), Failure> {
    let client = Client::with(access, request.nodes.iter().map(|node| node.http_addr.clone()).collect());
    let give_up = Instant::now() + SERVED_WITHIN;
    served::wait(&client, request.nodes.len(), give_up, || Ok(())).await.map_err(|failure| match failure {
        Failure::Unreachable(what) => Failure::Unreachable(format!(
            "the cluster is founded, and not everybody is served after {} s: {what}; `ironcache cluster status` shows how \
             it goes on",
            SERVED_WITHIN.as_secs()
        )),
        other => other,
    })
}

/// Shows what is going to be, and asks.
fn agreed(request: &CreateCluster, yes: bool, format: Format) -> Result<(), Failure> {
    if format == Format::Text {
        output::line(&describe(request))?;
    }
    if yes { Ok(()) } else { confirm() }
}

/// Asks every node who it is, and lays an insecure cluster out.
pub async fn plan(spec: &CreateSpec) -> Result<CreateCluster, Failure> {
    let data = candidates(&spec.data).await?;
    let witnesses = candidates(&spec.witnesses).await?;
    let layout = layout::layout(&data, &witnesses, spec.replicas, spec.mode.clone());
    let layout = layout.map_err(|e| Failure::Usage(e.to_string()))?;
    Ok(CreateCluster { set: spec.set.clone(), ..layout })
}

/// `KEY=VALUE` each; what a key may be, and its bounds, the nodes know.
pub(crate) fn assignments(given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut set = BTreeMap::new();
    for assignment in given {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Failure::Usage(format!("--set {assignment}: KEY=VALUE is expected")));
        };
        if set.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(Failure::Usage(format!("--set {assignment}: {key} is given twice")));
        }
    }
    Ok(set)
}

/// Tells the first node of an insecure cluster, which becomes the first leader.
pub async fn create(request: &CreateCluster) -> Result<Done, Failure> {
    let first = request.nodes.first().expect("a layout has at least one node");
    Ok(Client::of_http(vec![first.http_addr.clone()]).create(request).await?)
}

async fn candidates(nodes: &[Newcomer]) -> Result<Vec<Candidate>, Failure> {
    let mut candidates = Vec::new();
    for Newcomer { addr, code } in nodes {
        if code.is_some() {
            let text = format!("--insecure: nobody proves a join code to {addr} then, and one is given");
            return Err(Failure::Usage(text));
        }
        let http_addr = seed::resolve(addr).await.map_err(ClientError::from)?;
        let status = Client::of_http(vec![http_addr]).status().await?;
        if !status.pristine {
            return Err(Failure::Refused(Refused {
                code: "node_in_cluster".to_owned(),
                detail: format!(
                    "node {} at {addr} belongs to a cluster already; start it with an empty data directory to use it here",
                    status.node
                ),
            }));
        }
        // What the node announces, not how it was reached from here: the others go there.
        candidates.push(Candidate { node: status.node, http_addr: status.http_addr });
    }
    Ok(candidates)
}

fn describe(request: &CreateCluster) -> String {
    let mut rows =
        vec![["NODE", "HTTP ADDRESS", "SHARD", "ROLE", "SLOTS", "VOTES"].map(str::to_owned).to_vec()];
    for node in &request.nodes {
        let shard = node.shard.and_then(|id| request.shards.iter().find(|s| s.id == id));
        let (id, role, slots) = match shard {
            Some(shard) if shard.nodes.first() == Some(&node.node) => {
                (shard.id.to_string(), "primary", shard.slots.to_string())
            }
            Some(shard) => (shard.id.to_string(), "replica", shard.slots.to_string()),
            None => ("-".to_owned(), "witness", "-".to_owned()),
        };
        let votes = if node.voter { "yes" } else { "no" };
        let (name, addr) = (node.node.to_string(), node.http_addr.clone());
        rows.push(vec![name, addr, id, role.to_owned(), slots, votes.to_owned()]);
    }
    output::table(&rows)
}

fn confirm() -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "nobody is there to be asked: --yes creates the cluster without".to_owned(),
        ));
    }
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "Create this cluster? (yes or no) ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::failed("nothing was done")),
    }
}
