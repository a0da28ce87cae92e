//! The engine as facts: events in, actions out.
