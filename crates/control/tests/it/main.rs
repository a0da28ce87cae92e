mod accepted;
mod generate;
mod never;
#[cfg(feature = "next")]
mod next;
mod recover;
mod refused;
mod rollback;
mod setup;
