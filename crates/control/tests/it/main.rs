mod accepted;
mod generate;
mod never;
mod refused;
mod rollback;
mod setup;
