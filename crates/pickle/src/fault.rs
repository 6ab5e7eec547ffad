/// A fault in a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: expected {expected}, found {found}")]
pub struct Fault {
    /// Where, in bytes from the pickle's beginning.
    pub offset: usize,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

pub(crate) fn fault<T>(offset: usize, expected: impl ToString, found: impl ToString) -> Result<T, Fault> {
    Err(Fault { offset, expected: expected.to_string(), found: found.to_string() })
}
