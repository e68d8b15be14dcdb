//! `x{…}`: a place reads its series itself.

use super::{PushDown, Rewrite};

/// Rows of an instant selector, with any modifiers.
pub(super) fn rows(push: &PushDown<'_>) -> bool {
    push.has(Rewrite::Selector)
}
