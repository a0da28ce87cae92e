//! Commands on a keyspace: what they answer, and what their effects carry to a replica.

mod about;
mod db;
mod effects;
mod lookups;
#[cfg(feature = "next")]
mod next;
mod notices;
mod transcripts;
