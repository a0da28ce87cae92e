//! A session at a node that is a struct of plain values: requests in, turns and replies out.

mod acl;
mod blocked;
mod clients;
mod functions;
mod memory;
mod monitor;
mod pubsub;
mod requests;
mod routes;
mod scripts;
mod transactions;
mod watches;

use crate::*;
use ironcache_resp::Protocol;
use ironcache_types::{Epoch, LEVELS, Level, Offset, ReadFrom, Slot};
use std::rc::Rc;

/// What a node could be at one moment.
#[derive(Clone)]
struct Node {
    owner: Owner,
    /// To whom reads of a replica are answered.
    serves_reads: bool,
    enough_in_sync: bool,
    backed_up: bool,
    out_of_memory: bool,
    busy: Option<Busy>,
    loading_libraries: bool,
    epoch: Option<Epoch>,
    looked: Looked,
    watches: Watches,
    holders: usize,
    accounts: Rc<Accounts>,
    paused: Option<Paused>,
}

fn primary() -> Node {
    Node {
        owner: Owner::Here,
        serves_reads: true,
        enough_in_sync: true,
        backed_up: false,
        out_of_memory: false,
        busy: None,
        loading_libraries: false,
        epoch: Some(Epoch(1)),
        looked: Looked::Present,
        watches: Watches::default(),
        holders: 0,
        accounts: Rc::new(Accounts::new("")),
        paused: None,
    }
}

fn replica() -> Node {
    let endpoint = Endpoint { host: "10.0.0.1".to_owned(), port: 7000 };
    Node { owner: Owner::At(endpoint), epoch: None, ..primary() }
}

impl Site for Node {
    fn level(&self) -> Level {
        LEVELS.max
    }

    fn owner(&self, _: Slot, read: ReadFrom) -> Owner {
        match read {
            ReadFrom::Replica if self.serves_reads => Owner::Here,
            ReadFrom::Replica | ReadFrom::Primary => self.owner.clone(),
        }
    }

    fn owner_without_keys(&self) -> Owner {
        self.owner.clone()
    }

    fn has_enough_in_sync(&self) -> bool {
        self.enough_in_sync
    }

    fn is_backed_up(&self) -> bool {
        self.backed_up
    }

    fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    fn paused(&self) -> Option<Paused> {
        self.paused
    }

    fn busy(&self) -> Option<Busy> {
        self.busy
    }

    fn is_loading_libraries(&self) -> bool {
        self.loading_libraries
    }

    fn has_function(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(b"f")
    }

    fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    fn look(&self, _: &[u8]) -> Looked {
        self.looked
    }

    fn watches(&self) -> &Watches {
        &self.watches
    }

    fn has_client(&self, id: u64) -> bool {
        id < 10
    }

    fn holders(&self, _: Offset) -> usize {
        self.holders
    }

    fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    fn introduction(&self) -> Introduction {
        Introduction { redis_version: "7.0.0", shown_as: ShownAs::Master }
    }
}

fn session() -> Session {
    Session::new(7, Accounts::new("").everybody())
}

/// What came of one request, as text: the reply, or what the shell is to do.
fn take(session: &mut Session, node: &Node, request: &str) -> String {
    let args: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    let mut out = Vec::new();
    let todo = match session.take(&args, node, &mut out) {
        Ok(Turn::Answered | Turn::Queued) => String::new(),
        Ok(Turn::Run(Job::Data { spec, slot })) => match slot {
            Some(Slot(slot)) => format!("run {} on {slot}", spec.name),
            None => format!("run {}", spec.name),
        },
        Ok(Turn::Run(Job::Blocking { spec, slot })) => {
            let slot = slot.map_or("none".to_owned(), |slot| slot.0.to_string());
            format!("run {} on {slot}, or wait", spec.name)
        }
        Ok(Turn::Run(Job::Transaction { commands, slot })) => {
            let names: Vec<&str> = commands.iter().map(|command| command.spec.name).collect();
            let names = names.join(", ");
            slot.map_or(format!("run all of {names}"), |Slot(slot)| format!("run all of {names} on {slot}"))
        }
        Ok(Turn::Run(Job::Script { spec, slot, keys })) => match slot {
            Some(Slot(slot)) => format!("script {} of {keys} on {slot}", spec.name),
            None => format!("script {} of {keys}", spec.name),
        },
        Ok(Turn::Run(Job::Query(query))) => format!("answer {query:?}"),
        Ok(Turn::Run(Job::Listen(to))) => match to {
            Listening::Monitor => "listen Monitor".to_owned(),
            Listening::Topics(changes) => changes.iter().map(changed).collect::<Vec<_>>().join(", "),
            Listening::Tracked => "listen Tracked".to_owned(),
            Listening::Nothing(left) => format!("listen Nothing, not to {:?}", left.counts()),
        },
        Ok(Turn::Run(Job::Order(order))) => format!("order {order:?}"),
        Ok(Turn::Stop(stop)) => format!("{stop:?}"),
        Ok(Turn::Http) => "Http".to_owned(),
        Err(refusal) => {
            session.refuse(&refusal, &mut out);
            String::new()
        }
    };
    let reply = String::from_utf8(out).unwrap().replace("\r\n", " ");
    format!("{reply}{todo}").trim_end().to_owned()
}

fn changed(change: &Change) -> String {
    let text = |topic: &Topic| String::from_utf8_lossy(topic).into_owned();
    match change {
        Change::Joins(kind, topic) => format!("joins {kind:?} {}", text(topic)),
        Change::Leaves(kind, topic) => format!("leaves {kind:?} {}", text(topic)),
    }
}

#[track_caller]
fn check(session: &mut Session, node: &Node, requests: &[(&str, &str)]) {
    for (request, expected) in requests {
        assert_eq!(take(session, node, request), *expected, "{request}");
    }
}
