//! What the meta group knows: members, data groups, where tenants' slots lie, who commits catalogs.
//!
//! Changed by [`Command`]s alone, each valid or refused with a reason; a pure function of them.

use std::collections::BTreeMap;

use model::{GroupId, NodeId, SlotRange, TenantId, TimestampMs};

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where other nodes reach it.
    pub address: String,
    /// What fails together with it; empty when not said.
    pub zone: String,
}

/// Which group holds which slots of a tenant, from a window on until the next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Start of the first window it holds for; `TimestampMs::MIN` for a tenant's first version.
    pub from: TimestampMs,
    /// All slots, in order, without gap or overlap.
    pub ranges: Vec<(SlotRange, GroupId)>,
}

impl Placement {
    /// One group for all slots from the beginning.
    pub fn single(group: GroupId) -> Self {
        Placement { from: TimestampMs::MIN, ranges: vec![(SlotRange::ALL, group)] }
    }

    /// The group of a slot.
    pub fn group_of(&self, slot: u16) -> Option<GroupId> {
        let after = self.ranges.partition_point(|(range, _)| range.last < slot);
        self.ranges.get(after).filter(|(range, _)| range.contains(slot)).map(|(_, group)| *group)
    }

    fn covers_all_slots(&self) -> bool {
        let mut next = u32::from(SlotRange::ALL.first);
        for (range, _) in &self.ranges {
            if u32::from(range.first) != next || range.last < range.first {
                return false;
            }
            next = u32::from(range.last) + 1;
        }
        next == u32::from(SlotRange::ALL.last) + 1
    }
}

/// What is kept of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Versions, oldest first; never empty.
    pub placements: Vec<Placement>,
    /// The node that gathers edits of its catalog.
    pub committer: NodeId,
}

impl Tenant {
    /// The placement in force at a time.
    pub fn placement_at(&self, at: TimestampMs) -> Option<&Placement> {
        self.placements.iter().rev().find(|placement| placement.from <= at)
    }
}

/// A change of the meta state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A node joins, or says anew what it is.
    Join {
        /// Which.
        node: NodeId,
        /// What it is.
        member: Member,
    },
    /// A node leaves; refused while it commits a catalog.
    Leave {
        /// Which.
        node: NodeId,
    },
    /// A data group exists.
    AddGroup {
        /// Which.
        group: GroupId,
    },
    /// A tenant is seen first; does nothing when it is known.
    AddTenant {
        /// Which.
        tenant: TenantId,
    },
    /// A tenant's slots lie elsewhere from a window on.
    Place {
        /// Which.
        tenant: TenantId,
        /// Where; `from` must lie after that of the last version.
        placement: Placement,
    },
    /// Another node gathers a tenant's catalog edits.
    SetCommitter {
        /// Which.
        tenant: TenantId,
        /// Who.
        node: NodeId,
    },
}

/// Everything the meta group knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetaState {
    /// Nodes.
    pub members: BTreeMap<NodeId, Member>,
    /// Data groups, in order.
    pub groups: Vec<GroupId>,
    /// Tenants.
    pub tenants: BTreeMap<TenantId, Tenant>,
}

impl MetaState {
    /// The group that takes a tenant's samples of a slot at a time; none for an unknown tenant.
    pub fn group_of(&self, tenant: &TenantId, slot: u16, at: TimestampMs) -> Option<GroupId> {
        self.tenants.get(tenant)?.placement_at(at)?.group_of(slot)
    }

    /// The node that gathers a tenant's catalog edits.
    pub fn committer(&self, tenant: &TenantId) -> Option<NodeId> {
        self.tenants.get(tenant).map(|tenant| tenant.committer)
    }

