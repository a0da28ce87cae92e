mod accepted;
mod generate;
mod members;
mod never;
#[cfg(feature = "next")]
mod next;
mod recover;
mod refused;
mod rollback;
mod setup;
