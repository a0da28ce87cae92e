//! Ways to break the rules of a roll: the model has to find what each one does.

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A shard goes on with what is left by itself, although a keeper holds the tail.
    RecoverBesideKeeper,
    /// After an abort the mode is lowered, although a node is out.
    AbortLowersMode,
    /// What a node reads from a snapshot counts as all that its last life had.
    SnapshotForCleanEnd,
    /// A node that returns with more than the keeper has is told the keeper's end.
    FenceAtKeepersEnd,
    /// A recovery begins where the keeper's tail ends, whatever the candidate holds.
    PromoteAtKeepersEnd,
    /// A start of an owner leaves the keeper's record, as if its tail were of the new stream.
    KeeperOfAnotherEpoch,
    /// A write is acknowledged before a member of the set has it.
    AckBeforeMember,
    /// A write is acknowledged before the keeper has it.
    AckBeforeKeeper,
    /// A node that registers clears the record of the keeper.
    RegisterClearsKeeper,
    /// Whoever is there is promoted, in the set or not.
    PromoteOutsideSet,
    /// What the keeper hands over lacks the last command.
    TailCutShort,
    /// A keeper takes what an earlier owner sends into the tail of the present one.
    KeeperTakesOldEpoch,
    /// The old primary goes on before it has applied the outcome of a handover.
    UnparkBeforeApply,
    /// A command counts although it names epochs that are over.
    StaleEpoch,
}

impl Broken {
    pub const ALL: [Broken; 14] = [
        Broken::RecoverBesideKeeper,
        Broken::AbortLowersMode,
        Broken::SnapshotForCleanEnd,
        Broken::FenceAtKeepersEnd,
        Broken::PromoteAtKeepersEnd,
        Broken::KeeperOfAnotherEpoch,
        Broken::AckBeforeMember,
        Broken::AckBeforeKeeper,
        Broken::RegisterClearsKeeper,
        Broken::PromoteOutsideSet,
        Broken::TailCutShort,
        Broken::KeeperTakesOldEpoch,
        Broken::UnparkBeforeApply,
        Broken::StaleEpoch,
    ];
}
