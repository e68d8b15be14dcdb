//! Bytes of the meta group's commands and of its whole state.
//!
//! A command begins with its number, the state with its version. Unknown numbers are refused, not
//! guessed.

use model::{GroupId, NodeId, SlotRange, TenantId};

use super::state::{Command, Member, MetaState, Placement, Tenant};
use crate::codec::{Malformed, Reader, Writer};

const STATE_VERSION: u8 = 1;
const WHAT: &str = "meta group record";

fn write_member(writer: &mut Writer, member: &Member) {
    writer.bytes(member.address.as_bytes());
    writer.bytes(member.zone.as_bytes());
}

fn read_member(reader: &mut Reader<'_>) -> Result<Member, Malformed> {
    Ok(Member { address: reader.text()?.to_string(), zone: reader.text()?.to_string() })
}

fn read_tenant(reader: &mut Reader<'_>) -> Result<TenantId, Malformed> {
    TenantId::new(reader.text()?).map_err(|_| Malformed("tenant id"))
}

fn write_placement(writer: &mut Writer, placement: &Placement) {
    writer.i64(placement.from);
    writer.count(placement.ranges.len());
    for (range, group) in &placement.ranges {
        writer.u16(range.first);
        writer.u16(range.last);
        writer.u32(group.0);
    }
}

fn read_placement(reader: &mut Reader<'_>) -> Result<Placement, Malformed> {
    let from = reader.i64()?;
    let mut ranges = Vec::new();
    for _ in 0..reader.count(8)? {
        let range = SlotRange { first: reader.u16()?, last: reader.u16()? };
        ranges.push((range, GroupId(reader.u32()?)));
    }
    Ok(Placement { from, ranges })
}

pub(crate) fn encode_command(command: &Command) -> Vec<u8> {
    let mut writer = Writer::default();
    match command {
        Command::Join { node, member } => {
            writer.u8(1);
            writer.u64(node.0);
            write_member(&mut writer, member);
        }
        Command::Leave { node } => {
            writer.u8(2);
            writer.u64(node.0);
        }
        Command::AddGroup { group } => {
            writer.u8(3);
            writer.u32(group.0);
        }
        Command::AddTenant { tenant } => {
            writer.u8(4);
            writer.bytes(tenant.as_str().as_bytes());
        }
        Command::Place { tenant, placement } => {
            writer.u8(5);
            writer.bytes(tenant.as_str().as_bytes());
            write_placement(&mut writer, placement);
        }
        Command::SetCommitter { tenant, node } => {
            writer.u8(6);
            writer.bytes(tenant.as_str().as_bytes());
            writer.u64(node.0);
        }
    }
    writer.0
}

pub(crate) fn decode_command(bytes: &[u8]) -> Result<Command, Malformed> {
    let mut reader = Reader::new(bytes, WHAT);
    let command = match reader.u8()? {
        1 => Command::Join { node: NodeId(reader.u64()?), member: read_member(&mut reader)? },
        2 => Command::Leave { node: NodeId(reader.u64()?) },
        3 => Command::AddGroup { group: GroupId(reader.u32()?) },
        4 => Command::AddTenant { tenant: read_tenant(&mut reader)? },
        5 => Command::Place { tenant: read_tenant(&mut reader)?, placement: read_placement(&mut reader)? },
        6 => Command::SetCommitter { tenant: read_tenant(&mut reader)?, node: NodeId(reader.u64()?) },
        _ => return Err(Malformed("meta group command number")),
    };
    reader.end()?;
    Ok(command)
}

pub(crate) fn encode_state(state: &MetaState) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.u8(STATE_VERSION);
    writer.count(state.members.len());
    for (node, member) in &state.members {
        writer.u64(node.0);
        write_member(&mut writer, member);
    }
    writer.count(state.groups.len());
    state.groups.iter().for_each(|group| writer.u32(group.0));
    writer.count(state.tenants.len());
    for (id, tenant) in &state.tenants {
        writer.bytes(id.as_str().as_bytes());
        writer.u64(tenant.committer.0);
        writer.count(tenant.placements.len());
        tenant.placements.iter().for_each(|placement| write_placement(&mut writer, placement));
    }
    writer.0
}

