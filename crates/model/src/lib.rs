//! Every order of events of a small cluster, by a model checker, over the code that decides.
//!
//! The simulator plays long runs of whole clusters, and of each situation the orders that chance picks. Here it is the other
//! way round: little happens, and it happens in every order that there is. What decides is called, not rewritten: the control
//! state's `apply`, the leader's `Grantor`, a primary's `Lease`; of a roll also `decide`, the agent, the shard's and the
//! keeper's engine. What surrounds it (raft's order, messages, clocks) is played; each model says how.
//!
//! A model that finds nothing proves little until it finds something: each can be [broken](lease::Broken) in the ways that
//! its rules forbid, and the tests demand a counterexample of every one.
//!
//! *Invariant:* a model's state is compared and hashed whole, but for what is a function of the rest.

pub mod lease;
pub mod roll;
