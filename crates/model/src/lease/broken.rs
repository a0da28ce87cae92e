//! Ways to break the lease: the model has to find what each one does.

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// An owner by its own view answers, whatever it was granted.
    LeaseIgnored,
    /// A lease runs from when the answer came.
    RunsFromTheAnswer,
    /// A grant counts at once, whatever the log holds by then.
    NoReadIndex,
    /// A leader answers without a quorum round.
    NoQuorumRound,
    /// A leader grants on while an entry of its own that deposes the life is under way.
    GrantsWhileDeposing,
    /// A grant counts from its round's index, whatever its leader has had decided since.
    ForgetsWhatItSettled,
    /// A deposing entry counts in whatever term it was appended.
    AnyTerm,
    /// The wait is a tick shorter.
    ShorterWait,
    /// A new leader counts from before its own first commit.
    NewLeaderDoesNotWait,
    /// An owner answers while it hands over.
    AnswersWhileHandingOver,
    /// The lease that comes with a promotion runs from when it was applied.
    PromotionRunsFromItsCommit,
}

impl Broken {
    pub const ALL: [Broken; 11] = [
        Broken::LeaseIgnored,
        Broken::RunsFromTheAnswer,
        Broken::NoReadIndex,
        Broken::NoQuorumRound,
        Broken::GrantsWhileDeposing,
        Broken::ForgetsWhatItSettled,
        Broken::AnyTerm,
        Broken::ShorterWait,
        Broken::NewLeaderDoesNotWait,
        Broken::AnswersWhileHandingOver,
        Broken::PromotionRunsFromItsCommit,
    ];
}
