//! Evaluates what comes before, and then fails, or gives nothing.

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::operator::{BatchStream, Inputs, Operator, deferred};
use crate::engine::QueryError;

/// The operator: its children are evaluated one after the other, for their errors and annotations.
#[derive(Debug, Clone)]
pub(crate) struct Nothing {
    /// What it fails with in the end.
    pub error: Option<QueryError>,
}

impl Operator for Nothing {
    fn name(&self) -> &'static str {
        "Nothing"
    }

    fn run(self: Arc<Self>, inputs: Inputs, _partition: usize) -> BatchStream {
        deferred(async move {
            for child in 0..inputs.child_count() {
                inputs.collect(child).await?;
            }
            match &self.error {
                Some(error) => Err(error.clone()),
                None => Ok(stream::empty().boxed()),
            }
        })
    }
}
