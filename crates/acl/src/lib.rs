//! Access control as Redis has it: users, what each may do, and what was refused.
//!
//! ```text
//!   rules of ACL SETUSER ──User::with──► User ──text──► canonical text ──User::read──► the same User
//!   command, arguments ──User::check──► allowed | Denied ──► NOPERM, DRYRUN's answer, an entry of the AclLog
//!   aclfile ──file::read / file::write──► users by name
//! ```
//!
//! The rules, their errors and the texts are those of redis 7.0.15 (source: the Redis documentation of ACL, and what that
//! server answers), but for one: the commands of a user are shown by the rules that they came of, as Redis does since 7.2.
//! 7.0 guesses rules from the outcome, and what it guesses depends on the commands that the server has (docs/adr/0042).
//!
//! *Invariant:* pure: no clock, randomness, file or socket. Where users are kept, and who is which, is others' business.
//! *Invariant:* [`User::read`] of [`User::text`] is the same user: what is stored is what was set.
//! *Invariant:* a rule that is refused leaves the user as it was, and so do all rules beside it.
//! *Invariant:* no password is kept: what was given is hashed where it is read.

mod catalogue;
mod check;
mod denied;
pub mod file;
mod keys;
mod listening;
mod log;
mod named;
mod password;
mod rule;
mod selector;
mod text;
mod user;

pub use catalogue::{category_names, commands_in};
pub use denied::{Denied, Reason};
pub use keys::Channel;
pub use log::{AclLog, Attempt, Context, LogEntry};
pub use password::PasswordHash;
pub use rule::{RuleError, Why, check_name};
pub use text::{Shown, ShownSelector};
pub use user::{DEFAULT_USER, User};