pub(crate) fn decode_state(bytes: &[u8]) -> Result<MetaState, Malformed> {
    let mut reader = Reader::new(bytes, WHAT);
    if reader.u8()? != STATE_VERSION {
        return Err(Malformed("meta state version"));
    }
    let mut state = MetaState::default();
    for _ in 0..reader.count(16)? {
        let node = NodeId(reader.u64()?);
        state.members.insert(node, read_member(&mut reader)?);
    }
    for _ in 0..reader.count(4)? {
        state.groups.push(GroupId(reader.u32()?));
    }
    for _ in 0..reader.count(16)? {
        let id = read_tenant(&mut reader)?;
        let committer = NodeId(reader.u64()?);
        let mut placements = Vec::new();
        for _ in 0..reader.count(12)? {
            placements.push(read_placement(&mut reader)?);
        }
        state.tenants.insert(id, Tenant { placements, committer });
    }
    reader.end()?;
    Ok(state)
}

/// Fuzz harness: any bytes are read as a command and as a state without a panic; what decodes
/// encodes to what decodes to the same again.
pub fn fuzz_meta(data: &[u8]) {
    if let Ok(command) = decode_command(data) {
        assert_eq!(decode_command(&encode_command(&command)), Ok(command));
    }
    if let Ok(state) = decode_state(data) {
        assert_eq!(decode_state(&encode_state(&state)), Ok(state));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn placement() -> impl Strategy<Value = Placement> {
        let range = (any::<u16>(), any::<u16>(), any::<u32>())
            .prop_map(|(first, last, group)| (SlotRange { first, last }, GroupId(group)));
        (any::<i64>(), proptest::collection::vec(range, 0..5))
            .prop_map(|(from, ranges)| Placement { from, ranges })
    }

    fn tenant() -> impl Strategy<Value = TenantId> {
        "[a-z]{1,10}".prop_map(|id| TenantId::new(&id).unwrap())
    }

    fn member() -> impl Strategy<Value = Member> {
        (".{0,12}", ".{0,4}").prop_map(|(address, zone)| Member { address, zone })
    }

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            (any::<u64>(), member()).prop_map(|(node, member)| Command::Join { node: NodeId(node), member }),
            any::<u64>().prop_map(|node| Command::Leave { node: NodeId(node) }),
            any::<u32>().prop_map(|group| Command::AddGroup { group: GroupId(group) }),
            tenant().prop_map(|tenant| Command::AddTenant { tenant }),
            (tenant(), placement()).prop_map(|(tenant, placement)| Command::Place { tenant, placement }),
            (tenant(), any::<u64>())
                .prop_map(|(tenant, node)| Command::SetCommitter { tenant, node: NodeId(node) }),
        ]
    }

    fn state() -> impl Strategy<Value = MetaState> {
        let record = (proptest::collection::vec(placement(), 0..3), any::<u64>())
            .prop_map(|(placements, node)| Tenant { placements, committer: NodeId(node) });
        (
            proptest::collection::btree_map(any::<u64>().prop_map(NodeId), member(), 0..4),
            proptest::collection::vec(any::<u32>().prop_map(GroupId), 0..4),
            proptest::collection::btree_map(tenant(), record, 0..4),
        )
            .prop_map(|(members, groups, tenants)| MetaState { members, groups, tenants })
    }

    proptest! {
        #[test]
        fn commands_read_back(command in command()) {
            let bytes = encode_command(&command);
            prop_assert_eq!(decode_command(&bytes), Ok(command));
            prop_assert!(decode_command(&bytes[..bytes.len() - 1]).is_err());
        }

        #[test]
        fn states_read_back(state in state()) {
            prop_assert_eq!(decode_state(&encode_state(&state)), Ok(state));
        }

        #[test]
        fn any_and_nearly_right_bytes_are_survived(
            any_bytes in proptest::collection::vec(any::<u8>(), 0..100), state in state(), at in any::<usize>(), byte in any::<u8>(),
        ) {
            fuzz_meta(&any_bytes);
            let mut bytes = encode_state(&state);
            let at = at % bytes.len();
            bytes[at] = byte;
            fuzz_meta(&bytes);
        }
    }
}
