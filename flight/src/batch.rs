//! Record batches read from messages that nobody vouches for.
//!
//! Arrow's own reading takes for granted that columns are described as they are; a description that is wrong ends the
//! thread. So only the types that answers are made of are known here, and what is said of a column is compared with
//! the bytes that are there before Arrow sees it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc;
use arrow_flight::FlightData;
use arrow_flight::utils::flight_data_to_arrow_batch;

use crate::list::Malformed;

/// The columns of the batches to come.
pub(crate) fn schema(data: &FlightData) -> Result<SchemaRef, Malformed> {
    let message = ipc::root_as_message(&data.data_header).map_err(|_| Malformed)?;
    let fields = message.header_as_schema().and_then(|schema| schema.fields()).ok_or(Malformed)?;
    Ok(Arc::new(fields.iter().map(field).collect::<Result<Vec<_>, _>>().map(Schema::new)?))
}

fn field(of: ipc::Field<'_>) -> Result<Field, Malformed> {
    let data_type = match of.type_type() {
        ipc::Type::Binary => DataType::Binary,
        ipc::Type::Bool => DataType::Boolean,
        ipc::Type::FloatingPoint => {
            let kind = of.type_as_floating_point().ok_or(Malformed)?;
            if kind.precision() != ipc::Precision::DOUBLE {
                return Err(Malformed);
            }
            DataType::Float64
        }
        ipc::Type::FixedSizeList => {
            let size = of.type_as_fixed_size_list().ok_or(Malformed)?.listSize();
            let children = of.children().filter(|children| children.len() == 1).ok_or(Malformed)?;
            let item = children.get(0);
            if size < 0 || item.type_type() != ipc::Type::FloatingPoint {
                return Err(Malformed);
            }
            DataType::FixedSizeList(Arc::new(field(item)?), size)
        }
        _ => return Err(Malformed),
    };
    if of.dictionary().is_some() {
        return Err(Malformed);
    }
    Ok(Field::new(of.name().unwrap_or_default(), data_type, of.nullable()))
}

/// What a message says of its columns, in their order.
struct Columns<N, B> {
    /// Length and nulls of each column.
    nodes: N,
    /// Bytes of each piece of a column.
    buffers: B,
}

impl<N: Iterator<Item = (u64, u64)>, B: Iterator<Item = u64>> Columns<N, B> {
    /// The next piece has `bytes` or more, in whole items of `width`.
    fn piece(&mut self, bytes: Option<u64>, width: u64) -> Result<(), Malformed> {
        let there = self.buffers.next().ok_or(Malformed)?;
        let is_there = bytes.is_some_and(|bytes| bytes <= there) && there.is_multiple_of(width);
        if is_there { Ok(()) } else { Err(Malformed) }
    }

    /// The next column is one of `length` values.
    fn column(&mut self, data_type: &DataType, length: u64) -> Result<(), Malformed> {
        let (own_length, nulls) = self.nodes.next().ok_or(Malformed)?;
        if own_length != length || nulls > length {
            return Err(Malformed);
        }
        let bits = Some(length.div_ceil(8));
        self.piece(if nulls > 0 { bits } else { Some(0) }, 1)?;
        match data_type {
            DataType::Boolean => self.piece(bits, 1),
            DataType::Float64 => self.piece(length.checked_mul(8), 8),
            DataType::Binary => {
                // without values there need be no positions
                let positions = length.checked_add(1).and_then(|count| count.checked_mul(4));
                self.piece(if length == 0 { Some(0) } else { positions }, 4)?;
                self.piece(Some(0), 1)
            }
            DataType::FixedSizeList(item, size) => {
                let items = u64::try_from(*size).ok().and_then(|size| size.checked_mul(length));
                self.column(item.data_type(), items.ok_or(Malformed)?)
            }
            _ => Err(Malformed),
        }
    }
}

/// A batch of these columns.
pub(crate) fn read(data: &FlightData, schema: &SchemaRef) -> Result<RecordBatch, Malformed> {
    let message = ipc::root_as_message(&data.data_header).map_err(|_| Malformed)?;
    let header = message.header_as_record_batch().ok_or(Malformed)?;
    if header.compression().is_some() {
        return Err(Malformed);
    }
    let body = data.data_body.len() as u64;
    let number = |number: i64| u64::try_from(number).map_err(|_| Malformed);
    let mut buffers = Vec::new();
    for buffer in header.buffers().ok_or(Malformed)? {
        let (start, size) = (number(buffer.offset())?, number(buffer.length())?);
        if !start.is_multiple_of(8) || start.checked_add(size).is_none_or(|end| end > body) {
            return Err(Malformed);
        }
        buffers.push(size);
    }
    let mut nodes = Vec::new();
    for node in header.nodes().ok_or(Malformed)? {
        nodes.push((number(node.length())?, number(node.null_count())?));
    }
    let rows = number(header.length())?;
    let mut columns = Columns { nodes: nodes.into_iter(), buffers: buffers.into_iter() };
    for field in schema.fields() {
        columns.column(field.data_type(), rows)?;
    }
    flight_data_to_arrow_batch(data, Arc::clone(schema), &HashMap::new()).map_err(|_| Malformed)
}
