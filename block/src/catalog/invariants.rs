//! What holds of every state of a catalog; checked before each commit and after each one read.

use std::collections::HashSet;

use super::edit::CatalogState;

/// All of them; the first that is broken is told.
pub fn check(state: &CatalogState) -> Result<(), String> {
    each_block_once(state)?;
    each_key_once(state)?;
    no_overlap(state)?;
    nothing_live_is_retired(state)
}

/// No ULID is listed twice.
pub fn each_block_once(state: &CatalogState) -> Result<(), String> {
    let mut seen = HashSet::new();
    match state.live.iter().find(|meta| !seen.insert(meta.block)) {
        Some(meta) => Err(format!("block {} is live twice", meta.block)),
        None => Ok(()),
    }
}

/// No two live blocks have one (slots, window, generation, level).
pub fn each_key_once(state: &CatalogState) -> Result<(), String> {
    let mut seen = HashSet::new();
    match state.live.iter().find(|meta| !seen.insert(meta.key())) {
        Some(meta) => Err(format!("block {}: another live block has its key {:?}", meta.block, meta.key())),
        None => Ok(()),
    }
}

/// No two live blocks of one level and generation share slots and time.
pub fn no_overlap(state: &CatalogState) -> Result<(), String> {
    // sorted by start: a block can only overlap with those whose end lies after its start
    let mut open: Vec<&crate::BlockMeta> = Vec::new();
    for meta in state.live.iter() {
        open.retain(|other| other.end > meta.start);
        let clash = open.iter().find(|other| {
            other.level == meta.level
                && other.generation == meta.generation
                && other.slots.first <= meta.slots.last
                && meta.slots.first <= other.slots.last
        });
        if let Some(other) = clash {
            return Err(format!("live blocks {} and {} overlap in slots and time", other.block, meta.block));
        }
        open.push(meta);
    }
    Ok(())
}

/// A block whose files may be deleted, or that is damaged, is not live.
pub fn nothing_live_is_retired(state: &CatalogState) -> Result<(), String> {
    let retired = |meta: &&std::sync::Arc<crate::BlockMeta>| {
        state.removed.contains_key(&meta.block) || state.set_aside.contains_key(&meta.block)
    };
    match state.live.iter().find(retired) {
        Some(meta) => Err(format!("block {} is live and retired", meta.block)),
        None => Ok(()),
    }
}
