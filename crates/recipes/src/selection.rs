//! A layout for some of its jobs.

use crate::Layout;

impl Layout {
    /// The same with what is of the jobs to `keep` alone.
    pub(crate) fn only(mut self, keep: &impl Fn(&String) -> bool) -> Self {
        match &mut self {
            Self::Table(table) => table.rows.retain(|row| keep(&row.job)),
            Self::Figure(figure) => {
                for series in &mut figure.series {
                    series.jobs.retain(keep);
                    series.paper.retain(|point| keep(&point.job));
                }
                figure.series.retain(|series| !series.jobs.is_empty());
            }
        }
        self
    }
}
