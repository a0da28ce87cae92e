//! The formats from outside: what they are byte by byte, that nothing is lost in them, and what damage does.

mod entries;
mod examples;
mod fuzz;
#[path = "../../../control/tests/it/generate.rs"]
mod generate;
mod generated;
mod golden;
#[cfg(feature = "next")]
mod next;
#[path = "../../../control/tests/it/setup.rs"]
#[allow(dead_code, reason = "the tests of control use all of it")]
mod setup;
mod snapshots;
