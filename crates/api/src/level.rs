//! Verbs that came with a level.

/// A number: the level of the cluster since which the verb of this request exists. A node of a cluster below it refuses
/// the request as `not_yet` before it looks at the path, so whichever node is asked, of whichever release, answers alike.
pub const LEVEL_HEADER: &str = "x-ironcache-level";
