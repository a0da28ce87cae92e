//! Every setting, once: its key, default, bounds and why, scope, when it changes, and its words.
//!
//! ```text
//!   node::TABLE    ─┬─► flags, IRONCACHE_* variables, TOML, --check, CONFIG GET and SET   (of one node)
//!   cluster::TABLE ─┼─► cluster create --set, cluster policy get and set                  (in the log)
//!                   └─► docs/ironcache.toml, docs/settings.md                             (a test holds them equal)
//! ```
//! A setting has one scope. What one node may have otherwise than its neighbour is a node's; what all have to agree
//! on, or what whoever leads has to know, is the cluster's, and a node is not asked.
//!
//! *Invariant:* no default, bound or name of a setting stands anywhere else.
//! *Invariant:* a [`Value`] made here is within its setting's bounds.
//! *Invariant:* nothing here reads a file, a variable or a flag; texts come in, values and reasons go out.

mod bad_setting;
pub mod cluster;
pub mod document;
mod keyspace_events;
mod kind;
mod memory;
mod nearest;
pub mod node;
mod output_limit;
mod percentiles;
mod rewrite;
mod setting;
mod tls_protocols;
mod value;

pub use bad_setting::{BadSetting, Why};
pub use cluster::ClusterKey;
pub use keyspace_events::KeyspaceEvents;
pub use kind::{Form, Kind, NEVER, Range, Unit};
pub use node::NodeKey;
pub use output_limit::{OutputLimit, OutputLimits};
pub use percentiles::Percentiles;
pub use rewrite::{Unwritable, rewrite};
pub use setting::{Change, Key, Setting, VARIABLE_PREFIX, all, find, named, parse};
pub use tls_protocols::TlsProtocols;
pub use value::Value;
