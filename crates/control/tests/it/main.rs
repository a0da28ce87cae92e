mod accepted;
mod audit;
mod generate;
mod keeper;
mod libraries;
mod members;
mod never;
#[cfg(feature = "next")]
mod next;
mod recover;
mod refused;
mod releases;
mod rollback;
mod security;
mod setup;
mod users;