    /// Makes a change, or says why not and leaves everything as it is.
    pub(crate) fn apply(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Join { node, member } => {
                self.members.insert(node, member);
                Ok(())
            }
            Command::Leave { node } => {
                let committer = self.tenants.iter().find(|(_, tenant)| tenant.committer == node);
                if let Some((id, _)) = committer {
                    return Err(format!("node {node} still commits the catalog of tenant `{id}`"));
                }
                self.members.remove(&node);
                Ok(())
            }
            Command::AddGroup { group } => {
                if group == GroupId::META {
                    return Err("the meta group is no data group".into());
                }
                if let Err(at) = self.groups.binary_search(&group) {
                    self.groups.insert(at, group);
                }
                Ok(())
            }
            Command::AddTenant { tenant } => self.add_tenant(tenant),
            Command::Place { tenant, placement } => self.place(&tenant, placement),
            Command::SetCommitter { tenant, node } => {
                if !self.members.contains_key(&node) {
                    return Err(format!("node {node} is no member"));
                }
                let record = self.tenants.get_mut(&tenant).ok_or_else(|| unknown(&tenant))?;
                record.committer = node;
                Ok(())
            }
        }
    }

    fn add_tenant(&mut self, tenant: TenantId) -> Result<(), String> {
        if self.tenants.contains_key(&tenant) {
            return Ok(());
        }
        let Some(group) = self.groups.first().copied() else {
            return Err("there is no data group yet".into());
        };
        let Some(committer) = self.members.keys().next().copied() else {
            return Err("there is no member yet".into());
        };
        let placements = vec![Placement::single(group)];
        self.tenants.insert(tenant, Tenant { placements, committer });
        Ok(())
    }

    fn place(&mut self, tenant: &TenantId, placement: Placement) -> Result<(), String> {
        if !placement.covers_all_slots() {
            return Err("a placement covers every slot once, in order".into());
        }
        if let Some((_, group)) = placement.ranges.iter().find(|(_, group)| !self.groups.contains(group)) {
            return Err(format!("group {group} is no data group"));
        }
        let record = self.tenants.get_mut(tenant).ok_or_else(|| unknown(tenant))?;
        if record.placements.last().is_some_and(|last| last.from >= placement.from) {
            return Err(format!("tenant `{tenant}` has a placement from that window or a later one"));
        }
        record.placements.push(placement);
        Ok(())
    }
}

fn unknown(tenant: &TenantId) -> String {
    format!("tenant `{tenant}` is not known")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    fn state() -> MetaState {
        let mut state = MetaState::default();
        let member = Member { address: "a:1".into(), zone: String::new() };
        for command in [
            Command::Join { node: NodeId(1), member },
            Command::AddGroup { group: GroupId(1) },
            Command::AddGroup { group: GroupId(2) },
            Command::AddTenant { tenant: tenant("t") },
        ] {
            state.apply(command).unwrap();
        }
        state
    }

    #[test]
    fn a_tenant_starts_on_the_first_data_group_and_moves_at_a_window() {
        let mut state = state();
        assert_eq!(state.group_of(&tenant("t"), 4095, i64::MIN), Some(GroupId(1)));
        let ranges = vec![
            (SlotRange { first: 0, last: 2047 }, GroupId(1)),
            (SlotRange { first: 2048, last: 4095 }, GroupId(2)),
        ];
        let placement = Placement { from: 7_200_000, ranges };
        state.apply(Command::Place { tenant: tenant("t"), placement: placement.clone() }).unwrap();
        assert_eq!(state.group_of(&tenant("t"), 2048, 7_199_999), Some(GroupId(1)));
        assert_eq!(state.group_of(&tenant("t"), 2048, 7_200_000), Some(GroupId(2)));
        assert_eq!(state.group_of(&tenant("t"), 2047, 7_200_000), Some(GroupId(1)));
        assert!(
            state.apply(Command::Place { tenant: tenant("t"), placement }).is_err(),
            "versions only advance"
        );
    }

    #[test]
    fn placements_with_gaps_overlaps_or_unknown_groups_are_refused() {
        let before = state();
        let range = |first, last, group| (SlotRange { first, last }, GroupId(group));
        for ranges in [
            vec![],
            vec![range(0, 4094, 1)],
            vec![range(1, 4095, 1)],
            vec![range(0, 10, 1), range(12, 4095, 2)],
            vec![range(0, 10, 1), range(10, 4095, 2)],
            vec![range(0, 4095, 9)],
        ] {
            let mut state = before.clone();
            let placement = Placement { from: 0, ranges };
            assert!(state.apply(Command::Place { tenant: tenant("t"), placement }).is_err());
            assert_eq!(state, before);
        }
    }

    #[test]
    fn adding_a_known_tenant_changes_nothing_and_a_committer_cannot_leave() {
        let mut state = state();
        let before = state.clone();
        state.apply(Command::AddTenant { tenant: tenant("t") }).unwrap();
        assert_eq!(state, before);
        assert!(state.apply(Command::Leave { node: NodeId(1) }).unwrap_err().contains("`t`"));
        assert!(state.apply(Command::SetCommitter { tenant: tenant("t"), node: NodeId(9) }).is_err());
    }
}
