//! Version 1 of every body: one struct a kind.

pub(crate) mod handover;
pub(crate) mod in_sync;
pub(crate) mod keeper;
pub(crate) mod members;
pub(crate) mod membership;
pub(crate) mod operators;
pub(crate) mod ownership;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod release;
pub(crate) mod step;
